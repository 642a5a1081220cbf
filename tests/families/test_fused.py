"""Fused pieces of blocks give what the library spells out, gradients included; of one picture and of several."""

import copy

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers import transformer_flux2 as flux_2
from diffusers.pipelines.deprecated.wuerstchen import modeling_wuerstchen_common as wuerstchen
from torch import nn

from lora_gui.families.flux_2_klein import blocks as flux_blocks
from lora_gui.families.shared import fused
from lora_gui.families.wuerstchen import blocks as wuerstchen_blocks


def random(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(*modules):
    """Frozen, every weight drawn at random."""
    found = nn.ModuleList(modules).requires_grad_(False)
    for n, weight in enumerate(found.parameters()):
        weight.copy_(random(*weight.shape, seed=n) * 0.3)
    return found


def alike(plain, fused_one, *given):
    """Both give the same of `given`, and the same gradients of what of it is learnt through."""
    found = []
    for one in (plain, fused_one):
        own = [x.clone().requires_grad_() if isinstance(x, torch.Tensor) and x.ndim > 2 else x for x in given]
        out = one(*own)
        out = torch.cat([x.flatten() for x in out]) if isinstance(out, tuple) else out
        out.backward(random(*out.shape))
        found.append((out.detach(), [x.grad for x in own if isinstance(x, torch.Tensor) and x.requires_grad]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # a drawing is the library's own
        assert torch.equal(torch.cat([x.flatten() for x in tuple(plain(*given))]),
                           torch.cat([x.flatten() for x in tuple(fused_one(*given))]))  # fmt: skip


ANGLES = (random(9, 8)[:, ::2].repeat_interleave(2, 1).cos(), random(9, 8)[:, ::2].repeat_interleave(2, 1).sin())


@pytest.mark.parametrize("count", [1, 2])
def test_the_blocks_of_flux_2(count):
    double = flux_2.Flux2TransformerBlock(16, 2, 8)
    single = flux_2.Flux2SingleTransformerBlock(16, 2, 8)
    plain = network(double, single)
    quick = copy.deepcopy(plain)
    flux_blocks.fuse(quick)
    x, text = random(count, 6, 16), random(count, 3, 16, seed=2)
    of_x, of_text, of_both = (random(count, width, seed=width) for width in (96, 97, 48))
    alike(
        lambda x, text: plain[0](x, text, of_x, of_text[:, :96], ANGLES),
        lambda x, text: quick[0](x, text, of_x, of_text[:, :96], ANGLES), x, text,
    )  # fmt: skip
    alike(
        lambda x: (plain[1](x, None, of_both, ANGLES),), lambda x: (quick[1](x, None, of_both, ANGLES),),
        random(count, 9, 16),
    )  # fmt: skip


def test_the_blocks_of_wuerstchen():
    plain = network(wuerstchen.GlobalResponseNorm(12), wuerstchen.TimestepBlock(12, 4))
    quick = copy.deepcopy(plain)
    wuerstchen_blocks.fuse(quick)
    level = random(2, 4)
    alike(lambda x: (plain[0](x),), lambda x: (quick[0](x),), random(2, 5, 3, 12))
    alike(lambda x: (plain[1](x, level),), lambda x: (quick[1](x, level),), random(2, 12, 5, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channel", "factor"), [(2, 0), (slice(None), 1e-5)])
def test_a_unit_that_is_silent_or_nearly_so_has_a_gradient_in_every_precision(dtype, channel, factor):
    plain = network(wuerstchen.GlobalResponseNorm(8)).to(dtype).requires_grad_(False)
    quick = copy.deepcopy(plain)
    wuerstchen_blocks.fuse(quick)
    x = random(1, 3, 3, 8)
    x[..., channel] *= factor
    found = []
    for one in (plain, quick):
        own = x.to(dtype, copy=True).requires_grad_()
        one[0](own).backward(random(1, 3, 3, 8, seed=2).to(dtype))
        found.append(own.grad)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=20 * torch.finfo(dtype).eps)


def test_queries_and_keys_are_turned_together_as_apart():
    one, other = random(2, 9, 3, 8), random(2, 9, 3, 8, seed=2)
    turns = fused.turns(*ANGLES)
    for x, found in zip((one, other), fused.both_turned(one, other, *turns), strict=True):
        torch.testing.assert_close(found, apply_rotary_emb(x, ANGLES, sequence_dim=1))
        assert torch.equal(found, fused.turned(x, *turns))
        lies_otherwise = x.mT.contiguous().mT  # as the gradient of a key does where attention is plain
        assert torch.equal(fused.turned(lies_otherwise, *turns), fused.turned(x, *turns))


def test_a_gate_keeps_its_input_alone():
    x = random(2, 9, 16).requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one):
        fused.swiglu(x)
    assert [one.data_ptr() for one in kept] == [x.data_ptr()]
