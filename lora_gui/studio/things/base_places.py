"""Where bases lie on a disk: in a folder, in one below it, in the hub's cache; and what they are called there."""

import functools
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats import base_files
from lora_gui.protocol.jobs import Base
from lora_gui.studio.things.base_folder import INDEX, PICKLES, WHOLE

_HUB = "models--"  # how the model hub's cache calls the folder of a repository
_ARCHIVES = {".zip", ".7z", ".rar", ".gz", ".tar"}
_PARTIAL = {".part", ".crdownload", ".incomplete", ".aria2", ".download"}
_OTHERS = {".gguf", *PICKLES, *_ARCHIVES, *_PARTIAL}  # files that were meant to be a base


def is_checkpoint(path: Path) -> bool:
    """Whether a file is called as a base is that is one file."""
    return path.suffix.lower() in base_files.CHECKPOINTS


def candidates(folder: Path) -> Iterator[Path]:
    """What in a folder could be a base or was meant to be one, sorted: nothing hidden, no notes, no pictures."""
    for path in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not base_files.is_hidden(path) and (path.is_dir() or is_checkpoint(path) or path.suffix.lower() in _OTHERS):
            yield path


def within(path: Path) -> list[Path]:
    """The places of the bases in a folder: it itself, its snapshot in the hub's cache, or what lies one level down."""
    found = snapshot(path)
    if not os.path.isdir(found) or os.path.lexists(found / INDEX):
        return [found]
    below = [snapshot(one) for one in candidates(found)]
    whole = [one for one in below if not one.is_dir() or os.path.lexists(one / INDEX)]
    return whole or [found]


def snapshot(path: Path) -> Path:
    """The latest snapshot of a repository in the hub's cache, for its folder there; any other path as it is."""
    held = path / "snapshots"
    if not os.path.isdir(held) or os.path.lexists(path / INDEX):
        return path
    there = [one for one in held.iterdir() if one.is_dir() and not base_files.is_hidden(one)]
    named = _main(path)
    current = [one for one in there if one.name == named and _holds(one)] or [one for one in there if _holds(one)]
    return max(current, key=lambda one: one.stat().st_mtime, default=path)


def names(path: Path) -> list[str]:
    """What a base is called by its place, its key first: a snapshot of the hub's cache as its repository."""
    own = path.stem if is_checkpoint(path) else path.name
    above = path.parent
    if path.is_dir() and above.name == "snapshots" and above.parent.name.startswith(_HUB):
        repository = above.parent.name.removeprefix(_HUB)
        return [repository.rpartition("--")[2] or repository, repository.replace("--", "/")]
    return [own]


def named_apart(base: Base, program: str, seen: Collection[str]) -> Base:
    """The base under a name that is none of those seen: with the program it was found with, and a number."""
    names = [base.key, f"{base.key} ({program})", *(f"{base.key} ({program} {n})" for n in range(2, 1000))]
    key = next(name for name in names if name not in seen)
    title = base.title if key == base.key else f"{base.title}{key.removeprefix(base.key)}"
    return base.model_copy(update={"key": key, "title": title})


def refuse(path: Path) -> None:
    """Raises UserError where a file is none that a base can be read from, or a folder holds no base at all."""
    suffix = path.suffix.lower()
    if os.path.isdir(path):  # not of Path, which raises for names that no disk takes
        if (path / "snapshots").is_dir():
            what = f"{path.name} is of the hub's cache, and no folder in its snapshots holds a whole base."
            raise UserError(what, "Download the base again, or name the folder snapshots/<hash> that holds it.")
        if not os.path.lexists(path / INDEX):
            raise UserError(f"The folder {path.name} is not a base: it has no model_index.json.", WHOLE)
    elif os.path.islink(path) and not os.path.exists(path):
        raise UserError(f"{path.name} is a link that leads nowhere.", WHOLE)
    elif not os.path.exists(path):
        raise UserError(f"There is nothing at {path}.", "Check where the base lies.")
    elif not path.is_file():
        raise UserError(f"{path.name} is not a file.", WHOLE)
    elif suffix in PICKLES:
        what = f"{path.name} is in an old format that can carry programs, so it is not opened."
        raise UserError(what, "Get this base as .safetensors.")
    elif suffix in _ARCHIVES:
        raise UserError(f"{path.name} is an archive.", "Unpack it, and put what is in it here.")
    elif suffix in _PARTIAL:
        raise UserError(f"{path.name} is a download that is not finished.", "Wait until it is, or download it again.")
    elif suffix == ".gguf":
        raise UserError(f"{path.name} is in the GGUF format, which is not read here.", "Get it as .safetensors.")
    elif not is_checkpoint(path):
        raise UserError(f"{path.name} is not the folder of a base.", WHOLE)


def state(path: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one state of a base on the disk from the next: the names, sizes and times of the files that count."""
    return tuple(_stat(one) for one in (_below(path) if path.is_dir() else [path]))


def _below(folder: Path) -> Iterator[Path]:
    for one in sorted(folder.iterdir()):
        if not base_files.is_hidden(one):
            yield one
            if one.name.startswith("tokenizer") or one.name in _parts():
                yield from _below(one) if one.is_dir() else ()


@functools.cache
def _parts() -> set[str]:
    """What folders of bases are called."""
    networks = {name for one in families.facts() for part in families.networks(one) for name in part.split("/")}
    return {"scheduler"} | networks


def _stat(path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing
        return str(path), -1, 0
    return str(path), stat.st_size, stat.st_mtime_ns


def _main(repository: Path) -> str:
    """The snapshot that the hub's cache calls the main one."""
    try:
        with open(repository / "refs" / "main", "rb") as file:
            return file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _holds(folder: Path) -> bool:
    """Whether a folder holds a base, a whole one or not."""
    return os.path.lexists(folder / INDEX) or any(map(is_checkpoint, candidates(folder)))
