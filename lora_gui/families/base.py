"""The contract of a family of bases: what training, drawing and planning ask of it, and the values they exchange.

Only the engine imports this and the families' `model.py`; everybody else reads `facts.py`, which costs nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import nn

from lora_gui.facts import Facts
from lora_gui.families.shared.links import as_taken, require_all
from lora_gui.families.shared.token_limit import Reader
from lora_gui.framing import Framing
from lora_gui.settings import DrawSettings, TrainSettings

Load = Callable[[Any, Path, torch.device, torch.dtype], Any]
Tensors = dict[str, torch.Tensor]
Conditions = dict[str, Any]  # of a denoiser: tensors (B, ...), or a list of B where lengths differ


def whole(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """The network of a folder, of the class `kind`, as it is. Others of this kind may hold it in fewer bits."""
    with as_taken(folder, "diffusion_pytorch_model" if hasattr(kind, "load_config") else "model") as taken:
        network, told = kind.from_pretrained(taken, dtype=dtype, use_safetensors=True, output_loading_info=True)
    require_all(folder, told)
    return network.to(device).eval()


@dataclass(frozen=True)
class Batch:
    """What the cache gives for one step: pictures and captions as encoded by the family, and each picture's framing."""

    pictures: Tensors
    captions: Tensors
    framings: list[Framing]  # all of the same bucket

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) px of each picture in its bucket."""
        return [one.bucket[::-1] for one in self.framings]


class Noising(ABC):
    """How the latents of one part are noised, and what the part predicts. Timesteps (B,) are in the base's own units.

    Only `timesteps` draws random numbers; the rest is arithmetic on tensors.
    """

    @property
    @abstractmethod
    def noisiest(self) -> float:
        """The end of the timesteps, where nothing is left of the latents."""

    @abstractmethod
    def timesteps(self, latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """A timestep for each of the latents (B, ...), as often as training should meet it; (B,)."""

    @abstractmethod
    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The latents at `timesteps`, as the denoiser takes them."""

    @abstractmethod
    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """What the denoiser should predict of them."""

    def weight(self, timesteps: torch.Tensor) -> torch.Tensor | float:
        """The factor of each loss, (B,), by which the base itself was trained."""
        return 1.0

    def snr(self, timesteps: torch.Tensor) -> torch.Tensor | None:
        """Signal to noise, (B,), where losses are weighted by it; none of rectified flow."""
        return None

    @property
    def predicts(self) -> str:
        """Of what has a signal-to-noise ratio: epsilon, v_prediction or sample."""
        return "epsilon"

    @abstractmethod
    def x0(self, noisy: torch.Tensor, predicted: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The finished latents that a prediction amounts to; the opposite of `target`."""

    def predicting(self, prediction: str) -> Noising:
        """The same noise for a denoiser that predicts "epsilon" or "v_prediction", where it is one of the two."""
        return self


@dataclass
class Kit:
    """A base's networks in memory, ready to draw with."""

    parts: dict[str, Any]  # that may carry a LoRA, by their name in LoRA files; not those that have left memory
    encoders: Any  # of captions; None where captions come encoded
    vae: Any  # what decodes latents
    schedulers: dict[str, Any]  # diffusers' own, by the part they step; the last is the one that is named in drawings
    noising: dict[str, Noising]  # by part
    colours: Callable[[], torch.Tensor]  # from latents to RGB, for previews, found once; see shared/preview.py
    further: dict[str, Any] = field(default_factory=dict)  # what only this family needs

    @property
    def decoders(self) -> list[nn.Module]:
        """The networks that finish a drawing and never carry a LoRA."""
        return [one for one in (*self.further.values(), self.vae) if isinstance(one, nn.Module)]


@dataclass(frozen=True)
class Stage:
    """One pass from noise to finished latents, for the sampling loop."""

    predict: Callable[[torch.Tensor, torch.Tensor, Conditions], torch.Tensor]  # noisy latents, timesteps, conditions
    scheduler: Any  # one of diffusers, its timesteps set
    timesteps: torch.Tensor  # those to step through
    latents: torch.Tensor  # the noise to begin with, (B, ...)
    noising: Noising
    conditions: tuple[Conditions, ...]  # one batch, or one for each branch of the guidance; unconditional rows first
    guide: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None  # (unconditional, conditional) to guided
    guidance_end: float = 1.0  # share of the steps that are guided
    unguided: Conditions = field(default_factory=dict)  # of the conditional branch alone, for the others
    shown: bool = True  # whether progress is told and previews are made
    kept: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None
    # what latents become after each step, told the next timestep (None behind the last)


@dataclass(frozen=True)
class Over:
    """A picture that is drawn over: with how much noise a drawing begins, and where it is drawn anew at all."""

    pixels: torch.Tensor  # (1, 3, H, W) in [-1, 1]
    strength: float  # of the noise, in (0, 1]; 1 leaves nothing of the picture
    mask: torch.Tensor | None = None  # (1, 1, H, W), 1 where it is drawn anew and 0 where it is kept


@dataclass(frozen=True)
class TextLoad:
    """A text encoder as the planner runs it: tokens of a caption, whether told a mask, its layers where not all."""

    tokens: int
    masked: bool = False
    hidden_states: bool = True
    layers: int = 0


Run = Callable[[Any, int, int, torch.dtype], Any]  # network, pictures, their side in px, number format


@dataclass(frozen=True)
class Workload:
    """How a base's networks are run, by their folders' names: each on the meta device, for the memory planner."""

    denoisers: dict[str, Run]  # the last piece of a name is the part's name in LoRA files
    texts: dict[str, TextLoad]
    encoders: dict[str, Run]  # of pictures, in fp32
    decoders: dict[str, Run]
    in_16_bits: tuple[str, ...] = ()  # the encoders of pictures that are not
    drawn: int = 2  # rows of a denoiser's batch in a drawing with guidance


class Family(ABC):
    """One family. The engine calls these and never asks which family it has."""

    facts: Facts
    queries_apart: ClassVar[bool] = False  # whether its attention crosses without saying so in `is_cross_attention`

    # what a base is

    @abstractmethod
    def require_fitting(self, base: Path) -> None:
        """Raises UserError where a base names this family and is built for another task, such as filling in."""

    def require_learning(self, base: Path) -> None:
        """Raises UserError where a base can only be drawn with, or not even that. Training begins with this."""
        self.require_fitting(base)

    @abstractmethod
    def targets(self, part: str, layers: str) -> str:
        """A regular expression over module paths of `part`: the layers that learn."""

    @abstractmethod
    def workload(self, components: dict[str, dict[str, Any]]) -> Workload:
        """How the networks with these configurations are run, by their names in the base's folder."""

    # loading

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
        next is loaded. `load` is for the text encoders, which can be larger than anything else. An autoencoder is
        loaded in fp32 whatever `dtype` is."""

    @abstractmethod
    def denoisers(
        self, base: Path, device: torch.device, dtype: torch.dtype, load: Load = whole
    ) -> dict[str, nn.Module]:
        """Load the parts that may carry a LoRA by `load`, by their name in LoRA files, such as {"unet": ...}."""

    def fuse(self, part: str, network: Any) -> None:  # noqa: B027  # most have nothing to fuse
        """Let the blocks of a frozen network compute in fewer kernels while it learns: the same up to rounding.

        A drawing stays the library's own, bit for bit.
        """

    def text_encoders(self, base: Path, device: torch.device, dtype: torch.dtype) -> dict[str, nn.Module]:
        """Load the text encoders that may be trained too, by their name in LoRA files; empty where none may."""
        return {}

    @abstractmethod
    def kit(
        self, base: Path, device: torch.device, dtype: torch.dtype, parts: dict[str, nn.Module] | None = None
    ) -> Kit:
        """Load what is drawn with. Where `parts` is given, they are used as they are, and text encoders that are not
        among them are left out: captions then come encoded."""

    # pictures and captions

    @abstractmethod
    def encode_pictures(self, encoders: Any, pixels: torch.Tensor) -> Tensors:
        """(B, 3, H, W) in [-1, 1] to what is cached of them, each (B, ...)."""

    @abstractmethod
    def encode_captions(self, encoders: Any, captions: list[str]) -> Tensors:
        """Captions to what is cached of them, each (B, ...)."""

    def encode_prompts(self, encoders: Any, prompts: tuple[str, ...], clip_skip: int = 1) -> Tensors:
        """Prompts as they are drawn with, each (B, ...): one by one, since a batch can differ from that in the last
        bit. Where `Facts.weighs_words`, with their weights and whole; where `Facts.skips_layers`, with `clip_skip`."""
        rows = [self.encode_captions(encoders, [prompt]) for prompt in prompts]
        return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}

    @abstractmethod
    def reader(self, base: Path) -> Reader:
        """What counts how much of a caption is read."""

    # the one seam

    @abstractmethod
    def noising(self, base: Path, device: torch.device) -> dict[str, Noising]:
        """How each part was noised when the base was made, in the order in which the parts are trained."""

    @abstractmethod
    def latents(self, part: str, network: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """What `part` learns to denoise, (B, ...) fp32; drawn from the posterior where the autoencoder gives one."""

    @abstractmethod
    def conditions(
        self, part: str, parts: dict[str, Any], batch: Batch, settings: TrainSettings, generator: torch.Generator
    ) -> Conditions:
        """The conditions of `part` for a batch. Where `parts` holds a text encoder, the captions go through it; else
        what is cached of them is used. Host work and random numbers are allowed here, and not in `predict`."""

    @abstractmethod
    def predict(
        self, part: str, network: Any, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        """What `part` predicts of noisy latents (B, C, ...) at timesteps (B,): a pure function of tensors.

        (B, C or more, ...); channels behind the first C are a learned variance.
        """

    def is_guided(self, kit: Kit, settings: DrawSettings) -> bool:
        """Whether a drawing asks the denoiser without the prompt, too (classifier-free guidance)."""
        return settings.guidance > 1

    @abstractmethod
    def draw(
        self,
        kit: Kit,
        settings: DrawSettings,
        captions: Tensors,
        generator: torch.Generator,
        sample: Callable[[Stage], torch.Tensor],
        over: Over | None = None,
    ) -> torch.Tensor:
        """One drawing as pixels (1, 3, H, W) in [0, 1]. `captions` are what `encode_captions` made of the prompt and
        the negative prompt, each (2, ...); `sample` takes a stage from its noise to its finished latents.

        Where a picture is drawn `over`, it is as large as the drawing; `Facts.draws_over` says whether one can be."""

    @abstractmethod
    def preview(self, kit: Kit, x0: torch.Tensor) -> Image.Image:
        """A rough and quick picture of predicted latents (1, C, h, w), through `kit.colours()`."""
