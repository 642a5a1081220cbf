"""Pictures described a second and the memory that takes, with a tiny BLIP: `python tests/bench/captions.py [COUNTS]`.

A tiny network shows what this app adds to a captioner: the memory has to be the same for 10 pictures and for 100.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from lora_gui.engine.caption.describe import describe  # noqa: E402
from lora_gui.protocol.events import Described  # noqa: E402
from lora_gui.protocol.jobs import CaptionJob  # noqa: E402
from tests import tiny_captioners  # noqa: E402

SIDE = 1500  # px


def main(counts: list[int]) -> None:
    """A line for each count."""
    with tempfile.TemporaryDirectory() as home:
        torch.manual_seed(0)
        model = tiny_captioners.blip(Path(home) / "blip")
        picture = Path(home) / "picture.png"
        Image.effect_noise((SIDE, SIDE), 60).convert("RGB").save(picture, compress_level=1)
        for count in counts:
            began, most = time.monotonic(), 0
            for event in describe(CaptionJob(model=str(model), pictures=(str(picture),) * count)):
                if isinstance(event, Described):
                    most = max(most, psutil.Process().memory_info().rss)
            seconds = time.monotonic() - began
            print(f"{count} pictures of {SIDE} px: {count / seconds:.1f} a second, {most / 1e6:.0f} MB at most")


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or [10, 100])
