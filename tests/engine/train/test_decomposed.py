"""DoRA while it learns, against what peft's own layers compute and what autograd makes of the formula."""

import pytest
import torch
from torch import nn

from lora_gui.engine.load import loading, lora
from lora_gui.engine.train import adapter
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def network(base, dtype=torch.float32, **settings):
    told = TrainSettings(rank=3, alpha=6, dora=True, layers="all", **settings)
    parts = FAMILY.denoisers(base, CPU, dtype, loading.denoiser(told))
    lora.add_new(parts, FAMILY, told, "new")
    return parts


def moved(parts):
    """Another DoRA than a new one."""
    generator = torch.Generator().manual_seed(4)
    for _, layer in lora.adapter_layers(parts, "new"):
        layer.lora_B["new"].weight.data.normal_(std=0.05, generator=generator)
        weight = layer.lora_magnitude_vector["new"].weight
        weight.data.mul_(1 + 0.2 * torch.randn(weight.shape, generator=generator))


def given(layer):
    base, generator = layer.get_base_layer(), torch.Generator().manual_seed(5)
    shape = (2, 5, base.in_features) if isinstance(base, nn.Linear) else (2, base.in_channels, 6, 6)
    return torch.randn(shape, generator=generator)


def test_a_new_dora_is_the_base(base):
    parts = network(base)
    adapter.fuse(parts, "new", torch.float32, FAMILY)
    for _, layer in lora.adapter_layers(parts, "new"):
        x = given(layer)
        torch.testing.assert_close(layer(x), layer.get_base_layer()(x), rtol=1e-5, atol=1e-5)


def test_every_layer_gives_and_learns_what_that_of_peft_does(base):
    parts = network(base)
    moved(parts)
    layers = [layer for _, layer in lora.adapter_layers(parts, "new")]
    expected = []
    for layer in layers:
        x = given(layer).requires_grad_()
        y = layer(x)
        weights = [layer.lora_A["new"].weight, layer.lora_B["new"].weight, layer.lora_magnitude_vector["new"].weight]
        expected.append((y.detach(), torch.autograd.grad(y.square().sum(), [x, *weights])))
    halves, magnitudes = adapter.fuse(parts, "new", torch.float32, FAMILY)
    order = {id(weight): n for n, weight in enumerate(halves.pieces)}
    kinds = set()
    for layer, (y, (of_x, *of_weights)) in zip(layers, expected, strict=True):
        for one in (halves, magnitudes):
            one.zero()
        x = given(layer).requires_grad_()
        found = layer(x)
        torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-5)
        found.square().sum().backward()
        torch.testing.assert_close(x.grad, of_x, rtol=1e-3, atol=1e-4)
        own = [halves.views(halves.arriving)[order[id(getattr(layer, f"lora_{half}")["new"].weight)]] for half in "AB"]
        n = next(n for n, one in enumerate(magnitudes.pieces) if one is layer.lora_magnitude_vector["new"].weight)
        own.append(magnitudes.views(magnitudes.arriving)[n])
        for one, wanted in zip(own, of_weights, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
        kinds.add(tuple(layer.get_base_layer().weight.shape[2:]))
    assert {(), (1, 1), (3, 3)} <= kinds


@pytest.mark.parametrize("settings", [{"precision": "int8"}, {"precision": "nf4"}, {"streamed_blocks": 1}])
def test_in_few_bits_or_with_blocks_in_ram_a_new_dora_is_the_base_too(base, settings):
    told = TrainSettings(rank=3, alpha=6, dora=True, **settings)
    parts = FAMILY.denoisers(base, CPU, torch.float32, loading.denoiser(told))
    lora.add_new(parts, FAMILY, told, "new")
    norms = {key: layer.magnitude for key, layer in lora.get_weights(parts, "new").items()}
    plain = network(base)
    for key, layer in lora.get_weights(plain, "new").items():
        if key in norms:
            torch.testing.assert_close(norms[key], layer.magnitude, rtol=5e-2, atol=1e-3)
            assert norms[key].min() > 0
