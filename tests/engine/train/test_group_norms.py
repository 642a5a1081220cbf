"""Group norms whose channels are laid first for the kernel give what torch's own gives, layout and gradient alike."""

import pytest
import torch
from torch import nn

from lora_gui.engine.train import group_norms


def norms(dtype: torch.dtype, channels: int) -> tuple[nn.GroupNorm, nn.GroupNorm]:
    torch.manual_seed(0)
    plain, fused = (nn.GroupNorm(8, channels).to(dtype).requires_grad_(False) for _ in range(2))
    with torch.no_grad():
        for own, one in zip(plain.parameters(), fused.parameters(), strict=True):
            one.copy_(own.copy_(torch.randn(channels)))
    group_norms.fuse(fused)
    return plain, fused


def learnt(norm: nn.GroupNorm, x: torch.Tensor, grad: torch.Tensor) -> list[torch.Tensor]:
    given = x.clone().requires_grad_()
    y = norm(given)
    return [y.detach(), *torch.autograd.grad(y, given, grad)]


@pytest.mark.parametrize("channels", [16, 24, 64])
def test_a_norm_in_16_bits_and_its_gradient_are_those_of_torch_with_channels_last(channels):
    plain, fused = norms(torch.bfloat16, channels)
    x = torch.randn(3, channels, 10, 12, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    grad = torch.randn_like(x)
    wanted = learnt(plain.float(), x.float(), grad.float())
    found = learnt(fused, x, grad)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=0.01, atol=0.03)
        assert one.is_contiguous(memory_format=torch.channels_last)


def test_other_layouts_sizes_precisions_and_drawings_stay_torchs_own(monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError

    plain, fused = norms(torch.bfloat16, 16)
    monkeypatch.setattr(group_norms._GroupNorm, "apply", never)
    last = torch.randn(1, 16, 20, 20, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(fused(last), plain(last))
    for x in (last.contiguous(), last[:, :, :9, :9], torch.randn(2, 16, 7, dtype=torch.bfloat16)):
        assert torch.equal(fused(x), plain(x))
    large, whole = last.repeat(1, 1, 2, 2).to(memory_format=torch.channels_last), last.float()
    assert torch.equal(fused(large), plain(large))
    assert torch.equal(fused.float()(whole), plain.float()(whole))
