"""One program run to its end and watched from outside: when each step was done, how much memory its processes held."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LOOK = 0.25  # seconds between two looks at the memory
POLL = 0.01  # seconds between two looks at a growing file
TAIL = 2000  # letters of the output that are shown where a program failed
BAR = re.compile(rb"[Ss]teps: +\d+%\|[^|]*\| *(\d+)/\d+ ")  # of tqdm, as the diffusers scripts and sd-scripts name it
EVENT = re.compile(rb'"event": ?"Step", ?"step": ?(\d+)')  # of the app's protocol


@dataclass(frozen=True)
class Command:
    """What is run and where. Steps are read from its output, or from the file that the glob `events` finds in `out`."""

    arguments: Sequence[str]
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    result: str = "*.safetensors"  # glob under `out` of the file that comes out
    out: Path = Path()
    events: str = ""


@dataclass(frozen=True)
class Watched:
    """One run: seconds since it was started of each step seen, of the file, of its end; what its processes took."""

    steps: tuple[tuple[float, int], ...]
    file: float
    end: float
    peak: int  # bytes of all at once
    others: float  # share of the processors that went to other programs meanwhile

    def per_step(self, warm_up: int) -> list[float]:
        """Seconds of each step after the first `warm_up`; of those told of together, their mean."""
        found: list[float] = []
        for (before, first), (after, last) in zip(self.steps, self.steps[1:], strict=False):
            if first >= warm_up:
                found += [(after - before) / (last - first)] * (last - first)
        return found


def watch(command: Command) -> Watched:
    """Run `command` to its end. Raises SystemExit with the end of its output where it fails or leaves no file."""
    began, wall = time.monotonic(), time.time()
    seen: dict[int, float] = {}
    said = bytearray()
    child = subprocess.Popen(
        [*command.arguments], cwd=command.folder, env=_environment(command), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    taken = _Taken(child.pid)
    follow = threading.Thread(target=_follow, args=(command, child, seen, began), daemon=True)
    follow.start()
    assert child.stdout is not None
    while chunk := os.read(child.stdout.fileno(), 65536):
        said += chunk
        if not command.events:
            _note(seen, BAR, bytes(said[-4096:]), began)
    code, end = child.wait(), time.monotonic() - began
    follow.join()
    made = sorted(command.out.glob(command.result), key=lambda path: path.stat().st_mtime)
    if code or not made or not seen:
        raise SystemExit(f"{' '.join(command.arguments)}\n{said[-TAIL:].decode(errors='replace')}\nexit code {code}")
    steps = tuple((moment, step) for step, moment in sorted(seen.items()))
    return Watched(steps, made[-1].stat().st_mtime - wall, end, taken.end(), taken.by_others(end))


def _environment(command: Command) -> dict[str, str]:
    """Of this process, without bounds on threads: each program chooses for itself, as for its users."""
    free = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return free | command.environment


def _note(seen: dict[int, float], pattern: re.Pattern[bytes], text: bytes, began: float) -> None:
    now = time.monotonic() - began
    for found in pattern.finditer(text):
        seen.setdefault(int(found[1]), now)


def _follow(command: Command, child: "subprocess.Popen[bytes]", seen: dict[int, float], began: float) -> None:
    """Note the steps in a growing file, until the program has ended."""
    path: Path | None = None
    text, over = b"", not command.events
    while not over:
        over = child.poll() is not None
        path = path or next(command.out.glob(command.events), None)
        if path:
            with path.open("rb") as file:
                file.seek(len(text))
                more = file.read()
            if more:
                text += more
                _note(seen, EVENT, text, began)
        time.sleep(POLL)


class _Taken:
    """What a process and all below it take: memory, where what they share counts for each, and processor time."""

    def __init__(self, pid: int) -> None:
        self._pid, self._most, self._over = pid, 0, threading.Event()
        self._spent: dict[int, float] = {}  # seconds of each process, as it was last seen
        self._before = _busy()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            self._most = max(self._most, sum(map(self._look, tree(self._pid))))

    def _look(self, process: psutil.Process) -> int:
        try:
            spent = process.cpu_times()
            self._spent[process.pid] = spent.user + spent.system
            return process.memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def end(self) -> int:
        """The most bytes they have held at once."""
        self._over.set()
        self._thread.join()
        return self._most

    def by_others(self, seconds: float) -> float:
        """Share of all processors in those `seconds` that others took."""
        taken = _busy() - self._before - sum(self._spent.values())
        return max(0.0, taken / (seconds * (psutil.cpu_count() or 1)))


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _busy() -> float:
    """Seconds that all processors together have worked since the machine was started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0)
