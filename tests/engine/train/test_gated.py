"""Gated feed-forwards that keep less learn the same, bit for bit."""

import copy

import pytest
import torch
from diffusers.models.attention import FeedForward

from lora_gui.engine.memory import tracker
from lora_gui.engine.train import gated


def networks(dtype: torch.dtype):
    """A feed-forward as diffusers has it, and one that keeps less."""
    torch.manual_seed(0)
    plain = FeedForward(32, activation_fn="geglu").requires_grad_(False).to(dtype)
    less = copy.deepcopy(plain)
    gated.fuse(less)
    return plain, less


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_outputs_and_gradients_are_the_same_bit_for_bit(dtype):
    x = torch.randn(2, 7, 32, dtype=dtype)
    found = []
    for network in networks(dtype):
        given = x.clone().requires_grad_()
        out = network(given)
        out.pow(2).sum().backward()
        with torch.no_grad():
            found.append((out, given.grad, network(x)))
    assert all(map(torch.equal, *found)) and found[0][1].abs().sum() > 0


def test_a_third_of_what_is_saved_is_not():
    saved = []
    for network in networks(torch.bfloat16):
        x = torch.empty(1, 4096, 32, dtype=torch.bfloat16, device="meta", requires_grad=True)
        kept = tracker.training([network.to("meta")], [lambda network=network, x=x: network(x)], [x])
        saved.append(kept.saved)
    out = 4096 * 32 * 4  # by the loss, in fp32
    assert (saved[1] - out) == pytest.approx((saved[0] - out) * 2 / 3, rel=0.05)
