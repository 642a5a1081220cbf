"""Print the memory plan of every base as a table, with the processor seconds that planning took.

python tests/bench/memory_plan.py [VRAM in GiB] [base ...]
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui import families
from lora_gui.engine import memory
from lora_gui.settings import TrainSettings

PHASES = ("encode_text", "encode_pictures", "train", "sample")


def main() -> None:
    vram = float(sys.argv[1]) if len(sys.argv) > 1 else 12.0
    wanted = sys.argv[2:]
    print("base".ljust(20), "fits", "  peak", *(name.rjust(15) for name in PHASES), " RAM  seconds  changes")
    for family in families.families().values():
        for base in family.facts.bases:
            if (wanted and base.key not in wanted) or not base.repo:
                continue
            defaults = family.facts.train_defaults | base.defaults
            values = {key: value for key, value in defaults.items() if key in TrainSettings.model_fields}
            began = time.process_time()
            plan = memory.plan(base.key, TrainSettings(**values), vram, 64)
            spent = time.process_time() - began
            phases = (f"{plan.phases[name].total / memory.GIB:15.2f}" for name in PHASES)
            print(f"{base.key:20} {plan.fits!s:5} {plan.peak_gib:5.2f}", *phases, end=" ")
            print(f"{plan.ram / memory.GIB:4.1f} {spent:8.1f}  {plan.changed} {plan.way}", flush=True)


if __name__ == "__main__":
    main()
