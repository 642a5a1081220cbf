"""Which noise levels are met more often: the cubic table, for whole and for continuous timesteps."""

from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from lora_gui.engine.train import timestep_bias
from lora_gui.families.shared.noising import Diffusion, RectifiedFlow
from lora_gui.families.wuerstchen.stages import Cosine
from lora_gui.few_pictures import TimestepBias

DIFFUSION = Diffusion.of(DDIMScheduler(), torch.device("cpu"))


def drawn(process, count=100_000):
    return process.timesteps(torch.zeros(count, 4, 2, 2), torch.Generator().manual_seed(1))


def test_every_choice_is_in_the_table_and_balanced_is_what_was_drawn():
    assert tuple(timestep_bias.BIASES) == get_args(TimestepBias)
    timesteps = drawn(DIFFUSION, 10)
    assert timestep_bias.applied("balanced", timesteps, DIFFUSION.noisiest) is timesteps


@pytest.mark.parametrize("bias, expected", [
    ("style", lambda share: share ** (1 / 3)),  # how many are below a share: of u^3, and of 1 - (1 - u)^3
    ("content", lambda share: 1 - (1 - share) ** (1 / 3)),
])  # fmt: skip
def test_whole_timesteps_are_spread_as_the_cube_says_from_end_to_end(bias, expected):
    found = timestep_bias.applied(bias, drawn(DIFFUSION), DIFFUSION.noisiest)
    assert found.dtype == torch.int64 and int(found.min()) >= 0 and int(found.max()) <= 999
    for share in (0.1, 0.5, 0.9):
        assert float((found < 1000 * share).double().mean()) == pytest.approx(expected(share), abs=0.01)


@pytest.mark.parametrize("process", [RectifiedFlow(lambda cells: 3.0), Cosine(0.008)], ids=["flow", "cosine"])
def test_continuous_timesteps_keep_what_the_base_draws_and_are_moved(process):
    plain = drawn(process)
    style, content = (timestep_bias.applied(bias, plain, process.noisiest) for bias in ("style", "content"))
    share = plain.double().numpy() / process.noisiest
    np.testing.assert_allclose(style.numpy(), share**3 * process.noisiest, rtol=1e-4, atol=1e-5)
    assert float(style.mean()) < float(plain.mean()) < float(content.mean()) <= process.noisiest
    assert float(content.max()) <= process.noisiest and float(style.min()) >= 0


@pytest.mark.parametrize("bias", ["balanced", "style"])
def test_only_noise_within_is_learnt_and_all_of_it(bias):
    found = timestep_bias.applied(bias, drawn(DIFFUSION), DIFFUSION.noisiest, (0.5, 0.8))
    assert found.dtype == torch.int64 and set(found.tolist()) == set(range(500, 800))
    plain = drawn(RectifiedFlow(lambda cells: 3.0))
    moved = timestep_bias.applied(bias, plain, 1000, (0.0, 0.8))
    torch.testing.assert_close(moved, timestep_bias.applied(bias, plain, 1000) * 0.8)
