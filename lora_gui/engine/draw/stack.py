"""The LoRAs in a base that is drawn with: loaded once, kept warm, and taken out when there are many."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from lora_gui import families
from lora_gui.engine.draw import as_diffusers
from lora_gui.engine.draw.applied import Applied
from lora_gui.engine.draw.sampling import Progress
from lora_gui.engine.load import lora
from lora_gui.facts import Facts
from lora_gui.formats import dialects
from lora_gui.formats.generation import Used
from lora_gui.formats.header import read_header, state
from lora_gui.formats.metadata import weights_hash
from lora_gui.formats.strengths import GROUPS, TEXT, counts, group_of, strength_in
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.settings import StackEntry

_WARM = 8  # LoRAs kept in memory, those in use not counted


@dataclass(frozen=True)
class _Lora:
    """One in memory: the hash by which other programs know it, and what of its file has no place, in a sentence."""

    hash: str
    note: str
    groups: frozenset[str]  # of layers that it changes
    is_dora: bool


class Stack:
    """The adapters of one base. `texts` says whether all its text encoders that can carry one are in memory."""

    def __init__(self, facts: Facts, parts: dict[str, Any], texts: bool) -> None:
        self.facts, self.parts, self.texts = facts, parts, texts
        self.loaded: dict[tuple[str | int, ...], str] = {}  # file and its state to the name of its adapter
        self.loras: dict[str, _Lora] = {}  # by adapter
        self.active: tuple[tuple[str, float], ...] = ()  # adapters that change text encoders, with their strength there
        self._wanted: dict[str, list[StackEntry]] = {}
        self._applied = Applied(parts)
        self._names = (f"lora{number}" for number in count())  # none is ever used again

    def use(
        self, entries: tuple[StackEntry, ...], merged: bool, read_by: str = ""
    ) -> Generator[Event, None, list[Used]]:
        """Load what is not loaded yet and activate exactly these; returns what counts.

        `merged` adds them to the base's own weights, which is quicker and needs a copy of these; `read_by` is as in
        DrawJob. Raises UserError where a LoRA does not fit; nothing of it is left then.
        """
        wanted: dict[str, list[StackEntry]] = {}
        used = []
        for entry in entries:
            if counts(entry):
                path = Path(entry.lora)
                yield Phase(f"Loading {path.stem}")
                name, left_out = self._load(path, read_by)
                yield from map(Note, self._said(entry, self.loras[name], left_out))
                wanted.setdefault(name, []).append(entry)
                used.append((path.stem, entry.strength, self.loras[name].hash))
        reading = [(name, several) for name, several in wanted.items() if TEXT in self.loras[name].groups]
        self.active = tuple((name, _strength(several, f"{TEXT}.")) for name, several in reading)
        for key, name in list(self.loaded.items()):
            if name not in wanted and len(self.loaded) > _WARM:
                self._remove(name)
                del self.loaded[key], self.loras[name]
        self._wanted = wanted
        self._applied.use({name: partial(_strength, several) for name, several in wanted.items()}, merged)
        return used

    def taking_turns(self, then: Progress) -> Progress:
        """What is to be called after each step, so that one LoRA after the other counts for a step (LoRA Switch, Zhong
        et al. 2024); the first does at once. Text encoders, which have read by then, stay as they are.

        The stack is not to be merged; the next `use` ends it.
        """

        def turn(step: int) -> None:
            chosen = list(self._wanted)[step % len(self._wanted)]
            stack = {name: partial(_in_turn, name == chosen, several) for name, several in self._wanted.items()}
            self._applied.use(stack, merged=False)

        def progress(step: int, of: int, x0: torch.Tensor | None) -> None:
            then(step, of, x0)
            turn(step)

        if len(self._wanted) < 2:
            return then
        turn(0)
        return progress

    def _said(self, entry: StackEntry, one: _Lora, left_out: bool) -> Iterator[str]:
        """What is to be known of how a LoRA counts."""
        stem = Path(entry.lora).stem
        if one.note:
            yield f"{stem}: {one.note}"
        if left_out:
            yield f"What {stem} changes in the text encoder is left out: that has left memory."
        shares = {group: getattr(entry, group) for group in GROUPS.values()}
        if idle := [group for group, share in shares.items() if share != 1 and group not in one.groups]:
            yield f"{stem} changes nothing in {' or '.join(idle)} blocks here, so their share makes no difference."
        if one.is_dora and entry.strength not in (0, 1):
            how = "between the base and what was learnt, as in ComfyUI and Forge; diffusers does it otherwise"
            yield f"{stem} is a DoRA: at {entry.strength:g} it is drawn in a straight line {how}."

    def _load(self, path: Path, read_by: str) -> tuple[str, bool]:
        """The adapter of this LoRA, and whether a part of it is left out; it is put into the base unless it is there.

        Raises UserError where it does not fit.
        """
        header = read_header(path)
        key: tuple[str | int, ...] = (read_by, str(path), *state(path))
        if key not in self.loaded:
            known = families.facts().values()
            layers = dialects.read(path, lora.shapes(self.parts), self.facts, known, self.texts)
            name = next(self._names)
            with ExitStack() as undo:
                undo.callback(self._remove, name)
                if read_by == "diffusers":
                    as_diffusers.add(self.parts, path, self.facts, name, self.texts)
                else:
                    lora.add(self.parts, layers, name)
                self._applied.changed()
                found = _Lora(
                    hash=weights_hash(path, header),
                    note=dialects.left_out(path, lora.shapes(self.parts), self.facts, self.texts),
                    groups=frozenset(map(group_of, layers)),
                    is_dora=any(layer.magnitude is not None for layer in layers.values()),
                )
                undo.pop_all()
            self.loaded[key], self.loras[name] = name, found
        return self.loaded[key], not self.texts and any(map(dialects.is_text_layer, header.tensors))

    def _remove(self, name: str) -> None:
        lora.remove(self.parts, name)
        self._applied.changed()


def _in_turn(whose: bool, entries: list[StackEntry], layer: str) -> float:
    """In a layer, while it is the turn of one LoRA."""
    return _strength(entries, layer) if whose or group_of(layer) == TEXT else 0.0


def _strength(entries: list[StackEntry], layer: str) -> float:
    """In a layer, of a LoRA that may stand in the stack several times."""
    return sum(strength_in(entry, layer) for entry in entries)
