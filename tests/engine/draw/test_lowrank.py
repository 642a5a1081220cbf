"""A stack of LoRAs as one low-rank product: what peft's wrappers do one after another."""

import pytest
import torch

from lora_gui.engine.draw import lowrank
from lora_gui.engine.load import loading, lora
from lora_gui.formats.lora_file import Layer
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def made(base, rank, layers="all"):
    """Random layers of a LoRA."""
    parts, settings = FAMILY.denoisers(base, CPU, torch.float32), TrainSettings(rank=rank, alpha=3, layers=layers)
    lora.add_new(parts, FAMILY, settings, "new")
    chance = torch.Generator().manual_seed(rank)
    return {
        name: Layer(one.down, torch.randn(one.up.shape, generator=chance) * 0.1, one.alpha)
        for name, one in lora.get_weights(parts, "new").items()
    }


def predicted(parts, dtype=torch.float32):
    chance = torch.Generator().manual_seed(1)
    noisy, text = torch.randn(2, 4, 8, 8, generator=chance), torch.randn(2, 16, 16, generator=chance)
    with torch.no_grad():
        return FAMILY.predict("unet", parts["unet"], noisy.to(dtype), torch.tensor([3, 700]), {"text": text.to(dtype)})


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_three_loras_of_several_ranks_and_strengths_draw_as_by_pefts_wrappers(base, precision):
    load = loading.denoiser(TrainSettings(precision=precision))
    parts = FAMILY.denoisers(base, CPU, torch.float32, load)
    plain = predicted(parts)
    for name, rank, layers in (("one", 2, "all"), ("two", 4, "attention"), ("three", 3, "linear")):
        lora.add(parts, made(base, rank, layers), name)
    lora.activate(parts, {"one": 0.5, "two": -1.0, "three": 1.0})
    expected = predicted(parts)
    lowrank.fuse(parts)
    torch.testing.assert_close(predicted(parts), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, plain, atol=1e-3)
    lowrank.undo(parts)
    assert torch.equal(predicted(parts), expected)
    lora.activate(parts, {"one": 0.0})
    lowrank.fuse(parts)
    assert torch.equal(predicted(parts), plain)


def test_in_16_bits_the_product_is_in_16_bits_too(base):
    parts = FAMILY.denoisers(base, CPU, torch.bfloat16)
    lora.add(parts, made(base, 4), "one")
    lora.activate(parts, {"one": 1.0})
    expected = predicted(parts, torch.bfloat16).float()
    lowrank.fuse(parts)
    found = predicted(parts, torch.bfloat16)
    assert found.dtype == torch.bfloat16 and float((found.float() - expected).norm() / expected.norm()) < 0.03
    held = {one.forward.__self__.down.dtype for one in lowrank._layers(parts)}
    assert held == {torch.bfloat16}


def test_a_dora_stays_pefts(base):
    parts, layers = FAMILY.denoisers(base, CPU, torch.float32), made(base, 2, "attention")
    weights = dict(parts["unet"].named_modules())
    for name, one in layers.items():
        weight = weights[name.partition(".")[2]].weight
        layers[name] = Layer(one.down, one.up, one.alpha, weight.norm(dim=1) * 1.5)
    lora.add(parts, layers, "one")
    lora.activate(parts, {"one": 1.0})
    expected = predicted(parts)
    lowrank.fuse(parts)
    assert torch.equal(predicted(parts), expected)
