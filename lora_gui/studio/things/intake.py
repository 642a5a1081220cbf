"""Every file of what was chosen or dropped, under the name the user knows it by; nothing is opened, only listed."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from lora_gui.errors import UserError
from lora_gui.studio.things.report import LeftOut, left_out

DEEPEST = 50  # folders in one another
MOST_FILES = 20_000  # in all that is chosen; more is no folder of training pictures


@dataclass(frozen=True)
class Incoming:
    """`path` is opened; `name` is what the user calls it, with its folders, and never a path on this disk."""

    path: Path
    name: PurePosixPath
    given: bool = True  # False for what only lies beside a file that was chosen by itself

    def in_words(self, sentence: str) -> str:
        """A sentence about it in which it is called as the user knows it."""
        return sentence.replace(self.path.name, self.name.name) if self.path.name else sentence


@dataclass(frozen=True)
class Intake:
    """All files; `loose` where each was chosen by itself, so that their folders may mean nothing."""

    loose: bool
    called: str  # the first of what was chosen
    title: str = ""  # the one thing that was chosen
    root: str = ""  # the one folder that holds it all; it is in no name, and was chosen whatever it is called
    files: list[Incoming] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    links: list[str] = field(default_factory=list)  # names of files that are links
    seen: set[Path] = field(default_factory=set)  # files that are listed and folders that were entered


def gather(sources: Sequence[Path], names: Sequence[str] = (), skipped: Sequence[str] = ()) -> Intake:
    """What `sources`, files and folders, hold. `names` are a browser's relative names, one for each source, or none.

    `skipped` are such names of files that it did not send. Raises UserError where a source is not there or cannot be
    listed, or where there are too many files.
    """
    for source in sources:
        _check(source)
    if names or skipped:
        sent = [Incoming(path, _told(name, path)) for path, name in zip(sources, names, strict=True)]
        kept = [Incoming(Path(), _told(name, Path("file"))) for name in skipped]
        return _named(sent + kept)
    return _listed(sources)


def _check(source: Path) -> None:
    try:
        os.stat(source)
    except PermissionError as error:
        raise UserError(f"{source} could not be read ({error.strerror}).", "Check that you may read it.") from None
    except (OSError, ValueError):  # also where the name is one that no disk takes
        raise UserError(f"{source} is not there.", "Check the path.") from None


def _named(files: list[Incoming]) -> Intake:
    """What came from a browser."""
    first = {file.name.parts[0] if len(file.name.parts) > 1 else "" for file in files}
    root = first.pop() if len(first) == 1 else ""
    if root:
        files = [replace(file, name=file.name.relative_to(root)) for file in files]
    alone = files[0].name.stem if len(files) == 1 else ""
    return Intake(False, root or files[0].name.name, root or alone, root, files)


def _listed(sources: Sequence[Path]) -> Intake:
    """What lies on this disk; what is named twice, as by a folder and the files in it, or by a link, comes once."""
    named: dict[Path, Path] = {}  # where each lies, and how it was named first
    for source in sources:
        named.setdefault(_place(source), Path(os.path.abspath(source)))
    first = next(iter(named.values()), Path())
    folders = {place for place in named if place.is_dir()}
    if folders and len(named) == 1:
        intake = Intake(False, first.name, first.name, first.name)
        _walk(next(iter(folders)), PurePosixPath(), intake)
        return intake
    intake = Intake(not folders, first.name, first.stem if len(named) == 1 else "")
    homes = _called([pair if pair[0] in folders else (pair[0].parent, pair[1].parent) for pair in named.items()])
    # What lies in another of them comes after it, so that it has that one's name and is beside its captions.
    for place in sorted(named, key=lambda place: len(folders.intersection(place.parents))):
        if place in intake.seen:
            continue
        if place in folders:
            _walk(place, homes[place], intake)
        else:
            intake.seen.add(place)
            intake.files.append(Incoming(place, homes[place.parent] / place.name))
    if not folders:
        _beside(homes, intake)
    return intake


def _place(source: Path) -> Path:
    """The one path of a folder, however it is named; of a file, which may be a link with a caption of its own, too."""
    real = Path(os.path.realpath(source))
    return real if real.is_dir() else Path(os.path.realpath(source.parent), source.name)


def _called(folders: Sequence[tuple[Path, Path]]) -> dict[Path, PurePosixPath]:
    """What each folder is called: its name as named where no other has the same, and nothing where it is the only."""
    called: dict[Path, PurePosixPath] = {}
    for folder, named in folders:
        if folder in called:
            continue
        own = named.name or "folder"
        name, number = PurePosixPath(own), 2
        while name in called.values():
            name, number = PurePosixPath(f"{own} ({number})"), number + 1
        called[folder] = name
    return called if len(called) > 1 else dict.fromkeys(called, PurePosixPath())


def _told(name: str, path: Path) -> PurePosixPath:
    """A relative name as a browser tells it: words, with nothing in it that leads anywhere."""
    return PurePosixPath(*parts_of(name) or [path.name])


def parts_of(name: str) -> list[str]:
    """The parts of a relative name of any system that lead nowhere but down."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _walk(folder: Path, name: PurePosixPath, intake: Intake, top: bool = True) -> None:
    """Add the files in a folder and those below it, in the order of their names; linked folders are not entered."""
    intake.seen.add(folder)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        if top:
            raise UserError(f"{folder.name} could not be read ({error.strerror}).", "Check the folder.") from None
        intake.left.append(left_out(name, "forbidden", f"folders that cannot be read ({error.strerror})"))
        return
    for entry in entries:
        called, path = name / entry.name, folder / entry.name
        if path in intake.seen:
            continue
        kind = _kind(entry)
        if kind == "folder" and len(called.parts) > DEEPEST:
            intake.left.append(left_out(called, "forbidden", "folders that lie too deep to be entered"))
        elif kind == "folder":
            _walk(path, called, intake, top=False)
        elif kind == "file":
            intake.seen.add(path)
            intake.files.append(Incoming(path, called))
            if entry.is_symlink():
                intake.links.append(str(called))
        else:
            intake.left.append(left_out(called, kind))
        if len(intake.files) > MOST_FILES:
            raise UserError(f"There are more than {MOST_FILES} files.", "Choose a folder with your pictures alone.")


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or the kind of what is neither."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "broken" if entry.is_symlink() else "special"
    if stat.S_ISDIR(mode):
        return "link" if entry.is_symlink() else "folder"
    return "file" if stat.S_ISREG(mode) else "special"


def _beside(homes: dict[Path, PurePosixPath], intake: Intake) -> None:
    """Add what lies beside files that were chosen by themselves, and may be a caption of theirs."""
    for folder, home in homes.items():
        for path in _files_of(folder):
            if path not in intake.seen:
                intake.files.append(Incoming(path, home / path.name, given=False))


def _files_of(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return
    yield from (folder / name for name in found[:MOST_FILES])
