"""LoRAs at their strengths in the layers of a base: the exact weighted sum, in the weights or beside them."""

import functools

import pytest
import torch

from lora_gui.engine.draw.applied import Applied, _Linear
from lora_gui.engine.load import loading, lora, quantize
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.strengths import strength_in
from lora_gui.settings import StackEntry, TrainSettings
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


@functools.cache
def made(base, rank, layers="all", dora=None):
    """Random layers of a LoRA, which no test changes; of a DoRA whose magnitudes are of dimension `dora` of weights."""
    parts, settings = FAMILY.denoisers(base, CPU, torch.float32), TrainSettings(rank=rank, alpha=3, layers=layers)
    lora.add_new(parts, FAMILY, settings, "new")
    chance = torch.Generator().manual_seed(rank)
    weights = dict(parts["unet"].named_modules())
    return {
        name: Layer(
            one.down, torch.randn(one.up.shape, generator=chance) * 0.1, one.alpha,
            None if dora is None else norms(weights[name.partition(".")[2]].base_layer.weight.detach(), dora) * 1.3,
        )
        for name, one in lora.get_weights(parts, "new").items()
    }  # fmt: skip


def norms(weight, along):
    """(out,) or (1, in): of all weights of each output or of each input."""
    squares = weight.transpose(0, along).flatten(1).square().sum(1).sqrt()
    return squares[None] if along else squares


def predicted(parts, dtype=torch.float32):
    chance = torch.Generator().manual_seed(1)
    noisy, text = torch.randn(2, 4, 8, 8, generator=chance), torch.randn(2, 16, 16, generator=chance)
    with torch.no_grad():
        return FAMILY.predict("unet", parts["unet"], noisy.to(dtype), torch.tensor([3, 700]), {"text": text.to(dtype)})


def by_hand(base, *parts_of_stack):
    """The base with W + sum of s D in its weights; D of a DoRA is m (W + BA) / |W + BA| - W."""
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    sums = {}
    for layers, strength in parts_of_stack:
        for name, one in layers.items():
            weight = parts["unet"].get_submodule(name.removeprefix("unet.")).weight.data
            change = one.delta()
            if one.magnitude is not None:
                whole, along = weight + change, one.magnitude.ndim - 1
                factors = (one.magnitude / norms(whole, along)).view([-1, 1] if along == 0 else [1, -1])
                change = factors.view(*factors.shape, *[1] * (weight.ndim - 2)) * whole - weight
            sums[name] = sums.get(name, 0) + (strength(name) if callable(strength) else strength) * change
    for name, change in sums.items():
        parts["unet"].get_submodule(name.removeprefix("unet.")).weight.data += change
    return parts


def use(applied, merged, **strengths):
    applied.use({name: one if callable(one) else (lambda _, s=one: s) for name, one in strengths.items()}, merged)


@pytest.fixture
def stacked(base):
    """A base with two LoRAs and two DoRAs in it, none of which counts yet."""
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    layers = {
        "one": made(base, 2), "two": made(base, 4, "attention"),
        "dora": made(base, 3, "linear", dora=0), "over_inputs": made(base, 2, "all", dora=1),
    }  # fmt: skip
    for name, one in layers.items():
        lora.add(parts, one, name)
    applied = Applied(parts)
    applied.changed()
    return parts, applied, layers


@pytest.mark.parametrize("merged", [True, False], ids=["in the weights", "beside them"])
def test_a_stack_with_a_dora_is_the_exact_weighted_sum_and_leaves_no_trace(base, stacked, merged):
    parts, applied, layers = stacked
    plain = predicted(parts)
    for strengths in ((0.5, -1.0, 0.7, 0.0), (0.8, 0.0, 1.0, 0.6), (0.0, 0.0, 0.0, 1.0), (0.0, 0.3, -0.4, 0.0)):
        use(applied, merged, **dict(zip(layers, strengths, strict=True)))
        wanted = predicted(by_hand(base, *zip(layers.values(), strengths, strict=True)))
        torch.testing.assert_close(predicted(parts), wanted, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(wanted, plain, atol=1e-2)
    first = predicted(parts)
    for _ in range(6):
        use(applied, merged, one=0.37, dora=0.11, over_inputs=0.3)
        predicted(parts)
    use(applied, merged, one=0.0, two=0.3, dora=-0.4)
    assert torch.equal(predicted(parts), first)  # no drift
    use(applied, merged, one=0.0)
    assert torch.equal(predicted(parts), plain)


@pytest.mark.parametrize("merged", [True, False], ids=["in the weights", "beside them"])
def test_each_group_of_blocks_has_its_own_strength(base, stacked, merged):
    parts, applied, layers = stacked
    entry = StackEntry(lora="one", strength=0.8, down=0.5, middle=0.0, up=-1.0)
    use(applied, merged, one=lambda name: strength_in(entry, name))
    wanted = {"down": 0.4, "mid": 0.0, "up": -0.8}
    asked = lambda name: next((s for begins, s in wanted.items() if name.startswith(f"unet.{begins}")), 0.8)  # noqa: E731
    torch.testing.assert_close(predicted(parts), predicted(by_hand(base, (layers["one"], asked))), rtol=1e-3, atol=1e-4)


def test_what_a_change_needs_is_done_when_a_layer_is_next_computed_with(stacked):
    parts, applied, _ = stacked
    layer = next(layer for _, layer in lora.adapter_layers(parts, "one"))
    before = layer.get_base_layer().weight.clone()
    use(applied, True, one=1.0)
    assert torch.equal(layer.get_base_layer().weight, before)
    predicted(parts)
    assert not torch.equal(layer.get_base_layer().weight, before)


def test_weights_are_copied_only_where_there_is_ample_room_and_copies_go_with_the_loras(base, stacked, monkeypatch):
    parts, applied, layers = stacked
    plain, copied = predicted(parts), {name: one.down for name, one in layers["two"].items()}
    needed = sum(dict(lora.wrappers(parts))[name].get_base_layer().weight.nbytes for name in copied)
    for free, kept in ((4 * needed - 1, set()), (4 * needed, copied.keys()), (0, copied.keys())):
        monkeypatch.setattr("lora_gui.engine.load.device.free", lambda where, room=free: float(room))
        use(applied, True, two=0.5)
        torch.testing.assert_close(predicted(parts), predicted(by_hand(base, (layers["two"], 0.5))))
        assert applied._originals.keys() == kept
    use(applied, True, one=0.5, two=0.5)  # of which more would have to be copied than fits
    predicted(parts)
    assert not applied._originals
    use(applied, True)
    assert torch.equal(predicted(parts), plain)
    monkeypatch.setattr("lora_gui.engine.load.device.free", lambda where: 1e9)
    for strengths in ({"two": 0.5}, {}):
        use(applied, True, **strengths)
        predicted(parts)
    assert torch.equal(predicted(parts), plain) and not applied._originals


def test_beside_a_base_in_8_bits_the_stack_is_the_sum_as_well(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32, loading.denoiser(TrainSettings(precision="int8")))
    one, two = made(base, 2), made(base, 4, "attention")
    joined = {name: Layer(layer.down, layer.up * 0.5, 3.0) for name, layer in one.items()}
    for name, layer in two.items():
        ups = [one[name].up / 2 * 1.5, layer.up / 4 * -3]  # of rank 2 and 4, alpha 3
        joined[name] = Layer(torch.cat([one[name].down, layer.down]), torch.cat(ups, 1), 6.0)
    for name, layers in (("one", one), ("two", two), ("joined", joined)):
        lora.add(parts, layers, name)
    applied = Applied(parts)
    applied.changed()
    use(applied, False, one=0.5, two=-1.0)
    both = predicted(parts)
    use(applied, False, joined=1.0)
    torch.testing.assert_close(predicted(parts), both, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("along", [(), (0,), (1,), (0, 1)], ids=["plain", "dora", "over inputs", "both"])
@pytest.mark.parametrize("precision", ["", "int8", "nf4"])
def test_few_tokens_and_many_come_to_the_same_product_by_different_ways(precision, along):
    chance = torch.Generator().manual_seed(0)
    base = torch.nn.Linear(64, 96).requires_grad_(False)
    if precision:
        in_few_bits = quantize.KINDS[precision](64, 96, base.bias, CPU)
        in_few_bits._buffers.update(in_few_bits.quantise(base.weight))
        base = in_few_bits
    before, ways = base.weight.clone(), []
    gains = {0: torch.linspace(-0.5, 1, 96)[:, None], 1: torch.linspace(-0.3, 0.8, 64)[None]}
    gains = {key: gains[key] for key in along}
    beside = _Linear(base, torch.randn(8, 64, generator=chance), torch.randn(96, 8, generator=chance), gains)
    for tokens in (2, 4096):
        x = torch.randn(1, tokens, 64, generator=chance)
        weight = before * (1 + sum(gains.values())) + beside.up @ beside.down
        torch.testing.assert_close(beside.forward(x), x @ weight.t() + base.bias, rtol=1e-4, atol=1e-3)
        ways.append(beside._changes_weight(x))
    assert ways == [False, True] and torch.equal(base.weight, before)


def test_what_is_plain_in_a_base_in_8_bits_is_added_to_and_left_as_it_was(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32, loading.denoiser(TrainSettings(precision="int8")))
    lora.add(parts, made(base, 4), "one")
    applied = Applied(parts)
    applied.changed()
    plain = predicted(parts)
    use(applied, False, one=1.0)
    beside = predicted(parts)
    use(applied, True, one=1.0)
    torch.testing.assert_close(predicted(parts), beside, rtol=1e-4, atol=1e-5)
    quantised = [isinstance(one.get_base_layer(), quantize.QuantizedLinear) for _, one in lora.wrappers(parts)]
    assert [applied._merged[path] for path, _ in lora.wrappers(parts)] == [not one for one in quantised]
    assert 0 < sum(quantised) < len(quantised)
    use(applied, True)
    assert torch.equal(predicted(parts), plain)


def test_in_16_bits_the_product_is_in_16_bits_too(base):
    parts = FAMILY.denoisers(base, CPU, torch.bfloat16)
    lora.add(parts, made(base, 4), "one")
    lora.activate(parts, {"one": 1.0})
    expected = predicted(parts, torch.bfloat16).float()
    applied = Applied(parts)
    applied.changed()
    use(applied, False, one=1.0)
    found = predicted(parts, torch.bfloat16)
    assert found.dtype == torch.bfloat16 and float((found.float() - expected).norm() / expected.norm()) < 0.03
    held = {one.forward.__self__.down.dtype for _, one in lora.wrappers(parts)}
    assert held == {torch.bfloat16}


@pytest.mark.parametrize("along", [0, 1], ids=["outputs", "inputs"])
def test_a_dora_beside_blocks_in_ram_is_measured_by_their_weights(base, along):
    layers, drawn = made(base, 3, "linear", dora=along), []
    for streamed in (0, 2):
        parts = FAMILY.denoisers(base, CPU, torch.float32, loading.denoiser(TrainSettings(streamed_blocks=streamed)))
        lora.add(parts, layers, "dora")
        applied = Applied(parts)
        applied.changed()
        use(applied, False, dora=0.7)
        drawn.append(predicted(parts))
    assert torch.equal(*drawn)


@pytest.mark.parametrize("along", [0, 1], ids=["outputs", "inputs"])
@pytest.mark.parametrize("merged", [True, False], ids=["in the weights", "beside them"])
def test_outputs_and_inputs_without_any_weight_stay_so_in_a_dora(along, merged):
    base = torch.nn.ModuleDict({"a": torch.nn.Linear(4, 4)})
    base["a"].weight.data.select(along, 1).zero_()
    weight, x = base["a"].weight.detach().clone(), torch.eye(4)[None]
    parts = {"unet": base}
    lora.add(parts, {"unet.a": Layer(torch.zeros(1, 4), torch.zeros(4, 1), 1.0, 1.5 * norms(weight, along))}, "dora")
    applied = Applied(parts)
    applied.changed()
    use(applied, merged, dora=1.0)
    with torch.no_grad():
        torch.testing.assert_close(base["a"](x), x @ (1.5 * weight).t() + base["a"].bias)
