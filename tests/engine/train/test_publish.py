"""What is published is finite, has an effect and is what was written."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from lora_gui import files
from lora_gui.engine.train import publish
from lora_gui.engine.train.publish import NoEffectError
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import cache_names
from lora_gui.formats.lora_file import Layer
from lora_gui.protocol.lock import Lock, is_held
from tests import tiny

FACTS = family("sd1").facts
NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def layers(value=1.0, alpha=0.1):
    return {NAME: Layer(torch.ones(2, 4), torch.full((4, 2), value), alpha)}


@pytest.fixture
def job(tmp_path):
    return tiny.job(tmp_path, tmp_path / "none")


def test_weights_are_halved_in_size_and_alpha_stays_exact(job):
    tensors = safetensors.torch.load(publish.encode(job, FACTS, layers(), 4))
    assert all(t.dtype == (torch.float32 if key.endswith("alpha") else torch.float16) for key, t in tensors.items())
    assert next(t for key, t in tensors.items() if key.endswith("alpha")) == torch.tensor(0.1)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e6])
def test_what_has_no_effect_or_does_not_fit_is_not_published(job, value):
    with pytest.raises(NoEffectError):
        publish.encode(job, FACTS, layers(value), 4)


def test_the_same_weights_are_the_same_bytes(job):
    assert publish.encode(job, FACTS, layers(), 4) == publish.encode(job, FACTS, layers(), 4)


def test_a_file_that_reads_differently_is_not_called_done(job, monkeypatch):
    monkeypatch.setattr(files, "sha256", lambda path: "another")
    with pytest.raises(UserError, match="reads differently"):
        publish.publish(publish.encode(job, FACTS, layers(), 4), job)


def test_what_was_published_already_is_no_second_file_whatever_the_run_was_asked_for_since(job):
    one, digest = publish.publish(publish.encode(job, FACTS, layers(), 4), job)
    renamed = one.rename(one.with_name("mine.safetensors"))
    one.with_name("odd.safetensors").write_bytes(b"no tensors")
    changed = job.settings.model_copy(update={"steps": 44, "learning_rate": 1e-6})
    longer = job.model_copy(update={"settings": changed, "extended_at": (4,)})
    assert publish.publish(publish.encode(longer, FACTS, layers(), 4), longer) == (renamed, digest)
    further, _ = publish.publish(publish.encode(longer, FACTS, layers(), 5), longer)  # steps that changed nothing
    data = bytearray(renamed.read_bytes())
    data[-1] ^= 1
    renamed.write_bytes(data)  # damaged: the whole one comes anew
    again, _ = publish.publish(publish.encode(longer, FACTS, layers(), 4), longer)
    assert len({renamed, further, again}) == 3


def test_files_of_others_are_never_overwritten(job):
    one, _ = publish.publish(publish.encode(job, FACTS, layers(1.0), 4), job)
    two, _ = publish.publish(publish.encode(job, FACTS, layers(2.0), 4), job)
    again, _ = publish.publish(publish.encode(job, FACTS, layers(1.0), 4), job)
    assert (one.name, two.name, again) == ("tiny.safetensors", "tiny-2.safetensors", one)


def test_nobody_else_gives_a_name_meanwhile_and_one_who_does_not_end_is_not_waited_for(job, monkeypatch):
    naming, write, held = Path(job.cache, cache_names.NAMING), files.write_bytes, []
    monkeypatch.setattr(files, "write_bytes", lambda *given: held.append(is_held(naming)) or write(*given))
    publish.publish(publish.encode(job, FACTS, layers(1.0), 4), job)
    assert held == [True] and not is_held(naming)
    monkeypatch.setattr(publish, "_PATIENCE", 0.0)
    with Lock(naming):
        assert publish.publish(publish.encode(job, FACTS, layers(2.0), 4), job)[0].is_file()
