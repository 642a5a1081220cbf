"""What each phase of a run holds in memory, counted on a base's networks without weights and kept on disk."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lora_gui import files
from lora_gui.engine.load import loading, lora, offload, quantize
from lora_gui.engine.load.device import dtype_of
from lora_gui.engine.load.sparing import tile
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.block_dedup import Blocks, times_of
from lora_gui.engine.memory.networks import Component, Components
from lora_gui.engine.memory.tracker import Trace, forward, keeping_scores, training
from lora_gui.engine.train import graphs, recompute
from lora_gui.engine.train.adapter import Layout, Masters, fuse
from lora_gui.engine.train.cache import PIXELS_AT_ONCE
from lora_gui.engine.train.optimizers import STATE_BYTES
from lora_gui.errors import UserError
from lora_gui.families.base import Family, Run
from lora_gui.settings import TrainSettings

GIB = 2**30
RUNTIME = 0.6 * GIB  # context of the driver, workspaces of its libraries; not measured here
_SLACK = 0.04  # share of what is alive that the allocator wastes
_PROCESS = 2.5 * GIB  # RAM of the program and its libraries
SIDES = (768, 512)  # px that a sample drawing may be lowered to
_VERSION = 8  # of what is kept on disk
_META = torch.device("meta")
_HELD = ("weights", "gradients", "shadow", "optimizer", "average")  # of a LoRA, all the time

T = TypeVar("T")


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


class Planner:
    """Counts a base's phases; every trace once, kept in `cache`. `unified`: the card's memory is the computer's own."""

    def __init__(self, base: Components, family: Family, cache: Path, unified: bool = False) -> None:
        self.base, self.family, self.cache, self.unified = base, family, cache, unified
        load = family.workload({name: one["config"] for name, one in base.items()})
        self.drawn = load.drawn
        self.denoisers = {name.rpartition("/")[2]: (base[name], run) for name, run in _there(load.denoisers, base)}
        self.texts = {name: (networks.shortened(base[name], text), text) for name, text in _there(load.texts, base)}
        self.texts_learn = type(family).text_encoders is not Family.text_encoders
        self.encoders = [
            (base[name], run, torch.bfloat16 if name in load.in_16_bits else torch.float32)
            for name, run in _there(load.encoders, base)
        ]
        self.decoders = [(base[name], run) for name, run in _there(load.decoders, base)]
        self._known: dict[str, Any] = {}
        self._versions = [version(one) for one in ("torch", "diffusers", "transformers", "peft")]
        self._carrying: dict[str, tuple[dict[str, nn.Module], list[Blocks], list[Masters]]] = {}  # the last LoRA
        if not self.denoisers:
            raise UserError("The memory of this base cannot be planned.", "Choose another base.")

    def phases(self, settings: TrainSettings) -> dict[str, Phase]:
        return {
            "encode_text": self.encode_text(),
            "encode_pictures": self.encode_pictures(settings),
            "train": self.training(settings),
            "sample": self.sample(settings),
        }

    def fits(self, settings: TrainSettings, vram: float) -> bool:
        """Whether the training itself fits, with samples as small as they may be; the cheapest question first."""
        if self.least(settings) > vram or self.training(settings).total > vram:
            return False
        smallest = settings.model_copy(update={"sample_resolution": SIDES[-1]})
        return self.sample(settings).total <= vram or self.sample(smallest).total <= vram

    def least(self, settings: TrainSettings) -> float:
        """Bytes without which no step can be made, known without tracing one."""
        return Phase(weights=self._resident(settings), lora=sum(self._lora(settings)[key] for key in _HELD)).total

    def encode_text(self) -> Phase:
        """Text encoders side by side; of a large one two layers at a time (see loading.text_encoder)."""
        weights, texts = 0.0, self._texts()
        for facts in texts:
            streams = facts["weights"] >= loading.OFFLOADED_FROM and not self.unified
            weights += facts["outside"] + offload.RING * facts["largest"] if streams else facts["weights"]
        return Phase(weights=weights, working=max((facts["peak"] for facts in texts), default=0))

    def encode_pictures(self, settings: TrainSettings) -> Phase:
        count, side, weights, working = max(1, PIXELS_AT_ONCE // settings.resolution**2), settings.resolution, 0, 0
        for one, run, dtype in self.encoders:
            key = ["encode", one, count, side, str(dtype)]
            facts = self._once(key, partial(networks.facts, one, run, count, side, dtype))
            weights, working = weights + facts["weights"], max(working, facts["peak"])
        return Phase(weights=weights, working=working)

    def training(self, settings: TrainSettings) -> Phase:
        """One step: at its most in the backward, or where the gradients are gathered once the activations have gone."""
        trace, held = self.train(settings), self._lora(settings)
        working = max(0, max(trace.peak, held["gathered"]) - trace.saved)
        lora, stays = sum(held[key] for key in _HELD), self._waiting(settings) if self.unified else 0
        return Phase(weights=self._resident(settings) + stays, lora=lora, saved=trace.saved, working=working)

    def sample(self, settings: TrainSettings) -> Phase:
        """A drawing with guidance beside the LoRA that is being trained; what decodes comes when it is needed."""
        lora = sum(self._lora(settings)[key] for key in _HELD)
        return self.drawing(self.side_of_samples(settings), settings.precision, self._resident(settings), lora)

    def drawing(self, side: int, precision: str, weights: float, lora: float = 0) -> Phase:
        """A drawing with guidance, `side` px wide and high, beside so many bytes of weights on the card."""
        trace, told = partial(self._draw_trace, side=side, precision=precision), (side, self.drawn, precision)
        drawn = (self._once(["draw", one, *told], partial(trace, one, run)) for one, run in self.denoisers.values())
        stages = [Phase(weights, lora, working=max(facts["peak"] for facts in drawn))]
        for decoder in (self._decoder(one, run, side, precision) for one, run in self.decoders):
            weights += decoder["weights"]
            stages.append(Phase(weights, lora, working=decoder["peak"]))
        return max(stages, key=lambda stage: stage.total)

    def side_of_samples(self, settings: TrainSettings) -> int:
        return settings.side_of_samples(int(self.family.facts.draw_defaults.get("width", settings.resolution)))

    def train(self, settings: TrainSettings) -> Trace:
        """One optimizer step with the LoRA of these settings, with gradient checkpointing or without."""
        told = settings.model_dump(include={*lora.SHAPING, "layers", "batch_size", "resolution", "precision"})
        key = ["train", *self._learning(settings), told, recompute.wanted(settings, _META)]
        return Trace(**self._once(key, lambda: self._train_trace(settings).to_json()))

    def weights(self, precision: str) -> int:
        """Bytes of the parts that are trained, in `precision`."""
        return sum(facts["weights"] for facts in self._blocks(precision))

    def blocks_to_offload(self, settings: TrainSettings, vram: float) -> int:
        """How many blocks must stay in RAM for the rest to fit; all where even that is not enough."""
        count = max(len(facts["sizes"]) for facts in self._blocks(settings.precision))
        more = range(settings.streamed_blocks + 1, count + 1)
        return next((n for n in more if self.fits(settings.model_copy(update={"streamed_blocks": n}), vram)), count)

    def offloaded(self, settings: TrainSettings) -> int:
        """Bytes of the blocks that stay in RAM."""
        return sum(sum(_last(facts["sizes"], settings.streamed_blocks)) for facts in self._blocks(settings.precision))

    def ram(self, settings: TrainSettings) -> float:
        """What the computer's own memory must hold: networks pass through it on their way to the card."""
        base = self.offloaded(settings)
        if settings.precision not in quantize.PRECISIONS or settings.streamed_blocks:
            base = self.weights(settings.precision)
        waiting = self._waiting(settings)
        if recompute.wanted(settings, _META) == "blocks_in_ram":
            kept = self.train(settings.model_copy(update={"gradient_checkpointing": "blocks"}))
            waiting += max(0, kept.saved - self.train(settings).saved)
        return _PROCESS + max(base + waiting, sum(facts["weights"] for facts in self._texts()))

    def _waiting(self, settings: TrainSettings) -> float:
        """Weights of what decodes, from one drawing to the next."""
        decoders = (self._decoder(one, run, SIDES[-1], settings.precision) for one, run in self.decoders)
        return sum(decoder["weights"] for decoder in decoders)

    def _resident(self, settings: TrainSettings) -> float:
        """Weights on the card while it trains: the base, and text encoders that learn too."""
        total = 0.0
        for facts in self._blocks(settings.precision):
            sizes = _last(facts["sizes"], settings.streamed_blocks)
            total += facts["weights"] - sum(sizes) + (offload.RING * max(sizes) if sizes else 0)
        learners = self._learners(settings).items()
        return total + sum(self._held(*held)["weights"] for name, held in learners if name in self.texts)

    def _texts(self) -> list[dict[str, Any]]:
        texts = self.texts.values()
        return [self._once(["text", one, asdict(of)], partial(networks.text_facts, one, of)) for one, of in texts]

    def _blocks(self, precision: str) -> list[dict[str, Any]]:
        return [self._held(one, precision) for one, _ in self.denoisers.values()]

    def _held(self, one: Component, precision: str) -> dict[str, Any]:
        return self._once(["blocks", one, precision], partial(networks.block_facts, one, precision))

    def _decoder(self, one: Component, run: Run, side: int, precision: str) -> dict[str, Any]:
        """Tile by tile, as far as it can do so."""
        dtype = dtype_of(precision)
        key = ["decode", one, side, dtype.itemsize]
        return self._once(key, partial(networks.facts, one, run, 1, side, dtype, prepare=tile))

    def _lora(self, settings: TrainSettings) -> dict[str, int]:
        told = settings.model_dump(include={*lora.SHAPING, "optimizer", "precision", "accumulation"})
        how = Layout.of(settings), settings.ema_decay > 0, graphs.records(settings) or settings.passes > 1
        return self._once(["lora", *self._learning(settings), told, how], lambda: self._lora_facts(settings))

    def _learning(self, settings: TrainSettings) -> list[Any]:
        """The parts that are trained, and which of their layers."""
        parts = {name: one for name, (one, _) in self._learners(settings).items()}
        return [parts, [self.family.targets(part, settings.layers) for part in parts]]

    def _learners(self, settings: TrainSettings) -> dict[str, tuple[Component, str]]:
        """The parts that are trained, and the precision that each is held in: text encoders are never quantised."""
        found: dict[str, tuple[Component, str]]
        found = {name: (one, settings.precision) for name, (one, _) in self.denoisers.items()}
        if settings.train_text_encoder and self.texts_learn:
            whole = "bf16" if settings.precision in quantize.PRECISIONS else settings.precision
            found |= {name: (one, whole) for name, (one, _) in self.texts.items()}
        return found

    def _lora_facts(self, settings: TrainSettings) -> dict[str, int]:
        _, runs, masters = self._with_lora(settings)
        times, kept = times_of(runs), STATE_BYTES[settings.optimizer]
        weights = [weight for one in masters for weight in one.pieces]
        count, dtype = sum(times(weight) * weight.numel() for weight in weights), dtype_of(settings.precision)
        apart, always = Layout.of(settings).apart_of(dtype), settings.backwards > 1 or graphs.records(settings)
        return {
            "weights": 4 * count, "average": 4 * count * (settings.ema_decay > 0),
            "gradients": dtype.itemsize * count + 4 * count * (apart and always),
            "gathered": 4 * count * (apart and not always),
            "shadow": dtype.itemsize * count * apart,
            "optimizer": sum(times(weight) * kept(weight.numel(), sum(weight.shape)) for weight in weights),
        }

    def _with_lora(self, settings: TrainSettings) -> tuple[dict[str, nn.Module], list[Blocks], list[Masters]]:
        """The parts that are trained, what was left out of them, and the weights of a new LoRA in them.

        Where only some layers learn, all of their kind count: what was left out stands for other blocks by name.
        """
        settings = settings.model_copy(update={"only_layers": ()})
        learners = self._learners(settings)
        told = settings.precision, settings.layers, *learners, *(getattr(settings, name) for name in lora.SHAPING)
        key = json.dumps(told)
        if key not in self._carrying:
            parts, left = {}, []
            for name, (one, precision) in learners.items():
                parts[name], runs = copy.deepcopy(networks.short(json.dumps(one), precision))
                left += runs
            with _META:
                lora.add_new(parts, self.family, settings, "planned")
            masters = fuse(parts, "planned", dtype_of(settings.precision), self.family)
            self._carrying = {key: (parts, left, masters)}
        return self._carrying[key]

    def _draw_trace(self, one: Component, run: Run, side: int, precision: str) -> dict[str, Any]:
        module, runs = networks.short(json.dumps(one), precision)
        return forward(module, partial(run, module, self.drawn, side, dtype_of(precision)), runs).to_json()

    def _train_trace(self, settings: TrainSettings) -> Trace:
        parts, runs, masters = self._with_lora(settings)
        load = settings.batch_size, settings.resolution, dtype_of(settings.precision)
        texts = {name: text for name, (_, text) in self.texts.items() if name in parts}
        calls = [partial(networks.last_states, parts[name], text, load[0]) for name, text in texts.items()]
        for name, (_, run) in self.denoisers.items():
            recompute.apply(parts[name], recompute.wanted(settings, _META), _META)
            calls.append(partial(run, parts[name], *load))
        return training(parts.values(), calls, [one for master in masters for one in master.buffers()], runs)

    def _once(self, key: list[Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives, computed once for each configuration and version of the libraries."""
        told = json.dumps([_VERSION, *self._versions, *key, *["scores"] * self.unified])
        digest = hashlib.sha256(told.encode()).hexdigest()[:24]
        if digest not in self._known:
            path = self.cache / f"{digest}.json"
            found = files.read_json(path)
            if found is None:
                with keeping_scores() if self.unified else contextlib.nullcontext():
                    found = make()
                with contextlib.suppress(UserError):  # a full disk; it is computed anew the next time
                    files.write_json(path, found)
            self._known[digest] = found
        return self._known[digest]


def _last(sizes: list[int], count: int) -> list[int]:
    return sizes[-count:] if count else []


def _there(load: dict[str, T], base: Components) -> list[tuple[str, T]]:
    """The networks of a workload that this base has; some may be missing from it."""
    return [(name, how) for name, how in load.items() if name in base]
