"""Families are found by being there."""

import subprocess
import sys
from pathlib import Path

import pytest

from lora_gui.engine.train import train
from lora_gui.errors import UserError
from lora_gui.events import Done
from lora_gui.families import families, family, family_of_pipeline
from lora_gui.formats.metadata import identify, read_header
from tests import tiny

TOY = '''
from lora_gui.families.stable_diffusion_1 import StableDiffusion1
import dataclasses

class Toy(StableDiffusion1):
    facts = dataclasses.replace(
        StableDiffusion1.facts, key="toy", title="Toy", pipeline="ToyPipeline", architecture="toy-v1/lora",
        base_model_version="toy_v1", prefixes={"unet": ("lora_unet",)},
        originals={"first.#.to.#.query": ("down_blocks.#.attentions.#.transformer_blocks.0.attn1.to_q",)},
        kohya_has_originals=True,
    )

    def targets(self, part, layers):
        return r"down_blocks\\.\\d+\\.attentions\\.\\d+\\.transformer_blocks\\.0\\.attn1\\.to_q"
'''


def test_stable_diffusion_1_is_found_with_the_starter_first():
    assert [base.key for base in families()["sd1"].facts.bases] == ["starter", "sd15"]


def test_a_family_is_added_by_one_file(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    assert family("toy", [tmp_path]).facts.title == "Toy"
    assert family_of_pipeline("ToyPipeline", [tmp_path]).facts.key == "toy"
    assert "toy" not in families()


def test_that_one_file_is_enough_to_train_and_to_write_lora_files(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    toy = family("toy", [tmp_path])
    job = tiny.job(tmp_path, steps=2)
    job = job.model_copy(update={"base": job.base.model_copy(update={"family": "toy"})})
    done = list(train(job, tmp_path / "run", toy))[-1]
    assert isinstance(done, Done)
    header = read_header(Path(done.lora))
    assert identify(header, [one.facts for one in families([tmp_path]).values()]) == ("toy", "kohya")
    assert "lora_unet_first_1_to_0_query.lora_down.weight" in header.tensors


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'sd1'"):
        family("sd11")


def test_an_unknown_pipeline_is_refused_by_name():
    with pytest.raises(UserError, match="OtherPipeline"):
        family_of_pipeline("OtherPipeline")


def test_the_facts_of_all_families_are_there_without_torch():
    code = "import sys; from lora_gui.families import families; families(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
