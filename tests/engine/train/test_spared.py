"""What is spared while a network learns changes no result: divisions by one, and fused attention where it is slow."""

import copy

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from lora_gui.engine.train import spared


def attention(dtype: torch.dtype, crossed: int | None = None) -> Attention:
    torch.manual_seed(0)
    layer = Attention(32, cross_attention_dim=crossed, heads=4, dim_head=8, residual_connection=True)
    return layer.to(dtype).requires_grad_(False)


@pytest.mark.parametrize("crossed", [None, 24])
def test_attention_in_16_bits_gives_the_same_by_plain_products(crossed):
    fused = attention(torch.bfloat16, crossed)
    plain = copy.deepcopy(fused)
    spared.fuse(plain)
    assert type(fused.processor) is AttnProcessor2_0 is not type(plain.processor)
    x = torch.randn(2, 16, 32, dtype=torch.bfloat16, requires_grad=True)
    words = torch.randn(2, 7, 24, dtype=torch.bfloat16) if crossed else None
    mask = torch.zeros(2, 1, 7 if crossed else 16, dtype=torch.bfloat16)
    mask[1, :, -2:] = -10_000
    results = []
    for layer in (fused, plain):
        y = layer(x, words, attention_mask=mask)
        results.append((y.detach(), *torch.autograd.grad(y.float().square().sum(), x)))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)


def test_drawings_and_large_attention_stay_with_torchs_kernel(monkeypatch):
    layer = attention(torch.bfloat16)
    wanted = attention(torch.bfloat16)
    spared.fuse(layer)
    x = torch.randn(1, 16, 32, dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(layer(x), wanted(x))
    monkeypatch.setattr(spared, "_FEW", 16 * 15)
    x.requires_grad_()
    assert torch.equal(layer(x), wanted(x))


def test_attention_in_fp32_is_left_as_it_is():
    layer = attention(torch.float32)
    spared.fuse(layer)
    assert type(layer.processor) is AttnProcessor2_0


def test_a_division_by_one_is_spared_and_any_other_is_made():
    def block(factor: float) -> nn.Module:
        torch.manual_seed(0)
        made = ResnetBlock2D(in_channels=32, temb_channels=16, groups=4, output_scale_factor=factor)
        return made.requires_grad_(False)

    x, time = torch.randn(2, 32, 4, 4), torch.randn(2, 16)
    for factor, divisions in ((1.0, 0), (2.0, 1)):
        one = block(factor)
        spared.fuse(one)
        with torch.profiler.profile() as seen:
            found = one(x, time)
        assert sum(event.name == "aten::div" for event in seen.events()) == divisions
        assert torch.equal(found, block(factor)(x, time))


@pytest.mark.parametrize("upcast", [False, True])
def test_shares_made_in_place_have_the_gradients_of_plain_softmax(upcast):
    torch.manual_seed(1)
    layer = attention(torch.bfloat16)
    layer.upcast_softmax = upcast  # which diffusers' own method sees to
    spared.fuse(layer)
    query, key, value = (torch.randn(2, 5, 8, dtype=torch.float32).bfloat16().requires_grad_() for _ in range(3))
    plain = [one.detach().float().requires_grad_() for one in (query, key, value)]
    found = torch.bmm(layer.get_attention_scores(query, key), value)
    wanted = torch.softmax(plain[0] @ plain[1].transpose(1, 2) * layer.scale, -1) @ plain[2]
    grad = torch.randn_like(wanted)
    gradients = torch.autograd.grad(found, (query, key, value), grad.bfloat16())
    for one, other in zip(gradients, torch.autograd.grad(wanted, plain, grad), strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.03)
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
