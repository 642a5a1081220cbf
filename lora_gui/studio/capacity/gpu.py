"""How much memory this computer's card has, asked of its driver, so that torch need not be loaded to know it."""

import functools
import os
import shutil
import subprocess

_ASK = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")  # MiB, a line for each card
_PATIENCE = 10.0  # seconds; a driver that has to wake a card takes two or three


@functools.cache
def memory() -> float:
    """GiB of the largest card that may be used; 0 where there is none. Asks once, and the answer does not change."""
    program = shutil.which("nvidia-smi")
    if program is None or os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return 0.0
    hidden = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}  # type: ignore[attr-defined]
    try:
        asked = subprocess.run([program, *_ASK], capture_output=True, timeout=_PATIENCE, **hidden)
    except (OSError, subprocess.TimeoutExpired):
        return 0.0
    sizes = asked.stdout.decode("ascii", "replace").split()  # words where the driver does not answer
    return max((int(size) / 1024 for size in sizes if size.isdigit() and not asked.returncode), default=0.0)
