"""Take a base away: what was found is forgotten and stays where it lies; only what the app has made is deleted."""

from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import cache_names
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.task_folder import ORIGIN
from lora_gui.studio.finding import found
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.launching import all_runs
from lora_gui.studio.tasks.run import queued
from lora_gui.studio.things import base_places, bases


@dataclass(frozen=True)
class Removal:
    """What taking a base away comes to: the folders that are deleted, their bytes, and all of it in a sentence."""

    base: Base
    folders: tuple[Path, ...]
    size: int
    sentence: str


def of(studio: Studio, base: Base) -> Removal:
    """Raises UserError where the base has to stay: the starter, what the user put among the bases, what is in use."""
    if bases.ships_with_the_app(base):
        raise UserError(f"{base.title} comes with the app and stays.", "It takes little room.")
    if user := _used_by(studio, base):
        raise UserError(f"{base.title} is in use by the run {user}.", "Wait until it is done, or stop it first.")
    own = _downloaded(studio, base)
    folders = own or _unpacked(studio, base)
    size = sum(file.stat().st_size for one in folders for file in one.rglob("*") if _is_own(file))
    freed = f"Frees {size / 1e9:.1f} GB" if size >= 1e8 else f"Frees {size / 1e6:.1f} MB"
    if own:
        return Removal(base, folders, size, f"{freed}; it can be downloaded again.")
    made = f"{freed}, what was unpacked of it. " if folders else ""
    if Path(base.path).is_relative_to(studio.bases):
        if not folders:
            raise UserError(f"You put {base.title} into your studio yourself.", f"Delete {base.path} by hand.")
        return Removal(base, folders, size, f"{made}It is made again when you use the base.")
    if not folders and all(one.path != base.path for one in found.remembered(studio).things):
        raise UserError(f"{base.title} is not among your bases.", "It stays where it lies; nothing of it is kept here.")
    return Removal(base, folders, size, f"{made}It is forgotten here; its own files stay where they lie.")


def carry_out(studio: Studio, removal: Removal) -> None:
    """Raises UserError where the base has come into use since, or the disk refuses."""
    of(studio, removal.base)
    found.forget(studio, removal.base.path)
    for folder in removal.folders:
        files.remove_folder(folder)


def _downloaded(studio: Studio, base: Base) -> tuple[Path, ...]:
    """The folder of a base that the app has downloaded."""
    folder = Path(base.path)
    return (folder,) if folder.parent == studio.bases and (folder / ORIGIN).is_file() else ()


def _unpacked(studio: Studio, base: Base) -> tuple[Path, ...]:
    """What the app has made of a base of one file."""
    path = Path(base.path)
    if not base_places.is_checkpoint(path) or not path.is_file():
        return ()
    folder = studio.cache / cache_names.UNPACKED / cache_names.unpacked(path, base.parts.values())
    return (folder,) if folder.is_dir() else ()


def _is_own(file: Path) -> bool:
    """Whether a file takes room of its own, and is no link to one of another program."""
    return file.is_file() and not file.is_symlink() and file.stat().st_nlink == 1


def _used_by(studio: Studio, base: Base) -> str:
    """The name of a run that goes on with this base, or waits to; empty where none does."""
    waiting = set(queued(studio.runs))
    for run in all_runs(studio):
        try:
            if (run.lives() or run.folder.name in waiting) and run.job.base.path == base.path:
                return run.job.name
        except UserError:  # a damaged run, which uses nothing
            continue
    return ""
