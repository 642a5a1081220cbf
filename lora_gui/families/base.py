"""What a family of bases is: facts that anyone may read, and the methods that training and drawing call.

Facts cost nothing to import; a family's methods import torch and diffusers when they are called, so that the window,
which only needs the facts, opens at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.facts import Facts

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from lora_gui.families.shared.token_limit import Reader
    from lora_gui.settings import DrawSettings, TrainSettings


Load = Callable[[Any, Path, "torch.device", "torch.dtype"], Any]


def whole(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The network of a folder, of the class `kind`, as it is. Others of this kind may hold it in fewer bits."""
    return kind.from_pretrained(folder, dtype=dtype, use_safetensors=True).to(device).eval()


class Family(ABC):
    """One family. The engine calls these in this order and never asks which family it has."""

    facts: Facts

    def require_learning(self, base: Path) -> None:  # noqa: B027  most can learn
        """Raises UserError where a base can only be drawn with. Training begins with this."""

    @abstractmethod
    def encoders(
        self,
        base: Path,
        device: torch.device,
        dtype: torch.dtype,
        load: Load = whole,
        captions: bool = True,
        pictures: bool = True,
    ) -> Any:
        """Load what turns captions and pictures into tensors, or only one of the two; the engine frees it before the
        next is loaded. `load` is for the text encoders, which can be larger than anything else."""

    @abstractmethod
    def encode_pictures(self, encoders: Any, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """(B, 3, H, W) in [-1, 1] to what is cached of them, each (B, ...)."""

    @abstractmethod
    def encode_captions(self, encoders: Any, captions: list[str]) -> dict[str, torch.Tensor]:
        """Captions to what is cached of them, each (B, ...)."""

    def reader(self, base: Path) -> Reader | None:
        """What counts how much of a caption is read; None where there is no end to it."""
        return None

    @abstractmethod
    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        """Load the parts that may carry a LoRA by `load`, by their name in LoRA files, such as {"unet": ...}."""

    def text_encoders(self, base: Path, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Module]:
        """Load the text encoders that may carry a LoRA too, by their name in LoRA files; empty where none may."""
        return {}

    @abstractmethod
    def schedule(self, base: Path, device: torch.device) -> Any:
        """What `loss` must know of this base's noise, such as its table of noise levels; read once."""

    @abstractmethod
    def targets(self, part: str, layers: str) -> str:
        """A regular expression over module paths of `part`: the layers that learn."""

    @abstractmethod
    def loss(
        self,
        parts: dict[str, nn.Module],
        batch: Batch,
        schedule: Any,
        settings: TrainSettings,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Loss of each picture of the batch; (B,) fp32. All randomness comes from `generator`.

        Where `parts` holds a text encoder, the captions go through it; else what is cached of them is used.
        """

    @abstractmethod
    def pipeline(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Any:
        """A diffusers pipeline to draw with. Where `parts` is given, they are used as they are, and text encoders that
        are not among them are left out: captions then come encoded."""

    @abstractmethod
    def parts(self, pipeline: Any) -> dict[str, nn.Module]:
        """The parts of a pipeline that can carry a LoRA, by their name in LoRA files."""

    @abstractmethod
    def draw(
        self,
        pipeline: Any,
        settings: DrawSettings,
        seed: int,
        captions: dict[str, torch.Tensor] | None = None,
        progress: Callable[[int, Any], None] | None = None,
    ) -> Image.Image:
        """One drawing. `captions`, where given, is what `encode_captions` made of the prompt and the negative prompt,
        each (2, ...), and stands for both. `progress(step, latents)` is called after each step and may raise."""

    @abstractmethod
    def preview(self, pipeline: Any, latents: Any) -> Image.Image:
        """A rough and quick picture of unfinished latents."""


@dataclass(frozen=True)
class Batch:
    """What the cache gives for one step: pictures and captions as encoded by the family, and each picture's size."""

    pictures: dict[str, torch.Tensor]
    captions: dict[str, torch.Tensor]
    sizes: list[tuple[int, int]]  # (height, width) px of each picture in its bucket
