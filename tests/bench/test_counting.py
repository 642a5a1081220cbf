"""What counts launches, waits and saved bytes counts right: plain operations whose cost on a card is known."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lora_gui.families import family
from tests import tiny
from tests.bench import counts
from tests.bench.counting import CARD, count

WAITING = {
    "a number read": lambda x: x.sum().item(),
    "a condition": lambda x: bool((x > 0).any()),
    "a blocking copy to the host": lambda x: x.cpu(),
    "a blocking copy to the card": lambda x: torch.ones(3).to(CARD),
    "a blocking copy into a tensor of the host": lambda x: torch.ones(4, 8).copy_(x),
    "a tensor made of numbers": lambda x: torch.tensor([1.0, 2.0], device=CARD),
    "a choice by numbers of the host": lambda x: x[[0, 1]],
    "a list of its numbers": lambda x: x.tolist(),
    "a choice by a mask": lambda x: x[x > 0],
    "an assignment by a mask": lambda x: x.clone().__setitem__(x > 0, 0.0),
    "the places that are not zero": lambda x: x.nonzero(),
    "a comparison of whole tensors": lambda x: torch.equal(x, x.clone()),
}
WAITLESS = {
    "a copy to the card that does not block": lambda x: torch.ones(3).to(CARD, non_blocking=True),
    "a copy to the host that does not block": lambda x: torch.ones(4, 8).copy_(x, non_blocking=True),
    "a choice by numbers": lambda x: x[torch.zeros(2, dtype=torch.long, device=CARD)],
    "numbers of the host": lambda x: torch.ones(3).sum().item(),
    "random numbers": lambda x: torch.randn(3, device=CARD, generator=torch.Generator(CARD)),
    "arithmetic": lambda x: (x * 2).sum(),
}


def card(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device=CARD)


@pytest.mark.parametrize("what", WAITING)
def test_whatever_makes_the_host_wait_is_one_wait(what):
    x = card(4, 8)
    assert count(lambda: WAITING[what](x)).waits.total() == 1


@pytest.mark.parametrize("what", WAITLESS)
def test_what_does_not_make_the_host_wait_is_none(what):
    x = card(4, 8)
    assert count(lambda: WAITLESS[what](x)).waits.total() == 0


def test_kernels_are_launches_and_views_and_the_hosts_own_work_are_not():
    x, w = card(4, 8), card(16, 8)

    def work() -> None:
        torch.ones(3).exp()
        torch.empty(7, device=CARD)
        (x @ w.t()).view(2, 2, 16).transpose(0, 1)[0].detach().relu()

    assert count(work).launches == {"mm": 1, "relu": 1}


def test_a_backward_counts_with_its_forward():
    x, layer = card(4, 8), nn.Linear(8, 16, bias=False, device=CARD)
    counted = count(lambda: layer(x).sum().backward(), [layer])
    assert counted.launches["mm"] == 2  # forward, and the weight's gradient: `x` needs none


def test_a_kernel_over_a_list_is_launched_for_so_many_tensors_at_once():
    weights = [nn.Parameter(card(3)) for _ in range(100)]
    optimizer = torch.optim.AdamW(weights, fused=True)

    def step() -> None:
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        optimizer.step()

    assert count(step, warm_up=1).launches["_fused_adamw_"] == 3  # of 36, with four tensors for each weight


def test_what_is_kept_for_the_backward_is_what_the_step_has_made():
    x, weight = card(4, 8), nn.Parameter(card(8, 16))
    counted = count(lambda: (x @ weight).pow(2).sum().backward())
    # the product, which `pow` needs, the loss and the gradient that it begins with; `x` was there before
    assert counted.saved == 4 * 4 * 16 + 4 + 4


def test_of_a_checkpointed_part_only_its_input_is_kept():
    x, layers = card(4, 8), nn.Sequential(*(nn.Linear(8, 8, device=CARD) for _ in range(4)))

    def step(recompute: bool) -> None:
        first = layers[0](x).sin()
        rest = checkpoint(layers[1:], first, use_reentrant=False) if recompute else layers[1:](first)
        rest.sum().backward()

    kept, recomputed = (count(partial(step, recompute), [layers]).saved for recompute in (False, True))
    assert recomputed < kept


@pytest.mark.soak
def test_the_apps_step_and_pefts_are_counted_on_a_network_of_full_size():
    counted = counts.full_size("sd15", ("app", "peft"))
    assert counted["app"].waits.total() == 0
    assert counted["app"].launches.total() < counted["peft"].launches.total()
    assert counted["app"].saved <= counted["peft"].saved + 64  # bytes of what it says of its losses
    assert counted["peft"].saved / 2**30 == pytest.approx(0.97, abs=0.01)  # counted otherwise, see the planner


def test_a_whole_step_of_a_tiny_base_waits_for_nothing(tmp_path):
    assert not counts.small(family("sd1"), tiny.stable_diffusion_1(tmp_path)).waits
