"""Start the worker as a process of its own, and read from its log why it died; no user text on a command line."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import psutil
from pydantic import BaseModel

import lora_gui
from lora_gui import environment, files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.whereabouts import LAUNCHER

ROOT = Path(lora_gui.__file__).parent.parent
COMMAND = (sys.executable, "-m", "lora_gui.worker")
NOTHING = 10_000_000  # bytes free on a disk that counts as full
LOOK = 0.2  # seconds between two looks at what a child says
PATIENCE = 600.0  # seconds that a question may take; plans of nine bases take three minutes on two cores
LOG_LIMIT = 2_000_000  # bytes of a log that is shared by many children, before it begins anew
TOO_LITTLE_MEMORY = (
    "There was not enough memory.",
    "Close other programs, or choose a smaller resolution or batch size, and try again.",
)
FOR_OTHERS = {*LAUNCHER, "PYTHONOPTIMIZE"}  # variables; libraries of ours need what the latter leaves out
# Windows: no Ctrl-C from us, and a console that nobody sees; without one, each program that the child starts shows one
NEW_PROCESS_GROUP, NO_WINDOW = 0x200, 0x8000000


def start(
    *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int | IO[bytes], stderr: IO[bytes], processes: int = 1
) -> subprocess.Popen[bytes]:
    """Start `python -m lora_gui.worker <arguments>` so that it outlives this process and does not hear its Ctrl-C.

    Where there are to be several `processes`, torch's launcher starts them, and ends them all with any of them. Raises
    UserError where the system starts none.
    """
    apart: dict[str, Any] = (
        {"creationflags": NEW_PROCESS_GROUP | NO_WINDOW} if os.name == "nt" else {"start_new_session": True}
    )
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    try:
        child = subprocess.Popen(
            [*_several(processes), *COMMAND[1:], *arguments] if processes > 1 else [*COMMAND, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=ROOT,
            env=_environment(arguments[0], processes) | {"PYTHONPATH": path, "PYTHONUTF8": "1"},
            **apart,
        )
    except OSError as error:  # the app's folder was moved, or there is no memory for one more
        what = f"The part of the app that does the work does not start ({error.strerror or error})."
        raise UserError(what, "Close other programs, or start the app again.") from error
    threading.Thread(target=child.wait, daemon=True).start()  # so that a dead child does not linger as a zombie
    return child


def _several(processes: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")


def _environment(command: str, processes: int) -> dict[str, str]:
    """Of a child: what a launcher or the user may have said to other processes is not meant for it."""
    given = environment.online() if command in environment.ONLINE else os.environ
    own = {name: value for name, value in given.items() if name not in FOR_OTHERS}
    if processes > 1:
        own.setdefault("OMP_NUM_THREADS", str(max(1, (psutil.cpu_count(logical=False) or 1) // processes)))
        own |= {"USE_LIBUV": "0"} if os.name == "nt" else {}  # torch comes without it there
    return own


def ask(command: str, lines: Sequence[str], log: Path, seconds: float = PATIENCE) -> list[events.Event]:
    """Everything a child that works off `lines` says until it ends.

    Raises UserError where it failed or took longer, or the lines cannot be said.
    """
    found: list[events.Event] = []
    follow(command, "\n".join(lines), log, lambda event: found.extend([event] if event else []), seconds)
    return found


def done(command: str, order: BaseModel, log: Path) -> events.Done:
    """The last word of a child that works off one order. Raises UserError where that is not that it is done."""
    said = ask(command, [order.model_dump_json()], log)
    if said and isinstance(last := said[-1], events.Done):
        return last
    raise UserError(*cause(log))


def follow(
    command: str, line: str, log: Path, hear: Callable[[events.Event | None], None], seconds: float = PATIENCE
) -> events.Event | None:
    """The last event of a child that works off `line`, or lines; `hear` is given each as it comes, and None meanwhile.

    What `hear` raises ends the child. Raises UserError where it failed, ended without a word or took longer.
    """
    said: queue.SimpleQueue[events.Event | None] = queue.SimpleQueue()
    asked = files.encoded(line + "\n")
    with open_log(log) as errors:
        child = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    assert child.stdin and child.stdout
    reader = threading.Thread(target=_read, args=(child.stdout, said), daemon=True)
    reader.start()
    threading.Thread(target=_write, args=(child.stdin, asked), daemon=True).start()  # one that hangs takes no line
    last, until = None, time.monotonic() + seconds
    try:
        while reader.is_alive() or not said.empty():
            event = None
            with contextlib.suppress(queue.Empty):
                event = said.get(timeout=LOOK)
            if isinstance(event, events.Failed):
                raise UserError(event.what, event.remedy, event.cause)
            if time.monotonic() > until:
                what = f"This took longer than {seconds / 60:.0f} minutes and was given up."
                raise UserError(what, f"Close other programs and try again. Details: {log}")
            last = event or last
            hear(event)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        reader.join()
        child.stdout.close()
    return last


def _write(given: IO[bytes], asked: bytes) -> None:
    with contextlib.suppress(OSError), given:  # one that has died says so in its log
        given.write(asked)


def _read(out: IO[bytes], said: "queue.SimpleQueue[events.Event | None]") -> None:
    for line in out:
        if event := events.from_line(line.decode("utf-8", errors="replace").rstrip("\n")):
            said.put(event)


def open_log(log: Path) -> IO[bytes]:
    """Open a log that many children write to, one after the other; a long one is begun anew.

    Where the disk refuses, nothing is kept of what they write: they work all the same.
    """
    try:
        if log.is_file() and log.stat().st_size > LOG_LIMIT:
            files.remove(log)
        return files.open_stream(log)
    except UserError:
        return files.open_stream(Path(os.devnull))


def kill(pid: int) -> None:
    """End a child of this app by force; one that is gone already is no error."""
    try:
        child = psutil.Process(pid)
        child.kill()
        child.wait(timeout=5)
    except (psutil.Error, ValueError, OverflowError):
        pass


def memory_kills() -> int:
    """How many processes the system has killed since it started because memory ran out; 0 where it does not tell."""
    try:
        counts = Path("/proc/vmstat").read_text(encoding="ascii").split()
        return int(counts[counts.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return 0


def boot() -> str:
    """What tells this start of the system from others; empty where it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def killed_for_memory(started: dict[str, Any]) -> bool:
    """Whether the system has killed for memory since a child of ours started, of which `started` was noted."""
    noted = started.get("memory_kills")
    return isinstance(noted, int) and started.get("boot") == boot() != "" and memory_kills() > noted


def last_words(log: Path, size: int = 4000, since: int = 0) -> str:
    """The end of a child's log, for a sentence about why it died; what stands before `since` is another child's."""
    try:
        if not log.is_file():
            return ""
        with open(log, "rb") as file:
            file.seek(max(log.stat().st_size - size, since, 0))
            return file.read(size).decode("utf-8", errors="replace")
    except (OSError, ValueError, OverflowError):
        return ""


def cause(log: Path, since: int = 0) -> tuple[str, str]:
    """Sentence and remedy for a child that ended without a word, as far as its log tells from byte `since` on."""
    words = last_words(log, since=since)
    is_full = log.parent.is_dir() and shutil.disk_usage(log.parent).free < NOTHING  # a new studio has no such folder
    if "No space left on device" in words or is_full:
        return "The disk is full.", "Make some space and try again."
    if "MemoryError" in words or "out of memory" in words.lower():
        return TOO_LITTLE_MEMORY
    if "ModuleNotFoundError" in words or "ImportError" in words:
        return (
            "A part of the app is not installed.",
            f"Start the app with launch.sh or launch.bat, which installs it. Details: {log}",
        )
    return (
        "The work ended without a word; often the computer ran out of memory.",
        f"Close other programs and try again. Details: {log}",
    )


def to_line(message: dict[str, Any]) -> bytes:
    """One line of the drawing child's standard input; a path may hold bytes that are no letters, which go escaped."""
    return json.dumps(message).encode("ascii") + b"\n"
