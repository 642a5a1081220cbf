"""The maths of training that families share: noise prediction and rectified flow. Knows no model."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class NoiseSchedule:
    """How a base was noised when it was trained: the table of its signal shares (T,), and what it predicts."""

    alphas_cumprod: torch.Tensor
    prediction: str  # epsilon, v_prediction or sample, as in the scheduler's own configuration

    def noised(
        self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The noisy latents and what the base should predict from them, both shaped as `latents` (B, ...).

        x_t = sqrt(abar) x_0 + sqrt(1 - abar) n (Ho et al. 2020, eq. 4); v = sqrt(abar) n - sqrt(1 - abar) x_0
        (Salimans and Ho 2022, appendix D).
        """
        abar = per_picture(self.alphas_cumprod[timesteps], latents)
        signal, sigma = abar.sqrt(), (1 - abar).sqrt()
        targets = {
            "epsilon": noise,
            "v_prediction": signal * noise - sigma * latents,
            "sample": latents,
        }
        return signal * latents + sigma * noise, targets[self.prediction]

    def min_snr_weight(self, timesteps: torch.Tensor, gamma: float) -> torch.Tensor:
        """Weight of each picture's loss, (B,); Hang et al. 2023, eq. 7, written for each kind of prediction."""
        abar = self.alphas_cumprod[timesteps]
        snr = abar / (1 - abar)
        capped = snr.clamp(max=gamma)
        weights = {
            "epsilon": capped / snr.clamp(min=1e-8),
            "v_prediction": capped / (snr + 1),
            "sample": capped,
        }
        return weights[self.prediction]


def noise_like(latents: torch.Tensor, offset: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise, shifted by a random amount per channel where `offset` > 0 (crosslabs.org, noise offset, 2023)."""
    noise = normal(latents.shape, latents.device, generator)
    if offset:
        noise = noise + offset * normal((*latents.shape[:2], *[1] * (latents.ndim - 2)), latents.device, generator)
    return noise


def flow_noised(
    latents: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noisy latents at `sigma` (B,) in (0, 1) and the velocity to predict (Esser et al. 2024, eq. 13)."""
    sigma = per_picture(sigma, latents)
    return (1 - sigma) * latents + sigma * noise, noise - latents


def flow_sigmas(count: int, device: torch.device, generator: torch.Generator, shift: float = 1.0) -> torch.Tensor:
    """Logit-normal noise levels (count,), noisier where `shift` > 1 (Esser et al. 2024, eq. 19 and 23)."""
    sigma = torch.sigmoid(normal((count,), device, generator))
    return shift * sigma / (1 + (shift - 1) * sigma)


def squared_error(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each picture, computed in fp32; (B,)."""
    return (predicted.float() - target.float()).pow(2).flatten(1).mean(1)


def uniform_timesteps(count: int, steps: int, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """One timestep for each picture, (count,) int64 in [0, steps)."""
    return torch.randint(steps, (count,), generator=generator, device=device)


def normal(shape: tuple[int, ...] | torch.Size, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """Gaussian numbers in fp32."""
    return torch.randn(shape, generator=generator, device=device)


def per_picture(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B,) shaped so that it multiplies (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
