"""Zip archives among what was chosen: their members come out by base names of our own, within limits, or not at all.

A member's path is never a path on this disk: it is a name, in words, under which the file is known. What it holds is
looked at like every other file, in the child that decodes pictures. Limits are counted while reading, since what an
archive says of itself may be a lie.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.things.intake import Incoming, Intake, parts_of
from lora_gui.studio.things.names import encoding
from lora_gui.studio.things.report import LeftOut, left_out
from lora_gui.studio.things.sorting import TABLES

MOST_MEMBERS = 5_000
MOST_BYTES = 4_000_000_000  # of all members together
MOST_RATIO = 100  # bytes of a member by those it takes in the archive, beyond the first few
_SMALL = 1_000_000  # bytes; below this any ratio will do
_CHUNK = 1 << 20  # bytes
_BEGINS = b"PK\x03\x04"
_BAD = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, UnicodeError)
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags of a member
_END, _ENDS_WITHIN = b"PK\x05\x06", 66_000  # the record at the end of an archive, and how far before it that may be
_MOST_LISTED = 16 << 20  # bytes of the list of members
_NO_LETTERS = re.compile(rb"\.[A-Za-z]{2,5}$|[\d\s()/-]")  # of a name: what says nothing of its language
_UNPACK = "Unpack it and drop the folder."


class _UnusableError(UserError):
    """It is the archive that is at fault, and not the disk that it is unpacked to."""


@contextmanager
def unpacked(intake: Intake, within: Path) -> Iterator[Intake]:
    """The same with the members of its archives in their place, for as long as it is needed.

    They lie in a folder below `within`. One that is damaged, locked or beyond the limits is left out as a whole. Raises
    UserError where nothing else was given.
    """
    archives = [one for one in intake.files if one.given and one.path.name and is_archive(one.path)]
    if not archives:
        yield intake
        return
    rest = [one for one in intake.files if one not in archives]
    alone = len(archives) == 1 and not any(one.given for one in rest)
    folder, left, wrong = files.half_made(within / "archive"), list(intake.left), list[_UnusableError]()
    try:
        for number, one in enumerate(archives):
            within_name, lost = PurePosixPath() if alone else one.name.with_suffix(""), list[LeftOut]()
            try:
                members = list(_members(one, folder / str(number), lost))
            except _UnusableError as error:
                wrong.append(error)
                left.append(left_out(one.name, "other", str(error)))
                files.remove_folder(folder / str(number))
                continue
            rest += [Incoming(path, within_name / name) for path, name in members]
            left += lost
        if wrong and not any(one.given for one in rest):
            raise wrong[0]
        title = archives[0].name.stem if alone else intake.title
        yield replace(intake, loose=False, title=title, files=rest, left=left)
    finally:
        files.remove_folder(folder)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, by how it begins; its suffix says nothing."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except (OSError, ValueError):
        return False


def _members(archive: Incoming, folder: Path, left: list[LeftOut]) -> Iterator[tuple[Path, PurePosixPath]]:
    """Each member, under a name of ours in `folder`, and what it is called; what is not taken is put down in `left`."""
    name, seen, room = archive.name.name, set[PurePosixPath](), MOST_BYTES
    _check_list(archive.path, name)
    try:
        with zipfile.ZipFile(archive.path) as held:
            members = held.infolist()
            for number, (member, spelt) in enumerate(zip(members, _spelt(members), strict=True)):
                called = _called(spelt)
                if member.is_dir() or called is None:
                    continue
                if member.flag_bits & _ENCRYPTED:
                    raise _UnusableError(f"{name} is locked with a password.", _UNPACK)
                if stat.S_ISLNK(member.external_attr >> 16):
                    left.append(left_out(called, "other", "links in an archive are not followed"))
                elif called in seen:
                    left.append(left_out(called, "other", "an archive holds this name twice, the first is used"))
                else:
                    seen.add(called)
                    ending = called.suffix.lower()  # by which a table of captions is read
                    path = folder / f"{number:05}{ending if ending in TABLES else ''}"
                    files.write_chunks(path, _read(held, member, name, room))
                    room -= path.stat().st_size
                    yield path, called
    except _BAD:
        raise _damaged(name) from None


def _damaged(name: str) -> UserError:
    return _UnusableError(f"{name} is damaged, or packed in a way that cannot be read here.", _UNPACK)


def _check_list(path: Path, name: str) -> None:
    """Raises UserError where the list of members is larger than one that would be read; before it is read."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _ENDS_WITHIN))
        end = file.read()
    at = end.rfind(_END)
    if at < 0 or len(end) < at + 22:
        raise _damaged(name)
    count, listed = struct.unpack_from("<H", end, at + 10)[0], struct.unpack_from("<I", end, at + 12)[0]
    if count > MOST_MEMBERS or listed > _MOST_LISTED:
        raise _UnusableError(f"{name} holds more than {MOST_MEMBERS} files.", "Pack the pictures that matter alone.")


def _spelt(members: list[zipfile.ZipInfo]) -> list[str]:
    """The names of members, which macOS writes as UTF-8 and Windows in the system's encoding without saying so."""
    raw = [b"" if _says_how(one) else one.orig_filename.encode("cp437") for one in members]
    letters = b"\n".join(_NO_LETTERS.sub(b"", name) for name in raw)
    spoken = encoding(letters, western="cp850", russian="cp866")
    return [name.decode(spoken, "replace") if name else one.filename for name, one in zip(raw, members, strict=True)]


def _says_how(member: zipfile.ZipInfo) -> bool:
    """Whether the name is Unicode by a flag, or by a second one beside it."""
    return bool(member.flag_bits & _UTF8) or member.filename != zipfile.ZipInfo(member.orig_filename).filename


def _called(filename: str) -> PurePosixPath | None:
    """What a member is called: words, with nothing in them that leads anywhere."""
    parts = [part.replace(":", "_") for part in parts_of(filename)]
    return PurePosixPath(*parts) if parts else None


def _read(held: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, room: int) -> Iterator[bytes]:
    """What a member holds; what comes counts, not what the archive says of it. Raises UserError beyond the limits."""
    most = max(_SMALL, MOST_RATIO * member.compress_size)
    with held.open(member) as source:
        read = 0
        while chunk := source.read(_CHUNK):
            read += len(chunk)
            if read > most or read > room:
                what = f"{name} unpacks to far more than pictures take."
                raise _UnusableError(what, "Unpack it and drop what you need.")
            yield chunk
