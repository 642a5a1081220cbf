"""The LoRAs in a base that is drawn with: loaded once, kept warm, and taken out when there are many."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.engine.draw import as_diffusers, hashes, lowrank
from lora_gui.engine.load import lora
from lora_gui.facts import Facts
from lora_gui.formats import dialects
from lora_gui.formats.generation import Used
from lora_gui.formats.header import read_header, state
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.settings import StackEntry

_WARM = 8  # LoRAs kept in memory, those in use not counted


class Stack:
    """The adapters of one base. `texts` says whether all its text encoders that can carry one are in memory."""

    def __init__(self, facts: Facts, parts: dict[str, Any], texts: bool) -> None:
        self.facts, self.parts, self.texts = facts, parts, texts
        self.loaded: dict[tuple[str | int, ...], str] = {}  # file and its state to the name of its adapter
        self.hashes: dict[str, str] = {}  # adapter to the hash by which other programs know the LoRA
        self.notes: dict[str, str] = {}  # adapter to what of its file has no place in the base, in a sentence
        self.originals: lora.Originals = []  # the base's own weights where adapters are merged into them
        self.active: tuple[tuple[str, float], ...] = ()  # adapters in use, each with its strength
        self._names = (f"lora{number}" for number in count())  # none is ever used again

    def use(
        self, entries: tuple[StackEntry, ...], merged: bool, read_by: str = ""
    ) -> Generator[Event, None, list[Used]]:
        """Load what is not loaded yet and activate exactly these; returns what counts.

        `merged` adds them to the base's own weights, which is quicker and needs a copy of these; `read_by` is as in
        DrawJob. Raises UserError where a LoRA does not fit; nothing of it is left then.
        """
        strengths: dict[str, float] = {}
        used = []
        for entry in entries:
            if entry.strength:
                path = Path(entry.lora)
                yield Phase(f"Loading {path.stem}")
                name, left_out = self._load(path, read_by)
                if self.notes[name]:
                    yield Note(f"{path.stem}: {self.notes[name]}")
                if left_out:
                    yield Note(f"What {path.stem} changes in the text encoder is left out: that has left memory.")
                strengths[name] = strengths.get(name, 0.0) + entry.strength
                used.append((path.stem, entry.strength, self.hashes[name]))
        lora.unmerge(self.originals)
        lowrank.undo(self.parts)
        self.originals = []
        lora.activate(self.parts, strengths)
        self.active = tuple(sorted(strengths.items()))
        for key, name in list(self.loaded.items()):
            if name not in strengths and len(self.loaded) > _WARM:
                lora.remove(self.parts, name)
                del self.loaded[key], self.hashes[name], self.notes[name]
        if merged:
            self.originals = lora.merge(self.parts)
        if not self.originals:
            lowrank.fuse(self.parts)
        return used

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
                undo.callback(lora.remove, self.parts, name)
                if read_by == "diffusers":
                    as_diffusers.add(self.parts, path, self.facts, name, self.texts)
                else:
                    lora.add(self.parts, layers, name)
                undo.pop_all()
            self.loaded[key] = name
            self.notes[name] = dialects.left_out(path, lora.shapes(self.parts), self.facts, self.texts)
            self.hashes[name] = hashes.of_lora(path, header)
        return self.loaded[key], not self.texts and any(map(dialects.is_text_layer, header.tensors))
