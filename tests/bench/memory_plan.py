"""Print the memory plan of every base with every preset, by phase, or as the table that stands in the README.

python tests/bench/memory_plan.py CACHE-FOLDER [--vram GIB] [--base BASE ...] [--table]
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.engine.memory.plan import GIB, Plan, plan
from lora_gui.families import family
from lora_gui.protocol.jobs import Base, PlanJob
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets

PHASES = ("encode_text", "encode_pictures", "train", "sample")
# what a run may need at most on a card of 12 GB, in 1e9 bytes
LIMITS = {
    "sd15": 4, "sdxl": 9, "sd35-medium": 9, "sd35-large": 11, "flux1-dev": 11, "klein-4b": 8, "klein-9b": 11,
    "z-image": 11, "kandinsky22": 8, "wuerstchen": 8,
}  # fmt: skip
HEAD = ("| Base | Style | Character | Concept | Of 12 GiB | At most |", "|---|---|---|---|---|---|")


def planned(studio: Studio, base: Base, preset: str, vram: float = 12) -> Plan:
    """The plan of a run with 20 pictures and all that the preset says for such a card."""
    settings = presets.fill(studio, preset, base, 20, card=vram)
    job = PlanJob(base=base, settings=settings, vram_gib=vram, ram_gib=32, cache=str(studio.cache / "plans"))
    return plan(job, family(base.family))


def row(base: Base, peaks: list[float]) -> str:
    """A base's line in the table: its peaks in GiB, the highest of them as a bar, and what it may need at most."""
    cells = [base.title, *(f"{peak:.1f}" for peak in peaks)]
    bar = ("█" * round(max(round(peak, 1) for peak in peaks))).ljust(12, "░")
    limit = f"{LIMITS[base.key] * 1e9 / GIB:.1f} ({LIMITS[base.key]} GB)"
    return f"| {' | '.join([*cells, bar, limit])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--vram", type=float, default=12)
    parser.add_argument("--base", action="append")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    studio = Studio(options.cache)
    chosen = [base for base in plans.all_bases() if not options.base or base.key in options.base]
    if options.table:
        rows = (row(base, [planned(studio, base, one).peak_gib for one in presets.ORDER]) for base in chosen)
        print(*HEAD, *rows, sep="\n")
        return
    print("base".ljust(12), "preset".ljust(10), "fits", "  peak", *(name.rjust(15) for name in PHASES), "  RAM seconds")
    for base in chosen:
        for preset in presets.ORDER:
            began = time.process_time()
            plan = planned(studio, base, preset, options.vram)
            spent = time.process_time() - began
            phases = (f"{plan.phases[name].total / GIB:15.2f}" for name in PHASES)
            print(f"{base.key:12} {preset:10} {plan.fits!s:5} {plan.peak_gib:5.2f}", *phases, end=" ")
            print(f"{plan.ram / GIB:5.1f} {spent:7.1f}  {plan.changed}", flush=True)


if __name__ == "__main__":
    main()
