"""The sampling loop by itself: what it steps through, what it tells, and how branches of the guidance come together."""

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from lora_gui.engine.draw.sampling import sample
from lora_gui.families.base import Stage
from lora_gui.families.shared.noising import Diffusion, RectifiedFlow

WANTED = torch.linspace(-1, 1, 2 * 4 * 4).view(1, 2, 4, 4)  # what a drawing should end with
NOISE = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(1))


def velocity(noisy, timesteps, conditions):
    """Of a denoiser that knows the picture, or another one for each row of the conditions."""
    sigma = (timesteps / 1000).view(-1, 1, 1, 1)
    return (noisy - conditions["picture"]) / sigma


def flow_stage(*pictures, **changes):
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    stage = Stage(
        predict=velocity,
        scheduler=scheduler,
        timesteps=scheduler.timesteps,
        latents=NOISE,
        noising=RectifiedFlow(lambda cells: 1.0),
        conditions=tuple({"picture": picture} for picture in pictures),
    )
    return replace(stage, **changes)


def test_a_denoiser_that_knows_the_picture_draws_it_and_each_predicted_x0_is_it():
    seen = []
    latents = sample(flow_stage(WANTED), torch.Generator(), lambda step, of, x0: seen.append((step, x0)))
    torch.testing.assert_close(latents, WANTED, atol=1e-5, rtol=1e-5)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    for _, x0 in seen:
        torch.testing.assert_close(x0, WANTED, atol=1e-5, rtol=1e-5)


def test_branches_of_the_guidance_are_the_same_in_one_batch_and_in_two():
    def guide(unconditional, conditional):
        return unconditional + 3.0 * (conditional - unconditional)

    unwanted = torch.zeros_like(WANTED)
    apart = sample(flow_stage(unwanted, WANTED, guide=guide), torch.Generator())
    together = sample(flow_stage(torch.cat([unwanted, WANTED]), guide=guide), torch.Generator())
    torch.testing.assert_close(apart, together)
    torch.testing.assert_close(apart, 3.0 * WANTED, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("end", "guided"), [(1.0, 5), (0.75, 4), (0.3, 2), (0.0, 0)])
def test_guidance_ends_after_its_share_of_the_steps(end, guided):
    called = []

    def guide(unconditional, conditional):
        called.append(len(conditional))
        return conditional

    both = torch.cat([torch.zeros_like(WANTED), WANTED])
    stage = flow_stage(both, guide=guide, guidance_end=end, unguided={"picture": WANTED})
    torch.testing.assert_close(sample(stage, torch.Generator()), WANTED, atol=1e-5, rtol=1e-5)
    assert called == [1] * guided


def test_what_is_raised_after_a_step_ends_the_drawing_before_the_next():
    asked = []

    def counted(*told):
        asked.append(told)
        return velocity(*told)

    def enough(step, of, x0):
        if step == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        sample(flow_stage(WANTED, predict=counted), torch.Generator(), enough)
    assert len(asked) == 2


def test_a_stage_that_is_not_shown_tells_its_steps_alone_and_a_learned_variance_is_no_part_of_x0():
    seen = []
    sample(flow_stage(WANTED, shown=False), torch.Generator(), lambda step, of, x0: seen.append(x0))
    assert seen == [None] * 5  # so that it can be ended, too
    seen.clear()

    class Halved(FlowMatchEulerDiscreteScheduler):
        def step(self, predicted, timestep, latents):
            return super().step(predicted[:, : latents.shape[1]], timestep, latents)

    scheduler = Halved()
    scheduler.set_timesteps(5)
    with_variance = flow_stage(
        WANTED, scheduler=scheduler, predict=lambda *told: torch.cat([velocity(*told), torch.ones_like(NOISE)], dim=1)
    )
    sample(with_variance, torch.Generator(), lambda step, of, x0: seen.append(x0))
    torch.testing.assert_close(seen[0], WANTED, atol=1e-5, rtol=1e-5)


def test_noise_that_a_scheduler_adds_follows_from_the_generator_alone():
    class Noisy(DDIMScheduler):
        def step(self, predicted, timestep, latents, eta=0.0, generator=None):
            return super().step(predicted, timestep, latents, eta=1.0, generator=generator)

    def drawing(seed):
        scheduler = Noisy()
        scheduler.set_timesteps(5)
        stage = flow_stage(
            WANTED,
            predict=lambda noisy, timesteps, conditions: torch.zeros_like(noisy),
            scheduler=scheduler,
            timesteps=scheduler.timesteps,
            noising=Diffusion.of(scheduler, torch.device("cpu")),
        )
        return sample(stage, torch.Generator().manual_seed(seed))

    assert torch.equal(drawing(1), drawing(1))
    assert not torch.equal(drawing(1), drawing(2))
