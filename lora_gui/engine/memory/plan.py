"""Plan how much memory a run needs, before anything is loaded, and what to change where it does not fit.

Computed, not looked up: each network is built without weights and run once on empty tensors (see tracker.py). Only
the runtime's own share is a constant, since it is the driver's and not ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lora_gui.engine.load.device import settled, training_dtype
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.phases import GIB, SIDES, Phase, Planner
from lora_gui.families.base import Family
from lora_gui.protocol.jobs import PlanJob
from lora_gui.settings import RECOMPUTED, Precision, Recomputing, TrainSettings

_LINK = 12e9  # bytes a second from RAM to the card, PCIe 4 x8 or 3 x16
_BUS = 360e9  # bytes a second of the memory of a small card
_PRECISIONS = tuple(one for one in get_args(Precision) if one != "fp16")  # each needs less memory than the one before
_RECOMPUTING = get_args(Recomputing)
_ROOM = 0.92  # share of a card that a proposal to be quicker may fill
_MOST_AT_ONCE = 64  # pictures, or batches of a step, as the settings have it
_WORTH = 0.02  # share of a step's time from which on it is proposed
_LOWEST = 256  # px; below, nothing is learnt well
_DOING = {
    "encode_text": "reading the captions",
    "encode_pictures": "encoding the pictures",
    "train": "learning",
    "sample": "drawing samples",
}


@dataclass(frozen=True)
class Plan:
    """What a run needs: `settings` are those to run with, `notes` what was changed in them and what it costs, and
    where the card itself is slow."""

    phases: dict[str, Phase]
    settings: TrainSettings
    changed: dict[str, Any]
    ram: float  # bytes
    fits: bool
    notes: tuple[str, ...]
    quicker: dict[str, Any]  # what could be changed instead, where all fits with room to spare
    gains: tuple[str, ...]  # and what each of that would bring

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
            "notes": list(self.notes),
            "quicker": self.quicker,
            "gains": list(self.gains),
        }


def plan(job: PlanJob, family: Family) -> Plan:
    """The smallest change with which the training fits a card of `vram_gib`, or the plan that comes nearest.

    In this order: accumulation in place of batches, gradient checkpointing, quantisation, offload, resolution; sample
    drawings are made smaller before anything that is learnt is changed for them. Each network is traced once for each
    configuration, which takes seconds, and then found in `job.cache`. Raises UserError for a base that is neither known
    nor on this disk.
    """
    planner = Planner(networks.components(job.base), family, Path(job.cache), job.unified)
    (settings, _), vram, notes = settled(job.settings, job.unified), job.vram_gib * GIB, {}
    current = settings
    for attempt, kind, note in _attempts(planner, settings, vram):
        current, notes[kind] = attempt, note
    _, slow = training_dtype(current.precision, family.facts, job.capability)
    notes |= {"dtype": slow} if slow else {}
    notes |= {"passes": _price_of_passes(current)} if current.passes > 1 else {}
    phases, ram = planner.phases(current), planner.ram(current)
    needed, most = max((phase.total, name) for name, phase in phases.items())
    if needed > vram:
        doing = f"It needs {needed / GIB:.1f} GB of the card while {_DOING[most]}"
        notes["card"] = f"{doing}, and nothing here makes that less: choose a smaller base."
    if ram > job.ram_gib * GIB:
        notes["ram"] = f"It needs {ram / GIB:.0f} GB of the computer's own memory, there are {job.ram_gib:.0f}."
    fits = needed <= vram and ram <= job.ram_gib * GIB
    changed = {key: value for key, value in current.model_dump().items() if value != getattr(settings, key)}
    gains = [] if changed or not fits else list(_quicker(planner, settings, vram))
    quicker = {key: value for change, _ in gains for key, value in change.items()}
    return Plan(phases, current, changed, ram, fits, tuple(notes.values()), quicker, tuple(gain for _, gain in gains))


def _quicker(planner: Planner, settings: TrainSettings, vram: float) -> Iterator[tuple[dict[str, Any], str]]:
    """What makes steps quicker, learns the same and still leaves room: real batches, then recomputing less."""
    room = _ROOM * vram
    for together in range(min(settings.accumulation, _MOST_AT_ONCE // settings.batch_size), 1, -1):
        change = {"batch_size": settings.batch_size * together, "accumulation": settings.accumulation // together}
        batched = settings.model_copy(update=change)
        if settings.accumulation % together == 0 and planner.training(batched).total <= room:
            yield change, (
                f"{batched.batch_size} pictures fit at once, not {settings.batch_size}: a step learns from as many as "
                "before, each with noise of its own, and is quicker; those of one shape come together."
            )
            settings = batched
            break
    if settings.streamed_blocks:
        return
    for how in _RECOMPUTING[: _RECOMPUTING.index(settings.gradient_checkpointing)]:
        kept = settings.model_copy(update={"gradient_checkpointing": how})
        less = 1 - planner.train(kept).flop / planner.train(settings).flop
        if planner.training(kept).total <= room and less > _WORTH:
            what = f"Recomputing {RECOMPUTED[how]} leaves room too"
            yield {"gradient_checkpointing": how}, f"{what}: each step takes about {100 * less:.0f} % less."
            return


def _attempts(planner: Planner, settings: TrainSettings, vram: float) -> Iterator[tuple[TrainSettings, str, str]]:
    """One change after the other, each with its kind and its price, until a run fits or nothing is left to change."""
    whole = settings.batch_size
    if not planner.fits(settings, vram):
        settings = _parted(planner, settings, vram, whole)
    if not planner.fits(settings, vram):
        asked, settings = settings, _held(planner, settings, vram)
        if settings.gradient_checkpointing != asked.gradient_checkpointing:
            yield settings, "checkpointing", _price_of_checkpointing(planner, settings)
        if settings.precision != asked.precision:
            yield settings, "precision", _price_of_precision(planner, settings)
    if not planner.fits(settings, vram) and not planner.unified:
        count = planner.blocks_to_offload(settings, vram)
        if count > settings.streamed_blocks:
            settings = settings.model_copy(update={"streamed_blocks": count})
            yield settings, "offload", _price_of_offloading(planner, settings)
    while settings.resolution > _LOWEST and not (
        planner.encode_pictures(settings).total <= vram and planner.fits(settings, vram)  # the quicker question first
    ):
        side = max(_LOWEST, settings.resolution - 128)
        settings = settings.model_copy(update={"resolution": side})
        yield settings, "resolution", f"Pictures are learnt at {side} pixels: steps are quicker, fine detail is lost."
    if settings.batch_size < whole:  # what has been given up since may leave room for more at once
        settings = _parted(planner, settings, vram, whole)
    if settings.batch_size < whole:
        yield settings, "batch", (
            f"The {whole} pictures of a step are looked at {settings.batch_size} at a time: the same is learnt, a "
            "little slower."
        )
    for side in SIDES:
        if planner.sample(settings).total > vram and side < planner.side_of_samples(settings):
            settings = settings.model_copy(update={"sample_resolution": side})
            yield settings, "samples", f"Sample drawings are made at {side} pixels; what is learnt stays the same."


def _parted(planner: Planner, settings: TrainSettings, vram: float, whole: int) -> TrainSettings:
    """The step of up to `whole` pictures at once: as many as fit, or as few as can be where none do."""
    together = settings.batch_size * settings.accumulation
    shares = [batch for batch in range(whole, 0, -1) if whole % batch == 0 and together // batch <= _MOST_AT_ONCE]
    ways = [settings.model_copy(update={"batch_size": one, "accumulation": together // one}) for one in shares]
    return next((way for way in ways if planner.fits(way, vram)), ways[-1])


def _held(planner: Planner, settings: TrainSettings, vram: float) -> TrainSettings:
    """In as many bits as fit with all recomputed, and then with the least recomputing; the least of all where none do.

    What is recomputed is learnt the same, and fewer bits are not.
    """
    precision = "bf16" if settings.precision == "fp16" else settings.precision
    hows = _RECOMPUTING[_RECOMPUTING.index(settings.gradient_checkpointing) : -1 if planner.unified else None]
    for one in (settings.precision, *_PRECISIONS[_PRECISIONS.index(precision) + 1 :]):
        ways = [settings.model_copy(update={"precision": one, "gradient_checkpointing": how}) for how in hows]
        if planner.fits(ways[-1], vram):
            return next(way for way in ways if planner.fits(way, vram))
    return ways[-1]


def _price_of_passes(settings: TrainSettings) -> str:
    drawn = f" {settings.class_pictures} pictures of the class are drawn first, unless they were before."
    return f"Each step takes about {settings.passes:.1f} times as long, for what holds the base." + (
        drawn if settings.class_pictures else ""
    )


def _price_of_checkpointing(planner: Planner, settings: TrainSettings) -> str:
    plain = planner.train(settings.model_copy(update={"gradient_checkpointing": "none", "streamed_blocks": 0}))
    more, what = planner.train(settings).flop / plain.flop - 1, RECOMPUTED[settings.gradient_checkpointing]
    return f"Recomputing {what}: each step takes about {100 * more:.0f} % longer."


def _price_of_precision(planner: Planner, settings: TrainSettings) -> str:
    if settings.precision == "bf16":
        return "The base is held in 16 bits, which is quicker on most cards."
    passes = 2 if settings.gradient_checkpointing in ("none", "feed_forward") else 3
    seconds = passes * 2 * planner.weights("bf16") / _BUS
    bits = {"int8": 8, "nf4": 4}[settings.precision]
    return f"The base is held in {bits} bits: each step takes up to {seconds:.1f} s longer on a small card."


def _price_of_offloading(planner: Planner, settings: TrainSettings) -> str:
    copied = planner.offloaded(settings)
    return (
        f"{settings.streamed_blocks} blocks ({copied / GIB:.1f} GB) stay in RAM and are copied twice in each step: "
        f"nothing is lost where a step takes longer than about {2 * copied / _LINK:.1f} s, which is what that takes."
    )
