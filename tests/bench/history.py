"""Make a studio of 10,000 drawings, open its history as Generate does, and print how long that takes.

python tests/bench/history.py [--drawings N] [--folder FOLDER] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.library import history
from lora_gui.studio.paths import Studio
from lora_gui.ui.generate import gallery, wall
from lora_gui.ui.widgets.thumbnails import Thumbnails
from tests import making

A_DAY = 100  # drawings


def fill(studio: Studio, drawings: int) -> None:
    """Real files, each with its own words and two LoRAs."""
    for number in range(drawings):
        day = number // A_DAY
        used = f"lora-{number % 50:02}", f"lora-{(7 * number + 3) % 50:02}"
        making.drawing(studio, f"{number:05}", *used, day=f"2026-{1 + day // 28 % 12:02}-{1 + day % 28:02}")


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


def opened(studio: Studio, seconds: float | None, words: str = "") -> str:
    """The page of the wall, as `Gallery` makes it."""
    there, _ = history.history(studio, seconds)
    return wall.page(history.wanted(there, words), 1, Thumbnails(studio), studio.drawings)


def measured(studio: Studio) -> dict[str, float]:
    """Seconds of each way to open it, in a process that has read nothing before."""
    first = timed(lambda: opened(studio, gallery.AT_ONCE))
    whole = timed(lambda: opened(studio, None))
    after = timed(lambda: opened(studio, gallery.AT_ONCE))
    making.drawing(studio, "new", "lora-01", day="2026-12-31")
    changed = timed(lambda: opened(studio, gallery.AT_ONCE))
    searched = timed(lambda: opened(studio, gallery.AT_ONCE, "lora-07"))
    return {
        "first, as the window does": first,
        "first, until all of it is read": whole,
        "after": after,
        "one more drawing": changed,
        "searched": searched,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--drawings", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="made there and kept; without, in a folder that is deleted")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        studio = Studio(options.folder or Path(place))
        if not studio.drawings.is_dir():
            fill(studio, options.drawings)
        found = measured(studio)
    if options.json:
        print(json.dumps({"seconds": found}))
        return
    for what, seconds in found.items():
        print(f"{seconds:8.3f} s  {what}")


if __name__ == "__main__":
    main()
