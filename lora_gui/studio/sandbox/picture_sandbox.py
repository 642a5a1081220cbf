"""Decode strangers' pictures in a child with limits, so that no file can take the window down; one child an import.

The child is this module run by itself. In goes a line of JSON, `{"path": ..., "seconds": ..., "keep": ..., "ground":
..., "is_mask": ...}`; out comes a line, `{"notes": [...], "digest": ..., "marks": [...], "shrunk": ..., "size": ...,
"look": ..., "alpha": ...}` with as many bytes of PNG behind it, of what the doctor wants to know, and of its
transparency, or `{"what": ..., "remedy": ...}`. A picture that kills the child, hangs it or eats memory costs only
itself: the parent keeps the time and looks at the memory, so that nothing depends on a child that may not run any more.
The child can write no file, where the system has such a limit.
"""

import contextlib
import faulthandler
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

import lora_gui
from lora_gui.errors import UserError

ROOT = Path(lora_gui.__file__).parent.parent
COMMAND = (sys.executable, "-m", "lora_gui.studio.sandbox.picture_sandbox")
SECONDS = 60.0  # for one picture, the child's start too; the largest that come in take a fifth of it
MEMORY = 6_000_000_000  # bytes the child may ask for; four times what the largest picture takes
LOOK = 0.2  # seconds between two looks at the child's memory
PATIENCE = 5.0  # seconds the child gets to end
LONGEST_LINE = 100_000  # bytes


class Decoded(NamedTuple):
    """A picture as it is kept: PNG, upright and RGB; what was done to it, in sentences; the digest of its pixels; the
    marks in its file that forbid to learn from it; whether it is smaller than it came; and a look at it, packed."""

    data: bytes
    notes: list[str]
    digest: str
    marks: list[str]
    shrunk: bool
    look: bytes
    alpha: bytes = b""  # grey PNG of the same size, where the picture is transparent in places


class Decoder:
    """Starts its child with the first picture and ends it with the `with` block."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def decode(self, path: Path, ground: str = "", is_mask: bool = False) -> Decoded:
        """The picture, on the colour `ground` or white where it is transparent, and what there is to say of it.

        A mask is brought to its picture's size, and so may be of any; it has no look. Raises UserError where it cannot
        be used.
        """
        return self._decoded(path, {"keep": True, "ground": ground, "is_mask": is_mask})

    def look(self, path: Path) -> bytes:
        """What the doctor wants to know of a picture, packed; quicker. Raises UserError where it cannot be used."""
        return self._decoded(path, {"keep": False, "ground": ""}).look

    def _decoded(self, path: Path, how: dict[str, Any]) -> Decoded:
        self._child = self._child or _start()
        order = json.dumps({"path": os.path.abspath(path), "seconds": self._seconds + PATIENCE} | how)
        answer, data = _ask(self._child, order.encode("utf-8") + b"\n", self._seconds)
        if answer is None:
            self._child.kill()
            self._end()
            raise UserError(
                f"{path.name} takes too long or too much memory to open.",
                "Save it anew as PNG in a picture program, and smaller if it is large.",
            )
        if "what" in answer:
            raise UserError(answer["what"], answer["remedy"])
        size, seen = answer["size"], answer["size"] + answer["look"]
        told = answer["notes"], answer["digest"], answer["marks"], bool(answer.get("shrunk"))
        return Decoded(data[:size], *told, data[size:seen], data[seen:])

    def _end(self) -> None:
        """Let the child end, which it does when its input closes; one that cannot even be killed is left alone."""
        if self._child is None:
            return
        child, self._child = self._child, None
        assert child.stdin
        with contextlib.suppress(OSError, ValueError):
            child.stdin.close()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    quiet = {"PYTHONPATH": path, "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        return subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | quiet,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:  # the app's folder was moved, or there is no memory for one more
        what = f"The part of the app that opens pictures does not start ({error.strerror or error})."
        raise UserError(what, "Close other programs, or start the app again.") from error


Answer = tuple[dict[str, Any] | None, bytes]


def _ask(child: subprocess.Popen[bytes], order: bytes, seconds: float) -> Answer:
    """What the child answers, and the bytes behind it; None where it died over it, hangs or grew too large.

    A thread talks to it: no read from a pipe has a time limit that every system knows.
    """
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_talk(child, order)), daemon=True).start()
    given_up = time.monotonic() + seconds
    while (left := given_up - time.monotonic()) > 0 and _memory(child) <= MEMORY:
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=min(LOOK, left))
    return None, b""


def _talk(child: subprocess.Popen[bytes], order: bytes) -> Answer:
    assert child.stdin and child.stdout
    try:
        child.stdin.write(order)
        child.stdin.flush()
        answer = json.loads(child.stdout.readline(LONGEST_LINE))
        size = sum(answer.get(part, 0) for part in ("size", "look", "alpha"))
        data = child.stdout.read(size)
    except (OSError, ValueError):
        return None, b""
    return (answer, data) if len(data) == size else (None, b"")


def _memory(child: subprocess.Popen[bytes]) -> int:
    """Bytes that the child holds: the limit for systems on which it cannot limit itself."""
    try:
        return int(psutil.Process(child.pid).memory_info().rss)
    except psutil.Error:
        return 0


def main() -> None:
    """The child: decode until the input ends. Its own watch is for the case that no parent is there to end it."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between the answers
    from lora_gui.studio.sandbox.picture_decode import readable

    readable()
    _limit()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        faulthandler.dump_traceback_later(order["seconds"], exit=True)
        _tell(out, Path(order["path"]), order)
        faulthandler.cancel_dump_traceback_later()


def _tell(out: IO[bytes], path: Path, order: dict[str, Any]) -> None:
    from lora_gui.studio.doctor import look
    from lora_gui.studio.sandbox import opt_out, picture_digest, quick_png
    from lora_gui.studio.sandbox.picture_decode import GROUND, SMALLEST_SIDE, kept, mask, opened

    data = seen = alpha = b""
    keep, is_mask = bool(order.get("keep", True)), bool(order.get("is_mask"))
    try:
        found = opened(path, order["ground"] or GROUND, 0 if keep else look.SIDE, 1 if is_mask else SMALLEST_SIDE)
        answer: dict[str, Any] = {"notes": found.notes, "digest": "", "marks": []}
        if keep:
            told = {"digest": picture_digest.of(found.picture), "marks": opt_out.marks(path)}
            small = kept(found.picture)
            data = quick_png.encoded(small)
            answer |= told | {"shrunk": small is not found.picture}
            found = found._replace(picture=small)
            alpha = mask(found.alpha, small.size) if found.alpha else b""
        if not is_mask:
            seen = look.packed(look.look(found.picture, look.jpeg_quality(found.tables), found.size))
        answer |= {"size": len(data), "look": len(seen), "alpha": len(alpha)}
    except UserError as error:
        data = seen = alpha = b""
        answer = {"what": error.what, "remedy": error.remedy}
    out.write(json.dumps(answer).encode("ascii") + b"\n")
    out.write(data)
    out.write(seen)
    out.write(alpha)
    out.flush()


def _limit() -> None:
    """Bound the memory of this process, and let it write no file; on Windows the parent's looks at it must do."""
    try:
        import resource
    except ImportError:
        return
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):  # macOS refuses some
            continue


if __name__ == "__main__":
    main()
