"""Masked loss: how much each cell of a picture's latents counts, by the mask that lies beside the picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lora_gui import files
from lora_gui.engine.train import buckets
from lora_gui.errors import UserError
from lora_gui.families.base import Batch
from lora_gui.framing import Framing
from lora_gui.protocol.events import Note
from lora_gui.protocol.jobs import TrainJob, TrainPicture, mask_beside
from lora_gui.settings import TrainSettings

KEY = "mask"  # among what is cached of a picture
_CELL = 8  # px that a mask is kept at; the cells of nearly all latents


def wanted(job: TrainJob) -> bool:
    """Whether cells count differently in this run; where no picture has a mask nothing is computed otherwise."""
    return job.settings.masked_loss and any(picture.mask for picture in job.pictures)


def notes(job: TrainJob) -> Iterator[Note]:
    """What there is to tell of the masks of a run."""
    masked, learnt_by = [picture for picture in job.pictures if picture.mask], job.settings.masked_loss
    told = f"Pictures with a mask: {len(masked)} of {len(job.pictures)}."
    if learnt_by:
        yield Note(f"{told} What is white in it is learnt." if masked else "No picture has a mask; all is learnt.")
    elif masked:
        yield Note(f"{told} Masks are not looked at, since Learn by masks is off.")
    for picture in masked if learnt_by else ():
        path, now = Path(picture.path), mask_beside(Path(picture.path))
        if now.is_file() and files.sha256(now) != picture.mask:
            yield Note(f"The mask of {_called(path)} was changed since this run began; it is learnt by as it is now.")


def kept(picture: TrainPicture, framing: Framing, mirrored: bool, outside: float = 1) -> torch.Tensor:
    """A picture's mask, framed as the picture is: (1, H/8, W/8) in [0, 1], the mean of each cell; one without is white.

    Raises UserError where it is not there any more, or where nothing of the picture would count, as what is black
    counts `outside`.
    """
    width, height = framing.bucket
    pixels = torch.ones((1, 1, height, width))
    if picture.mask:
        pixels[0, 0] = torch.from_numpy(np.array(_opened(Path(picture.path), framing))) / 255
    size = max(1, round(height / _CELL)), max(1, round(width / _CELL))
    found = torch.nn.functional.interpolate(pixels, size, mode="area")[0]
    if not outside and not bool(found.any()):
        raise UserError(
            f"The mask of {_called(Path(picture.path))} has no white where the picture is learnt: nothing would count.",
            "Paint on its mask or move its frame, leave the picture out, or set Outside of masks above 0.",
        )
    return found.flip(-1) if mirrored else found


def counts(batch: Batch, latents: torch.Tensor, settings: TrainSettings) -> torch.Tensor | None:
    """How much each cell of latents (B, C, h, w) counts, (B, 1, h, w): its share of white, and at least the weight of
    what is not masked, as OneTrainer has it. None where all count alike, as in embeddings, which have no cells."""
    mask = batch.pictures.get(KEY)
    if mask is None or latents.ndim != 4:
        return None
    return torch.nn.functional.interpolate(mask, latents.shape[-2:], mode="area").clamp(settings.unmasked_weight, 1)


def _called(picture: Path) -> str:
    """A picture of a set by its number, since its file is not called as the user's was."""
    return f"picture {picture.stem.lstrip('0') or 0}"


def _opened(picture: Path, framing: Framing) -> Image.Image:
    try:
        with Image.open(mask_beside(picture), formats=("PNG",)) as image:
            return buckets.fit(image.convert("L"), framing, Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        what = f"The mask of {_called(picture)} cannot be read."
        raise UserError(what, "Put it on its picture again, or switch Learn by masks off.") from None
