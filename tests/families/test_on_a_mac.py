"""On the card of a Mac: a run from its pictures to its file, drawings included, with what torch can do there."""

from unittest import mock

import pytest
import torch

from lora_gui.engine.load import device, quantize
from lora_gui.engine.train import samples
from lora_gui.engine.train.loop import train
from lora_gui.families import family
from lora_gui.families.wuerstchen import stages
from lora_gui.protocol.events import Done, Note
from lora_gui.protocol.jobs import Base
from tests import tiny
from tests.families.card import APPLE, pretended_apple
from tests.families.test_drawing_on_a_card import EACH
from tests.tiny_families import MAKERS


def trained(key, folder, monkeypatch, **settings):
    """What a short run says."""
    base = Base(key="own", title="Own", family=key, path=str(MAKERS[key](folder / "base")))
    monkeypatch.setattr(samples, "_FEWEST", 1)  # steps
    monkeypatch.setattr(stages, "_DECODER_STEPS", 1)
    job = tiny.job(folder, **({"steps": 1} | settings)).model_copy(update={"base": base})
    with pretended_apple() as card, mock.patch.object(device, "pick", lambda: card):
        return list(train(job, folder, family(key)))


@pytest.mark.parametrize("key", EACH)
def test_every_family_learns_and_draws(key, tmp_path, monkeypatch):
    assert isinstance(trained(key, tmp_path, monkeypatch, gradient_checkpointing="blocks")[-1], Done)


def test_what_cannot_be_done_there_is_done_otherwise_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(quantize, "_SMALLEST", 64)
    events = trained("klein", tmp_path, monkeypatch, optimizer="adamw8bit", precision="nf4", streamed_blocks=1)
    notes = [one.text for one in events if isinstance(one, Note)]
    assert "AdamW is used" in notes[0] and "nothing waits" in notes[1] and isinstance(events[-1], Done)


def test_it_refuses_what_such_a_card_refuses():
    with pretended_apple() as card:
        there = torch.ones(32, 32, device=card)
        assert there.device == APPLE and torch.randn(2, device=card, generator=torch.Generator(card)).device == APPLE
        for wrong, words in (
            (there.double, "float64"),
            (lambda: torch.ones(2, dtype=torch.float64).to(card), "float64"),
            (lambda: torch._int_mm(there.to(torch.int8), there.to(torch.int8)), "MPS"),
            (lambda: torch.randn(2, device=card, generator=torch.Generator()), "generator"),
            (lambda: there + torch.ones(32, 32), "same device"),
        ):
            with pytest.raises((TypeError, RuntimeError), match=words):
                wrong()
