"""The noise processes that families share: discrete diffusion and rectified flow. Knows no model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from lora_gui.families.base import Noising
from lora_gui.settings import DrawSettings

_SMALLEST = 1e-5  # of alphas_cumprod, where it is divided by


class VariancePreserving(Noising):
    """x_t = sqrt(abar) x_0 + sqrt(1 - abar) n (Ho et al. 2020, eq. 4), by whichever schedule."""

    @abstractmethod
    def abar(self, timesteps: torch.Tensor) -> torch.Tensor:
        """The share of the signal, squared, at `timesteps`; (B,)."""

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        signal, sigma = self._scales(timesteps, latents)
        return signal * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """v = sqrt(abar) n - sqrt(1 - abar) x_0 (Salimans and Ho 2022, appendix D)."""
        signal, sigma = self._scales(timesteps, latents)
        targets = {
            "epsilon": lambda: noise,
            "v_prediction": lambda: signal * noise - sigma * latents,
            "sample": lambda: latents,
        }
        return targets[self.predicts]()

    def snr(self, timesteps: torch.Tensor) -> torch.Tensor:
        abar = self.abar(timesteps)
        return abar / (1 - abar)

    def x0(self, noisy: torch.Tensor, predicted: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        signal, sigma = self._scales(timesteps, noisy)
        finished = {
            "epsilon": lambda: (noisy - sigma * predicted) / signal.clamp(min=math.sqrt(_SMALLEST)),
            "v_prediction": lambda: signal * noisy - sigma * predicted,
            "sample": lambda: predicted,
        }
        return finished[self.predicts]()

    def _scales(self, timesteps: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """sqrt(abar) and sqrt(1 - abar), shaped to multiply `like`."""
        abar = per_picture(self.abar(timesteps), like)
        return abar.sqrt(), (1 - abar).sqrt()


@dataclass(frozen=True)
class Diffusion(VariancePreserving):
    """Discrete diffusion: the table alphas_cumprod (T,), and what is predicted, named as diffusers names it."""

    alphas_cumprod: torch.Tensor
    prediction: str  # epsilon, v_prediction or sample

    @classmethod
    def of(cls, scheduler: Any, device: torch.device) -> Diffusion:
        """As a diffusers scheduler has it."""
        return cls(scheduler.alphas_cumprod.to(device), scheduler.config.prediction_type)

    @property
    def noisiest(self) -> float:
        return len(self.alphas_cumprod)

    def timesteps(self, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Each as often as any other, (B,) int64."""
        shape, steps = whole_batch((len(latents),), generator), len(self.alphas_cumprod)
        whole = torch.randint(steps, shape, generator=generator, device=latents.device)
        return own_rows(whole, len(latents), generator)

    def abar(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Some samplers have timesteps between two of the table; the earlier one stands for them."""
        return self.alphas_cumprod[timesteps.long()]

    @property
    def predicts(self) -> str:
        return self.prediction

    def predicting(self, prediction: str) -> Diffusion:
        return self if self.prediction == "sample" else replace(self, prediction=prediction)


@dataclass(frozen=True)
class RectifiedFlow(Noising):
    """x_t = (1 - sigma) x_0 + sigma n, and the velocity n - x_0 is predicted (Esser et al. 2024, eq. 13).

    A timestep is 1000 sigma, as in diffusers' flow schedulers. `shift` says for a picture of so many cells how far
    noise levels move to the noisy side; 1 is not at all.
    """

    shift: Callable[[int], float]

    @property
    def noisiest(self) -> float:
        return 1000

    def timesteps(self, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Logit-normal noise levels, shifted (Esser et al. 2024, eq. 19 and 23); (B,) fp32 in (0, 1000)."""
        sigma = torch.sigmoid(normal((len(latents),), latents.device, generator))
        shift = self.shift(latents.shape[-2] * latents.shape[-1])
        return 1000 * (shift * sigma / (1 + (shift - 1) * sigma))

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        sigma = per_picture(timesteps / 1000, latents)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return noise - latents

    def x0(self, noisy: torch.Tensor, predicted: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return noisy - per_picture(timesteps / 1000, noisy) * predicted


def noise_like(latents: torch.Tensor, offset: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise, with `offset` a random shift of whole channels (crosslabs.org, noise offset, 2023).

    An embedding (B, C) has no channels that could shift.
    """
    noise = normal(latents.shape, latents.device, generator)
    if offset and latents.ndim > 2:
        noise = noise + offset * normal((*latents.shape[:2], *[1] * (latents.ndim - 2)), latents.device, generator)
    return noise


def normal(shape: tuple[int, ...] | torch.Size, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """Gaussian numbers in fp32."""
    whole = torch.randn(whole_batch(shape, generator), generator=generator, device=device)
    return own_rows(whole, shape[0], generator)


def uniform(count: int, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """Even numbers in [0, 1), (count,) fp32."""
    whole = torch.rand(whole_batch((count,), generator), generator=generator, device=device)
    return own_rows(whole, count, generator)


def first_noise(
    shape: tuple[int, ...], settings: DrawSettings, generator: torch.Generator, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """What a drawing begins with, drawn as diffusers does; a variation goes so far towards the noise of its seed."""
    noise = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
    if not settings.variation:
        return noise
    other = torch.Generator().manual_seed(settings.variation_seed)
    return slerp(settings.variation, noise, randn_tensor(shape, generator=other, device=device, dtype=dtype))


def slerp(share: float, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """From `low` to `high` along the arc between them (Shoemake 1985), so that noise stays as strong as it is."""
    one, two = low.float().flatten(), high.float().flatten()
    angle = torch.acos((one @ two / (one.norm() * two.norm())).clamp(-1, 1))
    if angle.sin() < _SMALLEST:
        return torch.lerp(low, high, share)
    mixed = torch.sin((1 - share) * angle) * low.float() + torch.sin(share * angle) * high.float()
    return (mixed / angle.sin()).to(low.dtype)


class SharedGenerator(torch.Generator):
    """That of one of `count` processes which learn from one batch together: each draws for all of it and takes its
    rows, so their numbers differ, and are those that one process with the whole batch would draw."""

    rank, count = 0, 1


def whole_batch(shape: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    """The shape of what is drawn in place of `shape`, whose first dimension is this process's share of a batch."""
    return (shape[0] * generator.count, *shape[1:]) if isinstance(generator, SharedGenerator) else tuple(shape)


def own_rows(whole: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """This process's rows of what was drawn for a whole batch."""
    return whole[generator.rank * count :][:count] if isinstance(generator, SharedGenerator) else whole


def per_picture(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B,) shaped so that it multiplies (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
