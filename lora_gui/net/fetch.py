"""Fetch one file: it goes on where it was cut, even by a kill, and gets its name only once its checksum is right.

huggingface_hub's own download throws away what it has when it is cut short; here every piece is on the disk at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx2
from huggingface_hub import get_session
from pydantic import BaseModel, ConfigDict

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.net import trouble
from lora_gui.protocol.events import Note, Phase

PART = ".part"  # ends the name of what is not whole
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")  # the star is a size that the server does not know
_READ = 1 << 20  # bytes
Refused = Callable[[httpx2.Response, str], UserError]  # (answer, the repository) -> what is said of it


class Remote(BaseModel):
    """A file elsewhere: where it is, and what it is to be. One of the checksums is given, or neither."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    url: str
    size: int  # bytes; -1 where only the server can tell
    sha256: str = ""
    git: str = ""  # the name of it as git's blob: sha1 of a small header and the file
    of: str = ""  # the repository, for what is said of it


@dataclass
class _Part:
    """What is here of a file, and its checksum so far."""

    path: Path
    remote: Remote
    size: int = -1  # that it is to have
    held: int = 0
    _hash: hashlib._Hash = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.remote.size
        self._begin()
        if self.path.is_file():
            with open(self.path, "rb") as file:
                while piece := file.read(_READ):
                    self._hash.update(piece)
                    self.held += len(piece)

    def _begin(self) -> None:
        self.held, self._hash = 0, hashlib.sha256()
        if self.remote.git:
            self._hash = hashlib.sha1(b"blob %d\0" % self.remote.size)

    def drop(self) -> None:
        """Begin anew."""
        files.remove(self.path)
        self._begin()

    def take(self, file: IO[bytes], piece: bytes) -> None:
        """Put the next piece onto the disk. Raises UserError where there is no room for it."""
        try:
            rest = memoryview(piece)
            while rest:
                written = file.write(rest)
                self._hash.update(rest[:written])
                self.held += written
                rest = rest[written:]
        except OSError as error:
            raise drive.refused(self.path.with_suffix(""), error) from error

    def is_right(self) -> bool:
        """Whether it is what it is to be, as far as that is known."""
        wanted = self.remote.sha256.lower() or self.remote.git
        return self.held == self.size and wanted in ("", self._hash.hexdigest())


def held(target: Path) -> int:
    """Bytes that are here of a file, whole or not."""
    for path in (target, target.with_name(target.name + PART)):
        if path.is_file():
            return path.stat().st_size
    return 0


def fetch(
    remote: Remote, target: Path, headers: dict[str, str], refused: Refused = trouble.refused
) -> Iterator[int | Note | Phase]:
    """Bytes that are here of it, after each piece, and a sentence wherever it does not get on; `target` at the end.

    Raises UserError where it cannot be had; what is here by then stays. `refused` says why a server does not give it.
    """
    if target.is_file():
        yield target.stat().st_size
        return
    files.touch(target.with_name(target.name + PART))
    part = _Part(target.with_name(target.name + PART), remote)
    for last in (False, True):
        yield part.held
        if part.held != part.size:
            yield from trouble.patiently(lambda: _stream(part, headers, refused))
        if part.is_right():
            break
        part.drop()
        if last:
            what = f"{target.name} came damaged twice: its checksum is not what it should be."
            raise UserError(what, "Try again later, or over another connection.")
        yield Note(f"{target.name} came damaged, it is fetched anew.")
    _name(part.path, target)


def _name(part: Path, target: Path) -> None:
    """Give a whole file its name, durably."""
    try:
        with open(part, "rb+") as file:
            drive.flush(file.fileno())
        files.replace(part, target)
    except OSError as error:
        raise drive.refused(target, error) from error


def _stream(part: _Part, headers: dict[str, str], refused: Refused) -> Iterator[int]:
    """What is missing of a file, until it is whole or the line drops."""
    remote = part.remote
    asked = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={part.held}-"} if part.held else {})
    with get_session().stream("GET", remote.url, headers=asked, timeout=trouble.TIMEOUT) as response:
        if response.status_code == 416 or (part.held and response.status_code == 200):
            part.drop()  # it is no longer what it was, or this server gives nothing but the whole
            if response.status_code == 416:
                raise trouble.PassingError(f"What is here of {part.path.stem} does not fit any more")
        trouble.check_passing(response)
        if response.status_code >= 400 or response.headers.get("Content-Type", "").startswith("text/html"):
            raise refused(response, remote.of)
        _compare(response, part)
        with files.open_stream(part.path) as file:
            for piece in response.iter_raw():
                part.take(file, piece[: part.size - part.held])
                yield part.held
                if part.held == part.size:
                    return
    if part.held < part.size:
        raise trouble.PassingError("The connection dropped")


def _compare(response: httpx2.Response, part: _Part) -> None:
    """Raises UserError where a server gives another part or another size than it said before."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    said = (found[1], found[2].replace("*", "-1")) if found else (0, response.headers.get("Content-Length") or -1)
    first, size = map(int, said)
    if first != part.held:
        raise trouble.PassingError("The server gave another part than was asked for")
    if part.size < 0:
        part.size = size
    if part.size < 0:
        raise UserError(f"The server does not say how large {part.path.stem} is.", "Download it in a browser instead.")
    if size not in (-1, part.size):
        what = f"The server says two sizes of {part.path.stem}: {part.size} and {size} bytes."
        raise UserError(what, trouble.LATER)
