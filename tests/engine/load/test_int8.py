"""Products in int8: the arithmetic that cards do, on the processor, whose torch has the same product."""

import pytest
import torch
from torch import nn

from lora_gui.engine.load import int8
from lora_gui.engine.load.quantize import Int8Linear
from lora_gui.engine.memory import tracker
from lora_gui.engine.train import adapter

CPU = torch.device("cpu")


def layer(into=96, out=64, bias=True):
    weight = torch.randn(out, into, generator=torch.Generator().manual_seed(1)) / into**0.5
    made = Int8Linear(into, out, nn.Parameter(torch.linspace(-1, 1, out)) if bias else None, CPU)
    for name, value in Int8Linear.quantise(weight).items():
        getattr(made, name).copy_(value)
    return made.requires_grad_(False)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(int8, "_is_quick", lambda device: True)


def relative(found, exact):
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_in_int8_is_the_dequantised_one_but_for_the_rounding_of_its_tokens(quick, dtype):
    one, x = layer(), torch.randn(2, 20, 96).to(dtype)
    x[0, 3] *= 1000  # a token of its own scale drowns no other
    exact = nn.functional.linear(x.float(), one.dequantised(torch.float32), one.bias)
    found = one(x)
    assert found.dtype == dtype and found.shape == (2, 20, 64)
    errors = [relative(found[b, t].float(), exact[b, t]) for b in range(2) for t in range(20)]
    assert max(errors) < 0.02
    tokens, scale = int8.quantised(x.reshape(-1, 96))
    by_hand = (tokens.double() @ one.rows.double().t()) * scale * one.scale.t() + one.bias.double()
    assert relative(found.double().view(-1, 64), by_hand) < (1e-6 if dtype == torch.float32 else 4e-3)


def test_few_tokens_odd_sides_and_other_devices_are_dequantised(monkeypatch):
    assert not int8.applies(torch.ones(40, 96), layer().rows)  # a processor
    monkeypatch.setattr(int8, "_is_quick", lambda device: True)
    assert int8.applies(torch.ones(2, 20, 96), layer().rows)
    assert not int8.applies(torch.ones(int8.TOKENS, 96), layer().rows)
    assert not int8.applies(torch.ones(40, 96), layer(out=60).rows)


@pytest.mark.parametrize(("capability", "quick"), [((7, 5), False), ((8, 0), True), ((8, 6), True), ((12, 0), True)])
def test_which_cards_multiply_in_int8_stands_in_a_table(monkeypatch, capability, quick):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    int8._is_quick.cache_clear()
    assert int8._is_quick(torch.device("cuda")) is quick
    assert not int8._is_quick(torch.device("mps"))
    int8._is_quick.cache_clear()


def test_the_gradient_of_an_input_is_that_of_the_dequantised_layer(quick):
    one, x = layer(), torch.randn(24, 96, requires_grad=True)
    grad = torch.randn(24, 64)
    one(x).backward(grad)
    assert torch.equal(x.grad, grad @ one.dequantised(torch.float32))


def test_fused_with_an_adapter_the_product_is_the_same(quick):
    from peft import LoraConfig, inject_adapter_in_model

    root = nn.ModuleDict({"one": layer()})
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=4, target_modules="one"), root, "new")
    root.one.lora_A["new"].float().weight.data.normal_()
    root.one.lora_B["new"].float().weight.data.normal_()
    x = torch.randn(24, 96)
    with torch.no_grad():
        expected = root.one(x)
    adapter.fuse({"unet": root}, "new", torch.float32)
    torch.testing.assert_close(root.one(x), expected)
    assert relative(root.one(x), expected) < 1e-5


def test_many_tokens_are_multiplied_in_parts_which_hold_little_and_come_to_the_same(quick, monkeypatch):
    one, x = layer(), torch.randn(3, 333, 96)
    whole, asked, product = one(x), [], torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda tokens, rows: asked.append(len(tokens)) or product(tokens, rows))
    for room in (1 << 16, 1):
        monkeypatch.setattr(int8, "_AT_ONCE", room)
        assert torch.equal(one(x), whole)
        assert sum(asked) == 999 and len(asked) > 1 and min(asked) > int8.TOKENS
        asked.clear()


def test_in_int8_a_step_holds_no_more_than_is_planned_of_one_that_dequantises(monkeypatch):
    one = Int8Linear(2048, 16384, None, torch.device("meta"))
    peaks = {}
    for quick in (False, True):
        monkeypatch.setattr(int8, "_is_quick", lambda device, quick=quick: quick)
        x = torch.empty(16384, 2048, dtype=torch.bfloat16, device="meta")
        peaks[quick] = tracker.forward(one, lambda x=x: one(x)).peak
    assert peaks[True] <= peaks[False] + 2 * int8._AT_ONCE
