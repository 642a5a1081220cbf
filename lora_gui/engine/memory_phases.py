"""What each phase of a run holds in memory, counted on a base's networks without weights and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_gui import files
from lora_gui.engine import lora, memory_parts, quantize, streaming
from lora_gui.engine.memory_parts import Component, Components, Size
from lora_gui.engine.memory_trace import Trace, forward, training
from lora_gui.errors import UserError
from lora_gui.families.base import Family
from lora_gui.settings import TrainSettings

GIB = 2**30
RUNTIME = 0.6 * GIB  # context of the driver, workspaces of its libraries; not measured here
_SLACK = 0.04  # share of what is alive that the allocator wastes
_PROCESS = 2.5 * GIB  # RAM of the program and its libraries
_CAPTIONS = 16  # encoded at once
_PIXELS = 1024 * 1024  # encoded at once
SIDES = (768, 512)  # px that a sample drawing may be lowered to
_VERSION = 1  # of what is kept on disk
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
# optimizer -> bytes it keeps for a weight of this many values in this many rows and columns
_OPTIMIZERS: dict[str, Callable[[int, int], int]] = {
    "adamw": lambda values, edges: 8 * values,
    "adamw8bit": lambda values, edges: 2 * values if values >= 4096 else 8 * values,
    "adafactor": lambda values, edges: 4 * edges,
    "prodigy": lambda values, edges: 16 * values,
}


@dataclass(frozen=True)
class Phase:
    """The peak of one phase of a run, in bytes, by what holds it."""

    weights: float = 0
    lora: float = 0  # with gradients and optimizer
    saved: float = 0  # for the backward
    working: float = 0

    @property
    def runtime(self) -> float:
        return RUNTIME + _SLACK * (self.weights + self.lora + self.saved + self.working)

    @property
    def total(self) -> float:
        return self.weights + self.lora + self.saved + self.working + self.runtime

    def to_json(self) -> dict[str, float]:
        parts = asdict(self) | {"runtime": self.runtime, "total": self.total}
        return {f"{name}_gib": round(value / GIB, 2) for name, value in parts.items()}


@dataclass(frozen=True)
class Way:
    """How a run is fitted into memory beyond its settings."""

    streamed: int = 0  # blocks of the base that stay in RAM, the last ones
    stream_texts: bool = False  # text encoders pass through layer by layer
    sample_side: int = 0  # px, 0 as it would be drawn


class Planner:
    """Counts a base's phases; every trace once, kept in `cache` where that is given."""

    def __init__(self, base: Components, family: Family, cache: Path | None) -> None:
        self.base, self.family, self.cache = base, family, cache
        self._known: dict[str, Any] = {}
        if not memory_parts.denoisers(base):
            raise UserError("The memory of this base cannot be planned.", "Choose another base.")

    def phases(self, settings: TrainSettings, way: Way) -> dict[str, Phase]:
        return {
            "encode_text": self.encode_text(way),
            "encode_pictures": self.encode_pictures(settings),
            "train": self.training(settings, way),
            "sample": self.sample(settings, way),
        }

    def fits(self, settings: TrainSettings, way: Way, vram: float) -> bool:
        """Whether the training itself fits, cheapest question first."""
        if self._base_weights(settings, way) + RUNTIME > vram:
            return False
        smallest = Way(way.streamed, way.stream_texts, SIDES[-1])
        return self.training(settings, way).total <= vram and self.sample(settings, smallest).total <= vram

    def encode_text(self, way: Way) -> Phase:
        """All text encoders, or one layer after the other of each; the pictures' encoders beside them."""
        weights, working = 0.0, 0
        for one in self._texts():
            facts = self._once(["text", one], lambda one=one: _text_facts(one))
            weights += facts["outside"] + 2 * facts["largest"] if way.stream_texts else facts["weights"]
            working = max(working, facts["peak"])
        return Phase(weights=weights + self._encoder_weights(), working=working)

    def encode_pictures(self, settings: TrainSettings) -> Phase:
        """After the text encoders have gone."""
        size = Size(max(1, _PIXELS // settings.resolution**2), settings.resolution)
        working = 0
        for one in memory_parts.autoencoders(self.base).values():
            trace = self._once(["encode", one, asdict(size)], lambda one=one: _encode_trace(one, size))
            working = max(working, trace["peak"])
        return Phase(weights=self._encoder_weights(), working=working)

    def training(self, settings: TrainSettings, way: Way) -> Phase:
        trace, held = self.train(settings), self._lora(settings)
        return Phase(
            weights=self._base_weights(settings, way),
            lora=held["weights"] + held["optimizer"] + trace.gradients,
            saved=trace.saved,
            working=max(0, trace.peak - trace.saved - trace.gradients),
        )

    def sample(self, settings: TrainSettings, way: Way) -> Phase:
        """A drawing with guidance beside the trained LoRA; the decoders stay once they were loaded."""
        side = self.side_of_samples(settings, way)
        held, working, weights = self._lora(settings), 0, 0.0
        for one in memory_parts.denoisers(self.base).values():
            count = 1 if one["config"].get("guidance_embeds") else 2  # with and without the prompt
            key = ["draw", one, side, count, settings.precision]
            trace = self._once(key, lambda one=one, count=count: _draw_trace(one, Size(count, side), settings))
            working = max(working, trace["peak"])
        for one in memory_parts.decoders(self.base).values():
            trace = self._once(["decode", one, side], lambda one=one: _decode_trace(one, Size(1, side)))
            working, weights = max(working, trace["peak"]), weights + trace["weights"]
        weights += self._base_weights(settings, way)
        return Phase(weights=weights, lora=held["weights"] + held["optimizer"], working=working)

    def side_of_samples(self, settings: TrainSettings, way: Way) -> int:
        drawn = min(settings.resolution, int(self.family.facts.draw_defaults.get("width", settings.resolution)))
        return min(drawn, way.sample_side) if way.sample_side else drawn

    def train(self, settings: TrainSettings) -> Trace:
        """One step with the LoRA of these settings, recomputing or not."""
        told = settings.model_dump(include={
            "rank", "layers", "batch_size", "resolution", "precision", "gradient_checkpointing"
        })  # fmt: skip
        parts = memory_parts.denoisers(self.base)
        return Trace(**self._once(["train", parts, told], lambda: self._train_trace(settings).to_json()))

    def weights(self, precision: str) -> int:
        """Bytes of the parts that are trained, in `precision`."""
        return sum(facts["weights"] for facts in self._blocks(precision))

    def blocks_to_stream(self, settings: TrainSettings, vram: float) -> int:
        """How many blocks must stay in RAM for the rest to fit; 0 where streaming cannot help."""
        count = max(len(facts["sizes"]) for facts in self._blocks(settings.precision))
        for streamed in range(1, count + 1):
            if self.fits(settings, Way(streamed), vram):
                return streamed
        return count

    def streamed_bytes(self, settings: TrainSettings, count: int) -> int:
        """What the last `count` blocks of each part hold."""
        return sum(sum(facts["sizes"][-count:]) for facts in self._blocks(settings.precision) if count)

    def ram(self, settings: TrainSettings, way: Way) -> float:
        """What the computer's own memory must hold: a network passes through it on its way to the card."""
        texts = [self._once(["text", one], lambda one=one: _text_facts(one)) for one in self._texts()]
        largest = max([facts["weights"] for facts in texts], default=0)
        if settings.precision not in quantize.PRECISIONS:
            largest = max(largest, self.weights(settings.precision))
        return _PROCESS + max(largest, self.streamed_bytes(settings, way.streamed))

    def _texts(self) -> list[Component]:
        return list(memory_parts.text_encoders(self.base).values())

    def _encoder_weights(self) -> int:
        parts = memory_parts.autoencoders(self.base).values()
        return sum(self._once(["weights", one], lambda one=one: {"weights": _weights(one)})["weights"] for one in parts)

    def _base_weights(self, settings: TrainSettings, way: Way) -> float:
        total = 0
        for facts in self._blocks(settings.precision):
            sizes = facts["sizes"][-way.streamed :] if way.streamed else []
            total += facts["weights"] - sum(sizes) + streaming.RING * max(sizes, default=0)
        return total

    def _blocks(self, precision: str) -> list[dict[str, Any]]:
        parts = memory_parts.denoisers(self.base).values()
        return [self._once(["blocks", one, precision], lambda one=one: _block_facts(one, precision)) for one in parts]

    def _lora(self, settings: TrainSettings) -> dict[str, int]:
        key = ["lora", memory_parts.denoisers(self.base), settings.rank, settings.layers, settings.optimizer]
        return self._once(key, lambda: self._lora_facts(settings))

    def _lora_facts(self, settings: TrainSettings) -> dict[str, int]:
        weights = lora.add_new(self._parts(settings), self.family, settings, "planned")
        kept = _OPTIMIZERS[settings.optimizer]
        return {
            "count": sum(weight.numel() for weight in weights),
            "weights": sum(weight.nbytes for weight in weights),
            "optimizer": sum(kept(weight.numel(), sum(weight.shape)) for weight in weights),
        }

    def _parts(self, settings: TrainSettings) -> dict[str, nn.Module]:
        found = memory_parts.denoisers(self.base)
        return {name: _network(one, settings.precision) for name, one in found.items()}

    def _train_trace(self, settings: TrainSettings) -> Trace:
        found, parts = memory_parts.denoisers(self.base), self._parts(settings)
        weights = lora.add_new(parts, self.family, settings, "planned")
        for part in parts.values():
            if settings.gradient_checkpointing and getattr(part, "_supports_gradient_checkpointing", False):
                part.enable_gradient_checkpointing()
        size, dtype = Size(settings.batch_size, settings.resolution), _dtype(settings.precision)
        calls = [
            lambda name=name, part=part: memory_parts.denoise(found[name], part, size, dtype)
            for name, part in parts.items()
        ]
        return training(parts.values(), calls, weights)

    def _once(self, key: list[Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives, computed once for each configuration and version of the libraries."""
        told = json.dumps([_VERSION, *(version(one) for one in ("torch", "diffusers", "transformers", "peft")), *key])
        digest = hashlib.sha256(told.encode()).hexdigest()[:24]
        if digest not in self._known:
            path = self.cache / f"{digest}.json" if self.cache else None
            found = files.read_json(path) if path else None
            if found is None:
                found = make()
                if path:
                    files.write_json(path, found)
            self._known[digest] = found
        return self._known[digest]


def _dtype(precision: str) -> torch.dtype:
    """What the arithmetic is done in."""
    return _DTYPES.get(precision, torch.bfloat16)


def _network(one: Component, precision: str) -> nn.Module:
    module = memory_parts.build(one, _dtype(precision))
    if precision in quantize.PRECISIONS:
        quantize.replace(module, precision, torch.device("meta"))
    return module


def _weights(one: Component) -> int:
    return memory_parts.nbytes(memory_parts.build(one, torch.bfloat16))


def _block_facts(one: Component, precision: str) -> dict[str, Any]:
    module = _network(one, precision)
    return {
        "weights": memory_parts.nbytes(module),
        "sizes": [streaming.size(block) for _, block in streaming.blocks(module)],
    }


def _text_facts(one: Component) -> dict[str, Any]:
    module = memory_parts.build(one, torch.bfloat16)
    weights = memory_parts.nbytes(module)
    sizes = [streaming.size(block) for _, block in streaming.blocks(module)]
    trace = forward(module, lambda: memory_parts.read_text(module, _CAPTIONS))
    outside = weights - sum(sizes)
    return {"weights": weights, "outside": outside, "largest": max(sizes, default=0), "peak": trace.peak}


def _encode_trace(one: Component, size: Size) -> dict[str, Any]:
    module = memory_parts.build(one, torch.bfloat16)
    call = memory_parts.ENCODERS[one["class"]]
    return forward(module, lambda: call(module, size, torch.bfloat16)).to_json()


def _draw_trace(one: Component, size: Size, settings: TrainSettings) -> dict[str, Any]:
    module = _network(one, settings.precision)
    return forward(module, lambda: memory_parts.denoise(one, module, size, _dtype(settings.precision))).to_json()


def _decode_trace(one: Component, size: Size) -> dict[str, Any]:
    module = memory_parts.build(one, torch.bfloat16)
    call = memory_parts.DECODERS[one["class"]]
    trace = forward(module, lambda: call(module, size, torch.bfloat16))
    return trace.to_json() | {"weights": memory_parts.nbytes(module)}
