"""Drawing on a card: nothing is computed with that lies with the host, and it is what the processor draws."""

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from lora_gui import families
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.draw.picture import Beginning
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import device, loading
from lora_gui.families import family
from lora_gui.families.kandinsky_2_2 import prior
from lora_gui.families.wuerstchen import stages
from lora_gui.formats import dialects
from lora_gui.protocol.events import Drawn
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings, StackEntry
from tests import tiny
from tests.families.card import CARD, HOST, pretended, pretended_apple
from tests.families.contract import random_layers
from tests.tiny_families import MAKERS

# One of each make in every run: a U-Net, a transformer whose text encoder is large, and one of two parts.
FIRST = ("sd1", "klein", "wuerstchen")
EACH = [key if key in FIRST else pytest.param(key, marks=pytest.mark.soak) for key in MAKERS]
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (tiny.SIZE, tiny.SIZE, 3), dtype=np.uint8))
MASK = Image.new("L", PICTURE.size)
MASK.paste(255, (16, 16, 48, tiny.SIZE))


def asked(**more) -> DrawSettings:
    """With all that a prompt can say."""
    quick = {"width": tiny.SIZE, "height": tiny.SIZE, "steps": 2, "guidance": 4.0, "guidance_end": 0.5}
    return DrawSettings(
        **{"prompt": "a (thing:1.3) [b] BREAK more", "negative_prompt": "grey", "variation": 0.3} | quick | more
    )


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Steps that no order says: where a later one computes, the second does."""
    monkeypatch.setattr(stages, "_DECODER_STEPS", 2)
    monkeypatch.setattr(prior, "_STEPS", 2)


@pytest.fixture(scope="module", params=EACH)
def ordered(request, tmp_path_factory):
    """An order of a tiny base of each family, with all there is: a LoRA, a picture, a mask, enlarging."""
    key, folder = request.param, tmp_path_factory.mktemp(request.param)
    base, facts, lora = MAKERS[key](folder), family(key).facts, folder / "lora.safetensors"
    tensors = dialects.build(random_layers(key, base, seed=1), facts)
    lora.write_bytes(safetensors.torch.save(tensors, {"modelspec.architecture": facts.architecture}))
    over = {}
    if facts.draws_over:
        PICTURE.save(folder / "picture.png")
        MASK.save(folder / "mask.png")
        over = {"picture": str(folder / "picture.png"), "mask": str(folder / "mask.png"), "denoising": 0.6}
        over |= {"upscale": 1.5, "upscale_denoising": 0.5}
    one = StackEntry(lora=str(lora), strength=0.7)
    return DrawJob(
        id="a", base=Base(key="own", title="Own", family=key, path=str(base), like=""), folder=str(folder / "drawn"),
        settings=asked(stack=(one,), **over), cache=str(folder / "cache"),
    )  # fmt: skip


def drawn(job: DrawJob, where: torch.device) -> np.ndarray:
    drawer, seen = Drawer(on_processor=True), []
    drawer.device = where
    seen += drawer.draw(job, seen.append, lambda: False)
    (path,) = (one.path for one in seen if isinstance(one, Drawn))
    with Image.open(path) as image:
        return np.array(image.convert("RGB"), dtype=int)


def test_a_drawing_on_a_card_is_that_of_the_processor(ordered):
    job = ordered.model_copy(update={"precision": "fp32"})
    with pretended() as card:
        found = drawn(job, card)
    assert np.abs(found - drawn(job, HOST)).max() <= 1


@pytest.mark.parametrize("precision, streamed", [("", 0), ("int8", 2), ("nf4", 0)])
def test_whatever_a_base_is_held_in_it_draws_on_the_card_alone(ordered, precision, streamed, monkeypatch):
    monkeypatch.setitem(device._DTYPES, "fp16", torch.float32)  # in which random networks overflow
    monkeypatch.setattr(loading, "OFFLOADED_FROM", 0 if streamed else 1 << 30)  # text encoders wait in RAM, too
    with pretended() as card:
        drawn(ordered.model_copy(update={"precision": precision, "streamed_blocks": streamed}), card)


@pytest.mark.soak
@pytest.mark.parametrize("pretending", [pretended, pretended_apple])
@pytest.mark.parametrize("key", ["sd1", "sd3"])
def test_every_sampler_steps_on_the_card_alone(key, pretending, tmp_path):
    base = MAKERS[key](tmp_path)
    with pretending() as card:
        pipeline = Pipeline(family(key), base, card, torch.float32)
        for sampler in families.samplers(key):
            shot = asked(prompt="a thing", sampler=sampler, steps=3)
            pipeline.draw(shot, 7, begin=Beginning(PICTURE, 0.7, MASK))


def test_the_card_refuses_what_a_card_refuses():
    with pretended() as card:
        there, here = torch.ones(2, 3, device=card), torch.ones(2, 3)
        assert (there.device, here.device, (there + torch.tensor(1.0)).device) == (CARD, HOST, CARD)
        assert (there.cpu().device, here.to(there).device, there[torch.tensor([0])].device) == (HOST, CARD, CARD)
        for wrong in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: here[there.long()],
            lambda: torch.nn.Linear(3, 4)(there),
            lambda: torch.randn(2, device=card, generator=torch.Generator()),
            lambda: there.normal_(generator=torch.Generator()),
        ):
            with pytest.raises(RuntimeError, match="device"):
                wrong()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
