"""Which folders of this computer may hold bases: the hub's cache, and the models of every program that is found."""

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lora_gui.studio.finding.programs import HUB, HUB_CACHES, PASSED, PROGRAMS, Program
from lora_gui.studio.finding.settings_files import is_too_wide, named_in
from lora_gui.studio.paths import home_folder

DRIVES = "LORA_GUI_DRIVES"  # the variable that names the drives to look on, in place of all
_DEPTH = 4  # folders below a drive or a home, in which programs are looked for
_FOLDERS = 6_000  # of one drive that are looked into for programs
_SECONDS = 4.0  # that this takes at most on one drive
_PROGRAMS_ON_NETWORKS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "drvfs", "fuse.rclone", "virtiofs",
                         "vboxsf", "afpfs", "webdav", "fuseblk", "ntfs", "exfat", "vfat", "apfs", "hfs"}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A folder, or a single file that a program's settings name, and whose it is."""

    path: Path
    program: str


def drives() -> list[Path]:
    """Where to look for programs: the user's home, then every drive; or those alone that LORA_GUI_DRIVES names.

    Each is absolute, since what is found there is used from other folders too.
    """
    if given := os.environ.get(DRIVES, "").strip():
        return [Path(os.path.expanduser(one)).absolute() for one in given.split(os.pathsep) if one.strip()]
    found = [user] if (user := home_folder()) else []
    for part in _mounted():
        path = Path(part.mountpoint)
        known = os.name == "nt" or part.device.startswith("/dev/") or part.fstype in _PROGRAMS_ON_NETWORKS
        if known and path not in found and not part.mountpoint.startswith(("/boot", "/snap", "/etc", "/proc", "/sys")):
            found.append(path)
    return found


def _mounted() -> Iterator[Any]:
    with contextlib.suppress(OSError):  # a system that does not tell: the home is looked at all the same
        yield from psutil.disk_partitions(all=True)


def hub_caches() -> Iterator[Place]:
    """The hub's cache, wherever it was put."""
    for one in HUB_CACHES:
        if path := _filled(one):
            yield Place(path, HUB)


def usual() -> Iterator[Place]:
    """The models of programs where they are put as a rule, and where settings outside of their folders lead."""
    for program in PROGRAMS:
        for home in program.homes:
            if (path := _filled(home)) and _has_mark(path, program):
                yield from of_program(path, program)
        for name, keys in program.settings:
            if name[0] in "~%" and (file := _filled(name)):
                for path in named_in(file, keys, file.parent):
                    yield from _led_to(path, program)


def on_drive(drive: Path) -> Iterator[Place]:
    """The models of the programs on a drive, as far down as programs are put; the nearest first."""
    until, left = time.monotonic() + _SECONDS, _FOLDERS
    waiting: deque[tuple[Path, int]] = deque([(drive, 0)])
    while waiting and left > 0 and time.monotonic() < until:
        folder, depth = waiting.popleft()
        left -= 1
        if depth and (program := told(folder)):
            yield from of_program(folder, program)
            waiting.extend((inner, 1) for name in program.within for inner in _below(folder / name))
        elif depth < _DEPTH:
            waiting.extend((inner, depth + 1) for inner in _below(folder))


def told(folder: Path) -> Program | None:
    """The program whose folder this is."""
    return next((program for program in PROGRAMS if _has_mark(folder, program)), None)


def of_program(folder: Path, program: Program) -> Iterator[Place]:
    """Its folders of models, and those its settings name."""
    for name in program.models:
        if (folder / name).is_dir():
            yield Place(folder / name, program.title)
    for name, keys in program.settings:
        if name[0] not in "~%":
            for file in sorted(folder.glob(name.replace("#", "*")))[:100]:
                for path in named_in(file, keys, folder):
                    yield from _led_to(path, program)


def _led_to(path: Path, program: Program) -> Iterator[Place]:
    """The places that a setting leads to: a file, the folder of a program, or one of models."""
    if path.is_dir() and (inner := told(path)):
        yield from (Place(path / name, inner.title) for name in inner.models if (path / name).is_dir())
    elif path.exists():
        yield Place(path, program.title)


def _has_mark(folder: Path, program: Program) -> bool:
    return any((folder / mark).exists() for mark in program.marks)


def _below(folder: Path) -> Sequence[Path]:
    """The folders in a folder that a program may be in; no links, which could lead round in circles."""
    try:
        with os.scandir(folder) as found:
            inner = [Path(one.path) for one in found if one.is_dir(follow_symlinks=False)]
    except OSError:
        return ()
    return sorted(one for one in inner if not one.name.startswith(".") and one.name.lower() not in PASSED)


def _filled(text: str) -> Path | None:
    """The path with its variables and `~` filled in; None where one of them is not set."""
    filled = re.sub(r"%(\w+)%", lambda match: os.environ.get(match[1], "\0"), text)
    if "\0" in filled or (filled[1:2] == ":" and os.name != "nt"):
        return None
    path = Path(os.path.expanduser(filled))  # `~` stays where nobody's home is known
    return path if path.is_absolute() and not is_too_wide(path) else None
