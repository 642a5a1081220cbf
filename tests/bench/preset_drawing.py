"""Draw with a base and LoRAs what is asked, once: drawings are kept by all that they come from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from preset_sets import Asked
from preset_training import weights
from safetensors import safe_open
from starter_quality import HOW, draw
from torch.nn import functional as F

from lora_gui.engine.convert import convert
from lora_gui.families.shared.unet import RESCALED
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.settings import DrawSettings
from lora_gui.starter.recipe.pictures import SIZE


@dataclass(frozen=True)
class Drawn:
    asked: Asked
    pictures: torch.Tensor  # (B, 3, SIZE, SIZE) in [-1, 1]


@dataclass(frozen=True)
class Drawer:
    """A base and how it draws; `count` is how many drawings each LoRA is judged by."""

    base: Path
    work: Path
    count: int
    how: DrawSettings

    @cached_property
    def pipe(self) -> DiffusionPipeline:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        pipe = DiffusionPipeline.from_pretrained(self.base, torch_dtype=dtype).to(device)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @cached_property
    def of_base(self) -> str:
        return weights(self.base)

    def draw(self, asked: Asked, words: list[str], loras: list[Path], strengths: Sequence[float] = ()) -> Drawn:
        """The prompts with the trigger `words` before them, with `loras` at their strengths; the same seeds always."""
        texts = [" ".join([*words, text]) for text in asked.texts]
        loras = [self._readable(lora) for lora in loras]
        how = f"{self.how.model_dump_json(include=set(HOW))} {RESCALED}"
        digest = hashlib.sha256(f"{self.of_base} {how} {texts}".encode())
        for lora, strength in zip(loras, strengths, strict=True):
            digest.update(hashlib.sha256(lora.read_bytes()).digest() + str(strength).encode())
        path = self.work / "preset-drawings" / f"{digest.hexdigest()[:16]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self._drawn(texts, loras, strengths).numpy())
        return Drawn(asked, torch.from_numpy(np.load(path)))

    def _readable(self, lora: Path) -> Path:
        """A DoRA in diffusers' own dialect: of kohya's, its pipeline leaves out how large each output is."""
        with safe_open(lora, "pt") as file:
            if not any(name.endswith(".dora_scale") for name in file.keys()):  # noqa: SIM118  of safetensors
                return lora
        out = self.work / "preset-doras" / f"{hashlib.sha256(lora.read_bytes()).hexdigest()[:16]}.safetensors"
        if not out.exists():
            out.parent.mkdir(exist_ok=True)
            list(convert(ConvertJob(file=str(lora), to="diffusers", out=str(out))))
        return out

    def _drawn(self, texts: list[str], loras: list[Path], strengths: Sequence[float]) -> torch.Tensor:
        names = [f"lora{number}" for number in range(len(loras))]
        for name, lora in zip(names, loras, strict=True):
            self.pipe.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name=name)
        if names:
            self.pipe.set_adapters(names, list(strengths))
        drawings = draw(self.pipe, texts, self.how)
        if names:
            self.pipe.unload_lora_weights()
        return F.interpolate(drawings, (SIZE, SIZE), mode="area")
