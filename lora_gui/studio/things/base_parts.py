"""Where the networks lie that a base of one file has not: beside it, among the bases, or where they were found."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.facts import PartFile, SingleFile
from lora_gui.formats import base_files, single_file
from lora_gui.studio.finding import found
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import base_folder, base_places

# How other programs call the folders that such networks lie in, beside that of the denoisers.
_FOLDERS = ("text_encoders", "text_encoder", "clip", "vae", "VAE", "ae", "t5", "diffusion_models")
_MOST = 200  # files of a folder that are looked at


class Shelf:
    """All networks that lie apart and can be had here, looked for once, where a base needs one."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def parts_of(self, path: Path, family: str) -> dict[str, str]:
        """Where the networks lie that the file at `path` has not, by their folders in a base.

        Raises UserError naming those that are missing, and where they may be put.
        """
        stat = path.stat()
        lacking = _lacking(path, family, stat.st_size, stat.st_mtime_ns)
        if not lacking:
            return {}
        near = _near(path)
        there = {part: self._one(one, near) for part, one in lacking.items()}
        optional = families.facts_of(family).optional
        missing = [lacking[part] for part, held in there.items() if not held and part not in optional]
        if missing:
            raise self._missing(path, missing)
        return {part: held for part, held in there.items() if held}

    def _one(self, part: PartFile, near: dict[str, str]) -> str:
        """The nearest that can be had of a network; empty where there is none."""
        return near.get(part.key) or self._known.get(part.key, "")

    @functools.cached_property
    def _known(self) -> dict[str, str]:
        """Of each network, by its key, one that lies among the bases, was found, or belongs to a base that is here."""
        held = _in_folder(self._studio.bases)
        now = found.now(found.remembered(self._studio).things)
        for thing in now.here:
            if not thing.is_base:
                held.setdefault(thing.like, thing.path)
        folders = [Path(one.path) for one in now.here if one.is_base]
        folders += [one for path in _listed(self._studio.bases) for one in base_places.within(path)]
        for folder in folders:
            for key, path in _of_base(folder):
                held.setdefault(key, path)
        return held

    def _missing(self, path: Path, parts: list[PartFile]) -> UserError:
        listed = _listing([f"its {one.title}" for one in parts])
        usual = _listing([one.usual for one in parts])
        are = "are" if len(parts) > 1 else "is"
        where = f"beside it or into {self._studio.bases}"
        return UserError(f"{path.name} holds no whole base: {listed} {are} missing.", f"Put {usual} {where}.")


def _listing(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def lacking_in(contents: single_file.Contents, build: SingleFile) -> dict[str, PartFile]:
    """The networks that a file of this build has not itself, by their folders in a base."""
    return {part: one for part, one in build.apart.items() if not single_file.holds(contents, one, one.within)}


@functools.lru_cache(maxsize=1024)
def _lacking(path: Path, family: str, size: int, time: int) -> dict[str, PartFile]:
    """Read once for each state of the file."""
    contents = single_file.of(path)
    return lacking_in(contents, single_file.build_of(path, contents, families.facts_of(family).single_files))


def part_at(path: Path) -> PartFile | None:
    """The network that a file holds alone, where a base can need it. Raises UserError where the file is damaged."""
    stat = path.stat()
    return _part_at(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _part_at(path: Path, size: int, time: int) -> PartFile | None:
    """Read once for each state of the file."""
    return single_file.part_of(path, single_file.of(path), families.part_files().values())


def files_of(path: Path) -> tuple[Path, ...]:
    """The files with the weights of a network: the file itself, or those in its folder."""
    if path.is_file():
        return (path,)
    held = base_files.weights(path)
    return held.files if held else ()


def _near(path: Path) -> dict[str, str]:
    """Networks beside a file, and in folders of their own there, beside its folder, and beside the one above."""
    held = _in_folder(path.parent)
    for above in list(path.parents)[:3]:
        for name in _FOLDERS:
            for key, one in _in_folder(above / name).items():
                held.setdefault(key, one)
    return held


def _in_folder(folder: Path) -> dict[str, str]:
    """The networks that files in a folder hold alone, by their keys; of several the largest, which is least reduced."""
    held: dict[str, Path] = {}
    for path in _listed(folder):
        try:
            part = part_at(path) if base_places.is_checkpoint(path) and path.is_file() else None
        except (UserError, OSError):  # damaged, or gone a moment ago
            continue
        if part and (part.key not in held or path.stat().st_size > held[part.key].stat().st_size):
            held[part.key] = path
    return {key: str(path) for key, path in held.items()}


def _of_base(folder: Path) -> Iterator[tuple[str, str]]:
    """The networks of a base that is a folder, where another base of its family may use them too."""
    if not (folder / base_folder.INDEX).is_file():
        return
    try:
        facts, _ = base_folder.opened(folder, base_places.names(folder))
    except (UserError, OSError):
        return
    for build in facts.single_files[:1]:
        for part, one in build.apart.items():
            if files_of(folder / part):
                yield one.key, str(folder / part)


def _listed(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as there:
            return sorted(Path(one.path) for one in there if not one.name.startswith("."))[:_MOST]
    except OSError:
        return []
