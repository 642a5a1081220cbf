"""The shared noise processes and the loss, against diffusers' own schedulers."""

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from lora_gui.engine.train.losses import squared_error
from lora_gui.families.shared.noising import Diffusion, RectifiedFlow, noise_like

TIMESTEPS = torch.tensor([0, 10, 500, 999])


def tensors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 4, 8, 8, generator=generator)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_noise_and_target_are_those_of_diffusers(prediction):
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
    latents, noise = tensors()
    noising = Diffusion(scheduler.alphas_cumprod, prediction)
    noisy, target = (make(latents, noise, TIMESTEPS) for make in (noising.noisy, noising.target))
    targets = {"epsilon": noise, "v_prediction": scheduler.get_velocity(latents, noise, TIMESTEPS), "sample": latents}
    torch.testing.assert_close(noisy, scheduler.add_noise(latents, noise, TIMESTEPS))
    torch.testing.assert_close(target, targets[prediction])
    torch.testing.assert_close(noising.x0(noisy, target, TIMESTEPS), latents, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_as_the_field_does(prediction):
    scheduler = DDPMScheduler(beta_schedule="scaled_linear")
    snr = compute_snr(scheduler, TIMESTEPS)
    expected = torch.minimum(snr, torch.tensor(5.0)) / (snr if prediction == "epsilon" else snr + 1)
    noising = Diffusion(scheduler.alphas_cumprod, prediction)
    torch.testing.assert_close(noising.weight(TIMESTEPS, 5.0), expected)
    assert noising.weight(TIMESTEPS, 0) == 1


def test_min_snr_is_finite_where_nothing_is_left_of_the_picture():
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    for prediction in ("epsilon", "v_prediction", "sample"):
        weights = Diffusion(scheduler.alphas_cumprod, prediction).weight(torch.arange(1000), 5.0)
        assert weights.isfinite().all()


def test_flow_noise_is_that_of_diffusers():
    scheduler = FlowMatchEulerDiscreteScheduler()
    latents, noise = tensors()
    timesteps = scheduler.timesteps[[3, 100, 500, 900]]
    noising = RectifiedFlow(lambda cells: 1.0)
    noisy, velocity = (make(latents, noise, timesteps) for make in (noising.noisy, noising.target))
    torch.testing.assert_close(noisy, scheduler.scale_noise(latents, timesteps, noise))
    torch.testing.assert_close(velocity, noise - latents)
    torch.testing.assert_close(noising.x0(noisy, velocity, timesteps), latents)


def test_the_shift_of_flow_is_that_of_diffusers():
    latents = torch.zeros(1000, 4, 8, 8)
    plain, shifted = (
        RectifiedFlow(lambda cells, shift=shift: shift).timesteps(latents, torch.Generator().manual_seed(3)) / 1000
        for shift in (1.0, 3.0)
    )
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))
    assert 0 < plain.min() < plain.max() < 1
    assert abs(plain.median() - 0.5) < 0.05


def test_noise_offset_moves_whole_channels():
    latents = torch.zeros(2, 4, 64, 64)
    plain = noise_like(latents, 0.0, torch.Generator().manual_seed(1))
    moved = noise_like(latents, 0.5, torch.Generator().manual_seed(1))
    difference = moved - plain
    assert difference.std((2, 3)).max() < 1e-6
    assert difference.mean((2, 3)).std() > 0.1


def test_the_error_of_each_picture_is_computed_in_fp32():
    one, two = torch.full((3, 4), 100.0, dtype=torch.float16), torch.full((3, 4), -300.0, dtype=torch.float16)
    assert squared_error(one, two).tolist() == [160000.0] * 3  # more than fp16 holds
