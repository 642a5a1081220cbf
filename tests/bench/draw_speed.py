"""How much longer a drawing takes with LoRAs of the starter than without: `draw_speed.py LORA ... [--runs N]`.

`--precision int8` (or nf4) holds the base in few bits, so that LoRAs are not merged into it. Drawings without and with
them take turns in one process, so that whatever else the computer does slows both. Prints one JSON object: the median
seconds of each, and their ratio.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.engine.draw.drawer import Drawer
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings, Quantised, StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lora", type=Path, nargs="+")
    parser.add_argument("--precision", choices=("", *get_args(Quantised)), default="")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    drawer, seconds = Drawer(), {"base": [], "loras": []}
    stacks = {"base": (), "loras": tuple(StackEntry(lora=str(one.resolve()), strength=0.8) for one in options.lora)}
    with tempfile.TemporaryDirectory() as folder:
        base = bases.find(Studio(Path(folder)), "starter")
        for run in range(options.runs + 1):
            for kind, taken in seconds.items():
                settings = DrawSettings(
                    prompt="a red apple", stack=stacks[kind], width=128, height=128, steps=20, guidance=4, seed=1
                )
                began = time.monotonic()
                job = DrawJob(id=kind, base=base, settings=settings, folder=folder, precision=options.precision)
                list(drawer.draw(job, lambda _: None, bool))
                if run:  # the first loads
                    taken.append(time.monotonic() - began)
    found = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    found["ratio"] = found["loras"] / found["base"]
    print(json.dumps({kind: round(value, 2) for kind, value in found.items()}))


if __name__ == "__main__":
    main()
