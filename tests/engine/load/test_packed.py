"""Frozen layers in oneDNN's layout: the same numbers up to rounding, at whichever sizes they are used."""

import pytest
import torch
from torch import nn

from lora_gui.engine.load import packed

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN here")
SIZES = (4, 8, 16, 32)


def layer() -> tuple[nn.Conv2d, packed.Packed]:
    """A layer for which oneDNN wants other layouts at small sizes than at large ones, and one that stands in for it."""
    torch.manual_seed(0)
    plain = nn.Conv2d(192, 192, 3, padding=1).requires_grad_(False)
    other = nn.Conv2d(192, 192, 3, padding=1).requires_grad_(False)
    other.load_state_dict(plain.state_dict())
    return plain, packed.Packed(other)


def pictures(size: int) -> torch.Tensor:
    return torch.randn(2, 192, size, size, generator=torch.Generator().manual_seed(size))


def learnt(one: packed.Packed, size: int) -> list[torch.Tensor]:
    x = pictures(size).requires_grad_()
    y = one.forward(x)
    y.square().sum().backward()
    return [y.detach(), x.grad]


def test_a_packed_layer_computes_as_the_plain_one_does_at_every_size():
    plain, one = layer()
    for size in SIZES:
        x = pictures(size).requires_grad_()
        y = plain(x)
        y.square().sum().backward()
        for found, wanted in zip(learnt(one, size), (y.detach(), x.grad), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_what_a_packed_layer_gives_does_not_hang_on_the_sizes_it_met_before():
    first, second = layer()[1], layer()[1]
    forth = {size: learnt(first, size) for size in SIZES}
    back = {size: learnt(second, size) for size in reversed(SIZES)}
    assert all(torch.equal(a, b) for size in SIZES for a, b in zip(forth[size], back[size], strict=True))


def test_a_packed_weight_is_never_reordered_again_for_a_size_and_held_once_for_each_layout():
    _, one = layer()
    for size in SIZES:
        learnt(one, size)
    for held in (one._ahead, one._back):
        assert len({packed._layout(weight) for weight in held.held}) == len(held.held) < len(SIZES)
        for size, weight in held.by_size.items():
            assert packed._layout(weight) == packed._layout(held.ordered(one._weight(), size))


@pytest.mark.parametrize("side", [8, 9])
def test_a_packed_convolution_with_a_stride_computes_as_the_plain_one_does_at_even_and_odd_sizes(side):
    torch.manual_seed(0)
    plain = nn.Conv2d(64, 96, 3, stride=2, padding=1).requires_grad_(False)
    root = nn.Sequential(nn.Conv2d(64, 96, 3, stride=2, padding=1)).requires_grad_(False)
    root[0].load_state_dict(plain.state_dict())
    assert packed.pack(root) == 1
    x = torch.randn(2, 64, side, side, requires_grad=True)
    for _ in range(2):  # the second time without the plain weight
        results = []
        for module in (plain, root):
            y = module(x)
            results.append((y.detach(), *torch.autograd.grad(y.square().sum(), x)))
        for found, wanted in zip(*results, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)
