"""How much longer a drawing takes with a LoRA of the starter than without: `draw_speed.py LORA [--runs N]`.

Drawings without and with it take turns in one process, so that whatever else the computer does slows both. Prints one
JSON object: the median seconds of each, and their ratio.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.engine.draw.drawer import Drawer
from lora_gui.protocol.jobs import DrawJob
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lora", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    drawer, seconds = Drawer(), {"base": [], "lora": []}
    with tempfile.TemporaryDirectory() as folder:
        base = bases.find(Studio(Path(folder)), "starter")
        for run in range(options.runs + 1):
            for kind, taken in seconds.items():
                stack = (StackEntry(lora=str(options.lora.resolve()), strength=0.8),) if kind == "lora" else ()
                settings = DrawSettings(
                    prompt="a red apple", stack=stack, width=128, height=128, steps=20, guidance=4, seed=1
                )
                began = time.monotonic()
                list(drawer.draw(DrawJob(id=kind, base=base, settings=settings, folder=folder), lambda _: None, bool))
                if run:  # the first loads
                    taken.append(time.monotonic() - began)
    found = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    found["ratio"] = found["lora"] / found["base"]
    print(json.dumps({kind: round(value, 2) for kind, value in found.items()}))


if __name__ == "__main__":
    main()
