"""Print how much of a picture each family crops and leaves out on average, over all shapes from 1:2 to 2:1.

python tests/bench/buckets.py [--resolution PX]
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui import families
from lora_gui.facts import Facts
from lora_gui.framing import frame

SHAPES = 301
PIXELS = 16_000_000  # of each picture, as of a camera


@dataclass(frozen=True)
class Figures:
    """Means over the shapes, as shares, and how many sizes they are learnt at."""

    cropped: float
    area: float  # of resolution x resolution
    sizes: int


def figures(facts: Facts, resolution: int, batch_size: int) -> Figures:
    """For one family; the shapes stand evenly by their logarithms."""
    aspects = [2 ** (2 * n / (SHAPES - 1) - 1) for n in range(SHAPES)]
    originals = [(round(math.sqrt(PIXELS * aspect)), round(math.sqrt(PIXELS / aspect))) for aspect in aspects]
    found = [frame(original, resolution, facts, batch_size) for original in originals]
    area = sum(one.bucket[0] * one.bucket[1] for one in found) / resolution**2
    return Figures(sum(one.cropped for one in found) / SHAPES, area / SHAPES, len({one.bucket for one in found}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, metavar="PX", help="instead of each family's own")
    options = parser.parse_args()
    print("family".ljust(12), "  px batch cropped  area sizes")
    for key, facts in families.facts().items():
        resolution = options.resolution or facts.resolution
        for batch_size in (1, 4):
            one = figures(facts, resolution, batch_size)
            print(f"{key:12} {resolution:4} {batch_size:5} {one.cropped:6.1%} {one.area:6.3f} {one.sizes:5}")


if __name__ == "__main__":
    main()
