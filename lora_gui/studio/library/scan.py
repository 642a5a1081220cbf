"""What lies in the studio's folders of LoRAs, notes, runs and drawings, each file read once through the index."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import plain
from lora_gui.studio.library import index, notes
from lora_gui.studio.library.notes import Notes
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import drawings
from lora_gui.studio.things.loras import SUFFIX as SUFFIX
from lora_gui.studio.things.loras import LoraInfo, describe, place

_TAG = re.compile(r"<lora:([^:>\n]+):")


def usable(studio: Studio) -> list[LoraInfo]:
    """Every LoRA that can be drawn with, the file that changed last first."""
    told, there, _ = loras(studio, None)
    names = sorted(told, key=lambda name: there[name].stat.st_mtime_ns, reverse=True)
    return [lora for name in names if (lora := info(there[name].path, told[name]))]


def triggers(studio: Studio) -> dict[str, str]:
    """The trigger word of each LoRA of the studio that says one, to the LoRA's name."""
    return {lora.trigger: lora.name for lora in usable(studio) if lora.trigger}


def now_at(studio: Studio, path: str) -> str:
    """The path that the LoRA at `path` has since it was renamed; empty where none of the studio had that name."""
    was, ending = os.path.splitext(path)
    if ending.lower() != SUFFIX or Path(was).parent != studio.loras:
        return ""
    there = (name for name, one in noted(studio).items() if Path(was).name in one.formerly)
    return next((str(place(studio, name)) for name in there), "")


def noted(studio: Studio) -> dict[str, Notes]:
    """What is noted of each LoRA, by its name."""
    marks = {name: _mark(one.stat) for name, one in scanned(studio.library, ".json").items()}
    told, _ = index.told_of(studio, "notes", marks, lambda name: notes.of(studio, name).model_dump())
    return {name: Notes.model_validate(said) for name, said in told.items()}


class Seen(NamedTuple):
    """A file and its state."""

    path: Path
    stat: os.stat_result


def loras(studio: Studio, seconds: float | None) -> tuple[dict[str, Any], dict[str, Seen], int]:
    """What is told of each LoRA file by its name without suffix, and its state; those still being written left out."""
    there = scanned(studio.loras, SUFFIX, capitals=True)
    marks = {name: _mark(one.stat) for name, one in there.items()}
    told, left = index.told_of(studio, "lora", marks, lambda name: _told(there[name].path), seconds)
    return told, there, left


def scanned(folder: Path, suffix: str, links: bool = True, capitals: bool = False) -> dict[str, Seen]:
    """The files of a folder that end so, or so in capitals too, each with its state; without what is still being
    written, or without links."""
    found: dict[str, Seen] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, ending = os.path.splitext(entry.name)
                fits = (ending.lower() if capitals else ending) == suffix and not name.startswith(".")
                if fits and (links or not entry.is_symlink()):
                    stat = _stat(entry)
                    if stat is not None and (ending == suffix or name not in found):
                        found[name] = Seen(Path(entry.path), stat)
    except OSError:  # there is no such folder, or it cannot be listed, which "Check my studio" says
        return {}
    return found


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:  # deleted a moment ago, or a link that leads nowhere
        return None


def _mark(stat: os.stat_result) -> str:
    return f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _told(path: Path) -> dict[str, Any] | None:
    try:
        said = asdict(describe(path))
        del said["path"]
        return {"info": said}
    except UserError as error:
        return {"what": error.what, "remedy": error.remedy}
    except files.STRANGE as error:
        because = getattr(error, "strerror", None) or "it is damaged"
        return {"what": f"{plain(path.name)} could not be read ({because}).", "remedy": "Get another copy of it."}


def info(path: Path, said: dict[str, Any]) -> LoraInfo | None:
    """What a LoRA says of itself, of what was told of its file; None where that is why it cannot be used."""
    if "info" not in said:
        return None
    fields = {**said["info"], "odd": tuple(said["info"]["odd"])}
    return LoraInfo(path=path, **fields)


def runs(studio: Studio, seconds: float | None) -> tuple[dict[str, str], int]:
    """The LoRAs that runs of this studio made, by their names, each with the run's folder name."""
    states = {}
    for folder in studio.runs.glob("*/result.json"):
        try:
            states[folder.parent.name] = _mark(folder.stat())
        except OSError:
            continue
    told, left = index.told_of(studio, "run", states, partial(_made, studio), seconds)
    return {said["lora"]: name for name, said in sorted(told.items()) if said.get("lora")}, left


def _made(studio: Studio, run: str) -> dict[str, Any] | None:
    try:
        made = Run(studio.runs / run).summary().lora
    except files.STRANGE:
        return {}
    return {"lora": Path(made).stem if made and Path(made).parent == studio.loras else ""}


def drawn(studio: Studio, seconds: float | None) -> tuple[dict[str, list[str]], int]:
    """The drawings with each LoRA, by its name; each by its place within the folder of drawings."""
    told, left = index.told_of(studio, "drawing", drawings_states(studio), partial(_used, studio), seconds)
    found: dict[str, list[str]] = {}
    for name, said in told.items():
        for lora in said.get("loras", ()):
            found.setdefault(lora, []).append(name)
    return found, left


def drawings_states(studio: Studio) -> dict[str, str]:
    """The state of each drawing, by its place within the folder of drawings."""
    return {
        f"{day.name}/{name}.png": _mark(one.stat)
        for day in studio.drawings.glob("????-??-??")
        for name, one in scanned(day, ".png", links=False).items()
        if not name.endswith("-preview") and one.stat.st_nlink <= 1
    }


def _used(studio: Studio, drawing: str) -> dict[str, Any]:
    return {"loras": list(dict.fromkeys(_TAG.findall(drawings.record(studio.drawings / drawing))))}
