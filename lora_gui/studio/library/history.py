"""The history: every drawing by day, searched, starred, put into the bin and had back; each is read once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_gui import drive, files
from lora_gui.drive import folded
from lora_gui.errors import UserError
from lora_gui.studio.library import index, scan
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.things import drawings

STARS = "stars.json"  # in the folder of drawings
_TAG = re.compile(r"\s*<lora:([^:>\n]+):([^:>\n]*)>")
_PLACE = re.compile(r"(\d{4}-\d\d-\d\d)/([^/\\]+\.png)")
_LONGEST = 600  # characters of a prompt that are kept


@dataclass(frozen=True)
class Drawn:
    """One drawing; `name` is its place within the folder of drawings, `2026-11-28/....png`."""

    name: str
    prompt: str = ""
    loras: tuple[tuple[str, str], ...] = ()  # name and strength, as they stand in it
    base: str = ""  # title
    seed: str = ""
    star: bool = False

    @property
    def day(self) -> str:
        return self.name.partition("/")[0]


def history(studio: Studio, seconds: float | None = None) -> tuple[list[Drawn], int]:
    """Every drawing, the newest first, and how many there was no time to read, which are told by their places alone."""
    states = dict(sorted(scan.drawings_states(studio).items(), reverse=True))
    told, left = index.told_of(studio, "history", states, lambda name: _told(studio.drawings / name), seconds)
    stars = starred(studio)
    return [_drawn(name, told.get(name, {}), name in stars) for name in states], left


def wanted(found: Iterable[Drawn], words: str, star: bool = False) -> list[Drawn]:
    """Those that have all the words in prompt, LoRAs, base or seed, and a star where that is asked for."""
    parts = folded(words).split()
    return [
        one for one in found
        if (one.star or not star) and (not parts or all(part in _searched(one) for part in parts))
    ]  # fmt: skip


def place(studio: Studio, name: str) -> Path:
    """Where a drawing lies. Raises UserError where there is none called so."""
    known = _PLACE.fullmatch(name)
    path = studio.drawings / name
    if not known or known[2].startswith(".") or not path.is_file() or not drawings.is_ours(path):
        raise UserError("This drawing is not there any more.", "Choose another one.")
    return path


def starred(studio: Studio) -> set[str]:
    """The places of the drawings with a star."""
    kept = files.read_json(studio.drawings / STARS) if (studio.drawings / STARS).is_file() else None
    return {name for name in kept if isinstance(name, str)} if isinstance(kept, list) else set()


def star(studio: Studio, name: str) -> bool:
    """Give a drawing a star, or take it; whether it has one now. Raises UserError where it is gone or the disk full."""
    place(studio, name)
    changed = starred(studio) ^ {name}
    files.write_json(studio.drawings / STARS, sorted(changed))
    return name in changed


def delete(studio: Studio, name: str) -> str:
    """Put a drawing into the bin, where it stays until that is emptied; what `restore` takes.

    Raises UserError where it is gone or the disk refuses.
    """
    path, folder = place(studio, name), studio.bin / new_id(studio.bin)
    files.move(path, folder / name.replace("/", " ", 1))
    return folder.name


def restore(studio: Studio, binned: str) -> str:
    """Put a drawing back where it was, under another name where that is taken; its place.

    Raises UserError where it is not in the bin any more, or the disk refuses.
    """
    folder = studio.bin / Path(binned).name
    source = next(folder.glob("????-??-?? *.png"), None) if folder.is_dir() else None
    if source is None:
        raise UserError("This drawing is not in the bin any more.", "Draw it again with the same settings.")
    day, _, name = source.name.partition(" ")
    target = files.free_name(studio.drawings / day, Path(name).stem, ".png")
    files.move(source, target)
    drive.drop_empty(folder)
    return f"{day}/{target.name}"


def prompt_of(drawing: Path) -> str:
    """The prompt of a drawing, without the LoRAs that it names; empty where it says none."""
    return str(_told(drawing)["prompt"])


def _told(path: Path) -> dict[str, Any]:
    record = drawings.record(path)
    said, _, last = record.rpartition("\n")
    prompt = re.split(r"\nNegative prompt: ", said or last)[0]
    seed = re.search(r"\bSeed: (\d+)", last)
    base = re.search(r'\bModel: (?:"((?:[^"\\]|\\.)*)"|([^,]*))', last)
    return {
        "prompt": _TAG.sub("", prompt).strip()[:_LONGEST],
        "loras": _TAG.findall(prompt)[:64],
        "base": _unquoted(base) if base else "",
        "seed": seed[1][:20] if seed else "",
    }


def _unquoted(base: re.Match[str]) -> str:
    try:
        return str(json.loads(f'"{base[1]}"'))[:200] if base[1] is not None else base[2].strip()[:200]
    except ValueError:
        return base[0][:200]


def _drawn(name: str, said: dict[str, Any], star: bool) -> Drawn:
    loras = tuple((str(lora), str(strength)) for lora, strength in said.get("loras", ()))
    return Drawn(name, said.get("prompt", ""), loras, said.get("base", ""), said.get("seed", ""), star)


def _searched(one: Drawn) -> str:
    return folded(" ".join((one.prompt, one.base, one.seed, *(lora for lora, _ in one.loras))))
