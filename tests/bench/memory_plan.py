"""Print the memory plan of every base with every preset, with the processor seconds that planning took.

python tests/bench/memory_plan.py CACHE-FOLDER [VRAM in GiB] [base ...]
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.engine import memory
from lora_gui.families import family
from lora_gui.jobs import PlanJob
from lora_gui.studio import plans, presets
from lora_gui.studio.paths import Studio

PHASES = ("encode_text", "encode_pictures", "train", "sample")


def main() -> None:
    studio, vram = Studio(Path(sys.argv[1])), float(sys.argv[2]) if len(sys.argv) > 2 else 12.0
    chosen = [base for base in plans.all_bases() if len(sys.argv) < 4 or base.key in sys.argv[3:]]
    print("base".ljust(12), "preset".ljust(10), "fits", "  peak", *(name.rjust(15) for name in PHASES), "  RAM seconds")
    for base in chosen:
        for preset in presets.ORDER:
            settings = presets.fill(studio, preset, base, 20)
            began = time.process_time()
            job = PlanJob(base=base, settings=settings, vram_gib=vram, ram_gib=64, cache=str(studio.cache / "plans"))
            plan = memory.plan(job, family(base.family))
            spent = time.process_time() - began
            phases = (f"{plan.phases[name].total / memory.GIB:15.2f}" for name in PHASES)
            print(f"{base.key:12} {preset:10} {plan.fits!s:5} {plan.peak_gib:5.2f}", *phases, end=" ")
            print(f"{plan.ram / memory.GIB:5.1f} {spent:7.1f}  {plan.changed}", flush=True)


if __name__ == "__main__":
    main()
