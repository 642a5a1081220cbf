"""What the denoiser learns: latents of the pictures, and the captions they are asked for by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from lora_gui.starter.recipe.concepts import COLOURS, caption, words
from lora_gui.starter.recipe.looks import LOOKS
from lora_gui.starter.recipe.pictures import PALETTE, SIZE, composite

COLOUR_NAMES = tuple(COLOURS)
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
LOOK_ALONE = 0.3  # of the looks' pictures without a caption, how many have the words of their look


@dataclass(frozen=True)
class Lessons:
    """Half of a batch is of the base's sets, asked for by name alone; half is of all LOOKS evenly, with their words."""

    concepts: tuple[str, ...]
    latents: np.ndarray  # (concept, set, colour, 8, 16, 16) float16
    looks: np.ndarray  # (row, colour, 8, 16, 16) float16
    rows: np.ndarray  # (row, 2), which concept in which look

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, list[str]]:
        """Random latents (size, 8, 16, 16) and their captions, in random order: noise levels go by place."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        parts = self._plain(size - size // 2, rng), self._in_looks(size // 2, rng)
        order = rng.permutation(size)
        chosen = torch.from_numpy(np.concatenate([latents for latents, _ in parts])[order]).float()
        texts = [text for _, some in parts for text in some]
        return chosen.contiguous(memory_format=torch.channels_last), [texts[i] for i in order]

    def _plain(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        names, sets, colours = (rng.integers(n, size=size) for n in self.latents.shape[:3])
        texts = [phrase(self.concepts[n], COLOUR_NAMES[c], rng) for n, c in zip(names, colours, strict=True)]
        return self.latents[names, sets, colours], texts

    def _in_looks(self, size: int, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        by_look = [np.flatnonzero(self.rows[:, 1] == look) for look in np.unique(self.rows[:, 1])]
        rows = np.array([rng.choice(by_look[look]) for look in rng.integers(len(by_look), size=size)])
        colours = rng.integers(self.looks.shape[1], size=size)
        texts = []
        for (name, look), colour in zip(self.rows[rows], colours, strict=True):
            text = phrase(self.concepts[name], COLOUR_NAMES[colour], rng)
            alone = LOOKS[look].words if rng.random() < LOOK_ALONE else ""
            texts.append(f"{text}, {LOOKS[look].words}" if text else alone)
        return self.looks[rows, colours], texts


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray, cache: Path) -> np.ndarray:
    """Every picture on every colour as latents; (name, set, colour, 8, 16, 16) float16.

    None is mirrored: that would be twice as much to learn, and what is drawn would be no better for it.
    """
    if cache.exists():
        return np.load(cache)
    rows = []
    for picture in pictures.reshape(-1, SIZE, SIZE, 4):
        x = composite(np.repeat(picture[None], len(PALETTE), axis=0), PALETTE)
        rgb = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
        latents = vae.encode(rgb).latent_dist.mode()
        rows.append(latents.half().numpy())
    latents = np.stack(rows).reshape(*pictures.shape[:2], *rows[0].shape)
    np.save(cache, latents)
    return latents


def phrase(name: str, colour: str, rng: np.random.Generator) -> str:
    """An augmented caption: mostly plain; now and then reworded, with a nonsense word in front, or empty (dropout)."""
    if rng.random() < 0.1:
        return ""
    text = caption(name, colour)
    kind = rng.random()
    if kind < 0.05:
        text = words(name)
    elif kind < 0.12:
        text = "a " + text
    elif kind < 0.17:
        text = f"{words(name)}, {colour} background"
    if rng.random() < 0.12:
        text = f"{_nonsense(rng)} {text}"
    return text


def _nonsense(rng: np.random.Generator) -> str:
    """A word such as a trigger word, `zxy_style`: it must not throw the rest of the prompt off."""
    word = "".join(rng.choice(LETTERS, rng.integers(2, 7)))
    return word + ("", "", "_style", " style")[rng.integers(4)]
