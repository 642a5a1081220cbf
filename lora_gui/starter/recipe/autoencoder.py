"""Train the starter's autoencoder: 128 px pictures to 16 x 16 latents of 8 channels and back."""

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from lora_gui.starter.recipe.pictures import PALETTE, SIZE, composite
from lora_gui.starter.recipe.training import Training, mixed_precision

CROP = 64  # px; the first part of the training sees crops, four times as many a second


def make_autoencoder() -> AutoencoderKL:
    """A KL autoencoder, f8, narrow where two thirds of the time goes; no attention, so that it trains on crops."""
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(16, 32, 64, 128),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def batch(pictures: np.ndarray, size: int, crop: int, generator: torch.Generator) -> torch.Tensor:
    """Random pictures of (N, H, W, 4) on random colours, near the named ones or anywhere; (size, 3, crop, crop)."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    rng = np.random.default_rng(seed)
    chosen = pictures[rng.integers(len(pictures), size=size)]
    colours = PALETTE[rng.integers(len(PALETTE), size=size)]
    colours = np.where(rng.random((size, 1)) < 0.25, rng.uniform(0, 255, (size, 3)), colours)
    y, x = rng.integers(0, SIZE - crop + 1, size=2)
    chosen = chosen[:, y : y + crop, x : x + crop]
    if rng.random() < 0.5:
        chosen = chosen[:, :, ::-1]
    return torch.from_numpy(composite(chosen, colours)).contiguous(memory_format=torch.channels_last)


def loss_of(vae: AutoencoderKL, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """L1 and MSE of the reconstruction, plus a small KL term; x is (B, 3, H, W) in [-1, 1]."""
    posterior = vae.encode(x).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator)
    y = vae.decode(posterior.mean + posterior.std * noise).sample
    return F.l1_loss(y, x) + 4 * F.mse_loss(y, x) + 2e-5 * posterior.kl().mean() / posterior.mean[0].numel() * 16


@torch.no_grad()
def reconstructed(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """What it makes of pictures (B, 3, H, W) in [-1, 1], without noise in the latents; the same shape and bounds."""
    y: torch.Tensor = vae.decode(vae.encode(x).latent_dist.mode()).sample
    return y.clamp(-1, 1)


@torch.no_grad()
def psnr(vae: AutoencoderKL, x: torch.Tensor) -> float:
    """Mean peak signal-to-noise ratio of the reconstructions in dB; x is (B, 3, H, W) in [-1, 1]."""
    y = reconstructed(vae, x)
    mse = ((y - x) / 2).pow(2).mean(dim=(1, 2, 3))
    return float((-10 * mse.log10()).mean())


def train_autoencoder(
    pictures: np.ndarray, folder: Path, steps: int, begin_from: Path | None = None
) -> AutoencoderKL:
    """Train on RGBA `pictures` (N, SIZE, SIZE, 4), resuming from `folder`; returns the network with its EMA weights.

    One that is trained further, `begin_from`, changes at half the rate, so that its latents stay nearly what they were.
    """
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(begin_from).float() if begin_from else make_autoencoder()
    vae = vae.to(memory_format=torch.channels_last)
    rate = 1e-3 if begin_from else 2e-3
    training = Training({"vae": vae}, rate=rate, steps=steps, decay=0.998, folder=folder)
    training.resume()
    fixed = batch(pictures, 48, SIZE, torch.Generator().manual_seed(7))
    began = time.monotonic()
    while training.step < steps:
        generator = training.generator()
        early = training.step < steps // 2
        x = batch(pictures, 16 if early else 8, CROP if early else SIZE, generator)
        with mixed_precision():
            loss = loss_of(vae, x, generator)
        training.update(loss)
        if training.step % 200 == 0 or training.step == steps:
            training.save()
            took = time.monotonic() - began
            found = f"loss {loss.item():.4f} psnr {psnr(vae, fixed):.2f}"
            print(f"autoencoder {training.step}/{steps} {found} {took:.0f}s", flush=True)
    training.use_ema()
    print(f"autoencoder averaged psnr {psnr(vae, fixed):.2f} dB", flush=True)
    return vae.eval()


@torch.no_grad()
def standardise(vae: AutoencoderKL, pictures: np.ndarray) -> None:
    """Give every latent channel mean 0 and standard deviation 1, folded into the two 1 x 1 convolutions.

    So the pipeline needs no scaling factor, and the signal-to-noise ratio is the same in every channel.
    """
    x = batch(pictures, 256, SIZE, torch.Generator().manual_seed(11))
    latents = torch.cat([vae.encode(part).latent_dist.mode() for part in x.split(32)])
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:channels] /= deviation[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / deviation
    before.bias[channels:] -= 2 * deviation.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= deviation[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)
