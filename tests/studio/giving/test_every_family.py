"""LoRAs of every family given to every program that reads them: each draws what the original draws."""

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.engine.load import lora as adapters
from lora_gui.families import family
from lora_gui.formats import dialects, metadata
from lora_gui.formats.lora_file import Layer
from lora_gui.settings import TrainSettings
from lora_gui.studio.giving import exports, proof
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, loras
from tests.tiny_families import MAKERS

CPU = torch.device("cpu")
WAYS = [(key, program) for key in MAKERS for program in families.facts_of(key).written_for]


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A studio with a tiny base of every family, and a LoRA for each on all that may learn, text encoders too."""
    found = Studio(tmp_path_factory.mktemp("every"))
    for folder in (found.bases, found.loras):
        folder.mkdir(parents=True)
    for key, make in MAKERS.items():
        base = make(tmp_path_factory.mktemp(key))
        if key == "wuerstchen":
            heed_the_prior(base)
        (found.bases / f"tiny-{key}").symlink_to(base)
        facts = families.facts_of(key)
        fields = {"modelspec.architecture": facts.architecture, "modelspec.trigger_phrase": "zxy"}
        saved = safetensors.torch.save(dialects.build(learnt(key, base), facts), fields)
        (found.loras / f"{key}.safetensors").write_bytes(metadata.with_hashes(saved))
    return found


@pytest.fixture(scope="module")
def drawing(every):
    """One child for all, as each base is tiny."""
    found = Drawer(every)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def in_two_tiny_steps(monkeypatch):
    def tiny(base):
        side = max(64, families.facts_of(base.family).size_step)
        return {"width": side, "height": side, "steps": 2, "guidance": 4.0}

    monkeypatch.setattr(bases, "draw_defaults", tiny)
    monkeypatch.setattr(proof, "SIDE", 128)


def heed_the_prior(base):
    """What the prior plans, which is all that a LoRA changes, hardly shows in what a random decoder makes of it."""
    path = next((base / "decoder").glob("*.safetensors"))
    weights = safetensors.torch.load_file(path)
    scaled = {name: value * (3000 if "effnet_mappers" in name else 1) for name, value in weights.items()}
    safetensors.torch.save_file(scaled, path, {"format": "pt"})


def learnt(key, base):
    """Of rank 4 and alpha 2, strong enough to be seen."""
    own = family(key)
    parts = own.denoisers(base, CPU, torch.float32) | own.text_encoders(base, CPU, torch.float32)
    adapters.add_new(parts, own, TrainSettings(rank=4, alpha=2), "new")
    generator = torch.Generator().manual_seed(1)
    return {
        name: Layer(one.down, torch.randn(one.up.shape, generator=generator) * 3, one.alpha)
        for name, one in adapters.get_weights(parts, "new").items()
    }


@pytest.mark.parametrize(("key", "program"), WAYS)
def test_what_is_given_to_a_program_draws_what_the_lora_draws(every, drawing, key, program, tmp_path):
    given = exports.for_program(every, drawing, loras.named(every, key), program, tmp_path, [].append)
    assert given.proof.drawn, given.proof.sentence
    assert f"draws the same test drawing on tiny-{key}." in given.proof.sentence
    assert ("by diffusers itself" in given.proof.sentence) == (program == "diffusers")
    assert given.dialect == families.facts_of(key).written_for[program]
