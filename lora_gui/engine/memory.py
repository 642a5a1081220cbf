"""Plan how much memory a run needs, before anything is loaded, and what to change where it does not fit.

Computed, not looked up: each network is built without weights and run once on empty tensors (see memory_trace). Only
the runtime's own share is a constant, since it is the driver's and not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.engine import memory_parts
from lora_gui.engine.memory_phases import GIB, RUNTIME, SIDES, Phase, Planner, Way
from lora_gui.errors import UserError
from lora_gui.families.base import Family
from lora_gui.settings import TrainSettings

_LINK = 12e9  # bytes a second from RAM to the card, PCIe 4 x8 or 3 x16
_BUS = 360e9  # bytes a second of the memory of a small card
_PRECISIONS = ("fp32", "bf16", "int8", "nf4")  # each needs less memory than the one before
_LOWEST = 256  # px; below, nothing is learnt well


@dataclass(frozen=True)
class Plan:
    """What a run needs: `settings` and `way` are what to run with, `notes` what was changed and what it costs."""

    phases: dict[str, Phase]
    settings: TrainSettings
    way: Way
    ram: float  # bytes
    fits: bool
    changed: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def peak_gib(self) -> float:
        return max(phase.total for phase in self.phases.values()) / GIB

    def to_json(self) -> dict[str, Any]:
        return {
            "peak_gib": round(self.peak_gib, 2),
            "fits": self.fits,
            "phases": {name: phase.to_json() for name, phase in self.phases.items()},
            "ram_gib": round(self.ram / GIB, 2),
            "changed": self.changed,
            "streamed_blocks": self.way.streamed,
            "stream_text_encoders": self.way.stream_texts,
            "sample_side": self.way.sample_side,
            "notes": list(self.notes),
        }


def plan(
    base: str | Path,
    settings: TrainSettings,
    vram_gib: float,
    ram_gib: float,
    cache: Path | None = None,
    family: Family | None = None,
) -> Plan:
    """The smallest change with which a run of `settings` fits a card of `vram_gib`, or the plan that comes nearest.

    In this order: text encoders layer by layer, recomputing, fewer bits, blocks from RAM, fewer pixels; sample drawings
    are made smaller before anything that is learnt is changed for them. `family` is needed for the path of a base only.
    Raises UserError for an unknown base.
    """
    planner = Planner(memory_parts.components(base), family or _family_of(str(base)), cache)
    notes: list[str] = []
    current, way = settings, Way()
    for attempt, attempted_way, note in _attempts(planner, settings, vram_gib * GIB, ram_gib * GIB):
        current, way = attempt, attempted_way
        notes += [note] if note else []
    phases, ram = planner.phases(current, way), planner.ram(current, way)
    fits = max(phase.total for phase in phases.values()) <= vram_gib * GIB and ram <= ram_gib * GIB
    if ram > ram_gib * GIB:
        notes.append(f"It needs {ram / GIB:.0f} GB of the computer's own memory, there are {ram_gib:.0f}.")
    changed = {key: value for key, value in current.model_dump().items() if value != getattr(settings, key)}
    return Plan(phases, current, way, ram, fits, changed, tuple(notes))


def _attempts(
    planner: Planner, settings: TrainSettings, vram: float, ram: float
) -> Iterator[tuple[TrainSettings, Way, str]]:
    """One change after the other, each with its price, until every phase fits or nothing is left to change."""
    way = Way()
    if planner.encode_text(way).total > vram:
        way = Way(stream_texts=True)
        yield settings, way, "Captions are encoded layer by layer from RAM, which takes a few seconds more."
    for change, note in _ladder(planner, settings, vram):
        if planner.fits(settings, way, vram):
            break
        settings = settings.model_copy(update=change)
        yield settings, way, note(planner, settings)
    if not planner.fits(settings, way, vram):
        count = planner.blocks_to_stream(settings, vram)
        if count:
            way = Way(count, way.stream_texts)
            yield settings, way, _price_of_streaming(planner, settings, count)
    while not planner.fits(settings, way, vram) and settings.resolution > _LOWEST:
        side = max(_LOWEST, settings.resolution - 128)
        settings = settings.model_copy(update={"resolution": side})
        yield settings, way, f"Pictures are learnt at {side} pixels: each step is quicker, fine detail is lost."
    for side in SIDES:
        if planner.sample(settings, way).total > vram and side < planner.side_of_samples(settings, way):
            way = Way(way.streamed, way.stream_texts, side)
            yield settings, way, f"Sample drawings are made at {side} pixels; what is learnt stays the same."


def _ladder(
    planner: Planner, settings: TrainSettings, vram: float
) -> Iterator[tuple[dict[str, Any], Callable[[Planner, TrainSettings], str]]]:
    """Recomputing first, then fewer bits, leaving out those whose weights alone are too large."""
    if not settings.gradient_checkpointing:
        yield {"gradient_checkpointing": True}, _price_of_recomputing
    precision = "bf16" if settings.precision == "fp16" else settings.precision
    lower = _PRECISIONS[_PRECISIONS.index(precision) + 1 :]
    for one in lower:
        if one == lower[-1] or planner.weights(one) + RUNTIME < vram:
            yield {"precision": one}, _price_of_precision


def _price_of_recomputing(planner: Planner, settings: TrainSettings) -> str:
    trace = planner.train(settings)
    more = trace.forward_flop / max(1, trace.flop - trace.forward_flop)
    return f"Recomputing is on: each step takes about {100 * more:.0f} % longer."


def _price_of_precision(planner: Planner, settings: TrainSettings) -> str:
    if settings.precision == "bf16":
        return "The base is held in 16 bits, which is quicker on most cards."
    passes = 3 if settings.gradient_checkpointing else 2
    seconds = passes * 2 * planner.weights("bf16") / _BUS
    bits = {"int8": 8, "nf4": 4}[settings.precision]
    return f"The base is held in {bits} bits: each step takes up to {seconds:.1f} s longer on a small card."


def _price_of_streaming(planner: Planner, settings: TrainSettings, count: int) -> str:
    copied = planner.streamed_bytes(settings, count)
    return (
        f"{count} blocks ({copied / GIB:.1f} GB) stay in RAM and are copied twice in each step: nothing is lost "
        f"where a step takes longer than about {2 * copied / _LINK:.1f} s, which is what the copies take."
    )


def _family_of(base: str) -> Family:
    for family in families.families().values():
        if any(known.key == base for known in family.facts.bases):
            return family
    raise UserError(f"The base {base} is not known, so its memory cannot be planned.", "Choose another base.")
