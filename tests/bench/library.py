"""Make a studio of 1,000 LoRAs and 10,000 drawings, open its library, and print how long that takes.

python tests/bench/library.py [--loras N] [--drawings N] [--folder FOLDER] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.library import scan, shelf
from lora_gui.studio.library.shelf import Wish
from lora_gui.studio.paths import Studio
from tests import making

A_DAY = 100  # drawings


def fill(studio: Studio, loras: int, drawings: int) -> None:
    """Real files: each LoRA with its own name and trigger, each drawing with two of them."""
    for number in range(loras):
        making.lora(studio, f"lora-{number:04}", **{"modelspec.trigger_phrase": f"word{number}"})
    for number in range(drawings):
        used = f"lora-{number % loras:04}", f"lora-{(7 * number + 3) % loras:04}"
        day = number // A_DAY
        making.drawing(studio, f"{number:05}", *used, day=f"2026-{1 + day // 28 % 12:02}-{1 + day % 28:02}")


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


def measured(studio: Studio) -> dict[str, float]:
    """Seconds of each way to open it, in a process that has read nothing before."""
    first_cards = timed(lambda: shelf.shelf(studio, 0.3))
    whole = timed(lambda: shelf.shelf(studio))
    after = timed(lambda: shelf.shelf(studio))
    making.lora(studio, "lora-0000", **{"modelspec.trigger_phrase": "changed"})
    making.drawing(studio, "new", "lora-0000", day="2026-12-31")
    changed = timed(lambda: shelf.shelf(studio))
    cards = shelf.shelf(studio).cards
    searched = timed(lambda: shelf.wanted(cards, Wish(words="word77", sort="used")))
    return {
        "first, as the window does": first_cards,
        "first, until all of it is read": whole,
        "after": after,
        "one LoRA and one drawing changed": changed,
        "searched and sorted": searched,
        "the list that Generate needs": timed(lambda: scan.usable(studio)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--loras", type=int, default=1000)
    parser.add_argument("--drawings", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="made there and kept; without, in a folder that is deleted")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        studio = Studio(options.folder or Path(place))
        if not studio.loras.is_dir():
            fill(studio, options.loras, options.drawings)
        found = measured(studio)
    if options.json:
        print(json.dumps({"seconds": found}))
        return
    for what, seconds in found.items():
        print(f"{seconds:8.3f} s  {what}")


if __name__ == "__main__":
    main()
