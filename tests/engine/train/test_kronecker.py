"""LoKr while it learns, against what peft's own layers compute and what autograd makes of the formula."""

import pytest
import torch
from peft.tuners.lokr.layer import LoKrLayer
from torch import nn

from lora_gui.engine.load import loading, lokr, lora
from lora_gui.engine.train import adapter
from lora_gui.engine.train.norm_limit import NormLimit
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def network(base, dtype=torch.float32, **settings):
    told = TrainSettings(**({"rank": 4, "alpha": 8, "adapter": "lokr", "layers": "all"} | settings))
    parts = FAMILY.denoisers(base, CPU, dtype, loading.denoiser(told))
    weights = lora.add_new(parts, FAMILY, told, "new")
    return parts, [layer for _, layer in lora.adapter_layers(parts, "new")], weights


def moved(weights):
    generator = torch.Generator().manual_seed(4)
    for weight in weights:
        weight.data.normal_(std=0.2, generator=generator)


def given(layer, dtype=torch.float32):
    base, generator = layer.get_base_layer(), torch.Generator().manual_seed(5)
    shape = (2, 5, base.in_features) if isinstance(base, nn.Linear) else (2, base.in_channels, 6, 6)
    return torch.randn(shape, generator=generator).to(dtype)


def by_hand(layer):
    """What the layer does to its weights, from its factors as the paper has it: of each block of w1 a w2."""
    own = lokr.weights(layer, "new")
    product = "lokr_w2" not in own
    second = own["lokr_w2_a"] @ own["lokr_w2_b"] if product else own["lokr_w2"].flatten(1)
    rows = [torch.cat([value * second for value in row], 1) for row in own["lokr_w1"]]
    delta = torch.cat(rows) * (layer.scaling["new"] if product else 1)
    return delta.view(layer.get_base_layer().weight.shape)


def test_a_new_lokr_is_the_base_and_depends_on_its_seed_alone(base):
    parts, layers, _ = network(base)
    adapter.fuse(parts, "new", torch.float32, FAMILY)
    for layer in layers:
        x = given(layer)
        assert torch.equal(layer(x), layer.get_base_layer()(x))
    one, other = lora.get_weights(parts, "new"), lora.get_weights(network(base)[0], "new")
    assert all(torch.equal(one[key].tensors()[role], other[key].tensors()[role])
               for key in one for role in one[key].tensors())  # fmt: skip
    assert not any(layer.changes for layer in one.values())


@pytest.mark.parametrize("factor", [0, 4])
def test_every_layer_gives_and_learns_what_its_formula_says(base, factor):
    parts, layers, weights = network(base, lokr_factor=factor)
    moved(weights)
    expected = []
    for layer in layers:
        x, like = given(layer).requires_grad_(), layer.get_base_layer()
        delta = by_hand(layer)
        y = like(x) + (
            nn.functional.linear(x, delta) if isinstance(like, nn.Linear)
            else nn.functional.conv2d(x, delta, None, like.stride, like.padding)
        )  # fmt: skip
        own = list(lokr.weights(layer, "new").values())
        expected.append((y.detach(), torch.autograd.grad(y.square().sum(), [x, *own])))
    (masters,) = adapter.fuse(parts, "new", torch.float32, FAMILY)
    kinds = set()
    for n, (layer, (y, (of_x, *of_weights))) in enumerate(zip(layers, expected, strict=True)):
        masters.zero()
        x = given(layer).requires_grad_()
        found = layer(x)
        torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-4)
        found.square().sum().backward()
        torch.testing.assert_close(x.grad, of_x, rtol=1e-3, atol=1e-3)
        for one, wanted in zip(masters.by_layer(masters.arriving)[n], of_weights, strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
        kinds.add((len(of_weights), tuple(layer.get_base_layer().weight.shape[2:])))
    lora.activate(parts, {"new": 0.0})
    assert all(torch.equal(layer(x), layer.get_base_layer()(x)) for layer in layers for x in [given(layer)])
    assert {(3, ()), (3, (3, 3)), (3, (1, 1))} <= kinds and {count for count, _ in kinds} == {2, 3}


@pytest.mark.parametrize("precision", ["int8", "nf4", "bf16"])
def test_over_a_base_in_few_bits_the_update_is_as_over_any_other(base, precision):
    parts, layers, weights = network(base, torch.bfloat16, precision=precision)
    moved(weights)
    adapter.fuse(parts, "new", torch.bfloat16, FAMILY)
    for layer in layers:
        x, like = given(layer, torch.bfloat16), layer.get_base_layer()
        delta = by_hand(layer).to(torch.bfloat16)
        update = (
            nn.functional.linear(x, delta) if isinstance(like, nn.Linear)
            else nn.functional.conv2d(x, delta, None, like.stride, like.padding)
        )  # fmt: skip
        wanted = like(x) + update
        torch.testing.assert_close(layer(x), wanted, rtol=5e-2, atol=3e-2 * float(wanted.detach().abs().max()))


def test_pefts_own_layer_agrees_where_its_second_factor_is_a_product(base):
    """Where it is whole, peft scales it and LyCORIS does not, as whose files these are."""
    _, layers, weights = network(base)
    moved(weights)
    assert all(isinstance(layer, LoKrLayer) for layer in layers)
    products = [layer for layer in layers if "new" in layer.lokr_w2_a]
    assert products
    for layer in products:
        torch.testing.assert_close(layer.get_delta_weight("new"), by_hand(layer))


def test_no_layer_is_larger_than_its_limit(base):
    parts, _, weights = network(base)
    moved(weights)
    masters = adapter.fuse(parts, "new", torch.float32, FAMILY)
    before = {key: float(layer.delta().norm()) for key, layer in lora.get_weights(parts, "new").items()}
    limit = sorted(before.values())[len(before) // 2]
    NormLimit(masters, limit).apply()
    for key, layer in lora.get_weights(parts, "new").items():
        assert float(layer.delta().norm()) == pytest.approx(min(before[key], limit), rel=1e-4)
