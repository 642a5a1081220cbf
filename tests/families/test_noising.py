"""The shared noise processes and the loss, against diffusers' own schedulers."""

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_snr

from lora_gui.engine.train import losses
from lora_gui.engine.train.losses import mean_error
from lora_gui.families.base import Noising
from lora_gui.families.shared.noising import Diffusion, RectifiedFlow, noise_like
from lora_gui.settings import TrainSettings

TIMESTEPS = torch.tensor([0, 10, 500, 999])


def weight(noising: Noising, timesteps: torch.Tensor = TIMESTEPS, **settings):
    return losses.weight(noising, timesteps, TrainSettings(**settings))


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
    torch.testing.assert_close(weight(noising, min_snr_gamma=5.0), expected)
    assert weight(noising, min_snr_gamma=0) == 1


def test_min_snr_is_finite_where_nothing_is_left_of_the_picture():
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", rescale_betas_zero_snr=True)
    for prediction in ("epsilon", "v_prediction", "sample"):
        noising = Diffusion(scheduler.alphas_cumprod, prediction)
        for settings in (TrainSettings(min_snr_gamma=5), TrainSettings(debiased=True)):
            assert losses.weight(noising, torch.arange(1000), settings).isfinite().all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_the_debiased_loss_is_the_same_error_of_the_noise_whatever_is_predicted(prediction):
    """Yu et al. 2023: the error of the noise over the root of the signal-to-noise ratio, in the place of min-SNR."""
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
    latents, noise = tensors()
    noising, times = Diffusion(scheduler.alphas_cumprod, prediction), torch.tensor([50, 100, 500, 900])
    noisy, target = (make(latents, noise, times) for make in (noising.noisy, noising.target))
    guess = target + 0.01 * torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
    found = mean_error(guess, target) * weight(noising, times, debiased=True, min_snr_gamma=5)
    abar = scheduler.alphas_cumprod[times].view(-1, 1, 1, 1).double()
    x0 = noising.x0(noisy, guess, times).double()
    of_noise = ((noisy - abar.sqrt() * x0) / (1 - abar).sqrt() - noise).square().flatten(1).mean(1)
    expected = of_noise * ((1 - abar) / abar).sqrt().flatten()
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=1e-8)


def test_the_weights_of_a_base_are_its_own_where_nothing_else_is_asked_for_and_where_it_has_no_ratio():
    flow, settings = RectifiedFlow(lambda cells: 1.0), TrainSettings(debiased=True, min_snr_gamma=5)
    assert weight(flow) == weight(flow, debiased=True, min_snr_gamma=5) == 1
    told = [note.text for note in losses.notes({"x": flow}, settings.model_copy(update={"loss": "huber"}))]
    assert ["not debiased" in told[0], "Huber's schedule is exponential" in told[1], len(told)] == [True, True, 2]
    diffusion = Diffusion(torch.full((10,), 0.5), "epsilon")
    assert [note.text for note in losses.notes({"x": diffusion}, settings)] == [
        "The debiased loss takes the place of min-SNR."
    ]
    assert not list(losses.notes({"x": flow, "y": diffusion}, TrainSettings(min_snr_gamma=5)))


@pytest.mark.parametrize("schedule", ["constant", "exponential", "snr"])
def test_huber_is_squared_for_small_errors_and_grows_evenly_for_large_ones(schedule):
    noising, c = Diffusion(DDPMScheduler(beta_schedule="scaled_linear").alphas_cumprod, "epsilon"), 0.1
    settings = TrainSettings(loss="huber", huber_c=c, huber_schedule=schedule)
    threshold = losses.huber_threshold(noising, TIMESTEPS, settings)
    for n, time in enumerate(TIMESTEPS.tolist()):
        abar = float(noising.alphas_cumprod[time])
        expected = {
            "constant": c,
            "exponential": c ** (time / 1000),
            "snr": (1 - c) / (1 + ((1 - abar) / abar) ** 0.5) ** 2 + c,
        }[schedule]
        assert float(threshold[n]) == pytest.approx(expected, rel=1e-4)
    target = torch.zeros(4, 1, 1, 1)
    for error in (1e-3, 0.3, 50.0):
        found = mean_error(target + error, target, None, threshold)
        for one, value in zip(threshold.tolist(), found.tolist(), strict=True):
            # by its derivative, the tamed error 2 d c / sqrt(d^2 + c^2), summed up from 0
            count = 20_000
            ds = [(n + 0.5) * error / count for n in range(count)]
            summed = sum(2 * d * one / (d * d + one * one) ** 0.5 for d in ds) * error / count
            assert value == pytest.approx(summed, rel=2e-3)
    assert losses.huber_threshold(noising, TIMESTEPS, TrainSettings()) is None


def test_huber_counts_cells_as_the_squared_loss_does():
    one, two = tensors()
    counts, threshold = (torch.arange(64) % 2).view(1, 1, 8, 8).expand(4, 1, 8, 8).float(), torch.full((4,), 0.2)
    single = [mean_error(one[..., n : n + 1], two[..., n : n + 1], None, threshold) for n in (1, 3, 5, 7)]
    torch.testing.assert_close(mean_error(one, two, counts, threshold), torch.stack(single).mean(0))


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
    assert mean_error(one, two).tolist() == [160000.0] * 3  # more than fp16 holds
