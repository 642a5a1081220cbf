"""The picture that a drawing begins with, and its mask: from files of our own to tensors, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter

from lora_gui.errors import UserError
from lora_gui.families.base import Over
from lora_gui.settings import DrawSettings

_ANEW = 0.5  # from this brightness of the mask on


@dataclass(frozen=True)
class Beginning:
    """A picture as large as the drawing, how much of it is given up, and where: white in `mask` is drawn anew."""

    picture: Image.Image
    strength: float
    mask: Image.Image | None = None
    blur: int = 0  # px, of the edge between what is drawn and what is kept

    def over(self) -> Over:
        """As families take it."""
        mask = None
        if self.mask is not None:
            mask = (_values(self.mask.convert("L"))[None, None] >= _ANEW).float()
        pixels = _values(self.picture.convert("RGB"))[None].permute(0, 3, 1, 2)
        return Over(pixels * 2 - 1, self.strength, mask)

    def kept(self, drawing: Image.Image) -> Image.Image:
        """The drawing with the picture's own pixels where the mask is black, its edge softened."""
        if self.mask is None:
            return drawing
        edge = self.mask.convert("L").filter(ImageFilter.GaussianBlur(self.blur))
        return Image.composite(drawing, self.picture.convert("RGB"), edge)


def beginning(settings: DrawSettings) -> Beginning | None:
    """What an order begins with; None for noise alone. Raises UserError where a file is gone or of another size."""
    if not settings.picture:
        return None
    picture = _opened(settings.picture, settings)
    mask = _opened(settings.mask, settings) if settings.mask else None
    return Beginning(picture, settings.denoising, mask, settings.mask_blur)


def _opened(path: str, settings: DrawSettings) -> Image.Image:
    """One of our own files, which were decoded in the sandbox and brought to size."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
    except OSError as error:
        raise UserError("The picture to begin with is not there any more.", "Choose it again.") from error
    if image.size != (settings.width, settings.height):
        raise UserError("The picture to begin with has another size than the drawing.", "Choose it again.")
    return image


def _values(image: Image.Image) -> torch.Tensor:
    """Pixels (H, W, ...) in [0, 1]."""
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255.0)
