"""How long Find what I have takes: 500 files as nine other programs and the hub's cache keep them, by their headers.

    python tests/bench/find_bases.py [--files 500]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.finding import look, places
from lora_gui.studio.paths import Studio
from tests.studio.finding import layouts
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import sparse

KINDS = {"lora": like.LORA, "sdxl": like.SDXL, "sd15": like.SD15, "flux": like.FLUX, "control": like.CONTROLNET,
         "vae": like.VAE4, "t5": like.T5}  # fmt: skip


def full_header(shapes: dict, tensors: int) -> dict:
    """With as many further tensors as real files have, whose headers take a hundred kilobytes and more."""
    return shapes | {f"lora_like_{n}.weight.of.a.rather.long.name.as.they.are": (64, 64) for n in range(tensors)}


def lay_out(drive: Path, elsewhere: Path, count: int) -> int:
    """The layouts of all programs, filled up to so many files of all kinds."""
    made = layouts.everything(drive, elsewhere)
    layouts.parts(drive / "AI" / "ComfyUI_portable" / "ComfyUI")
    folders = [path.parent for name, path in made.items() if path.is_file() and "," not in name]
    files = sum(1 for folder in (drive, elsewhere) for _ in folder.rglob("*.safetensors"))
    for n in range(count - files):
        kind = list(KINDS)[n % len(KINDS)]
        shapes = KINDS[kind] if kind == "lora" else full_header(KINDS[kind], 1000)
        sparse(folders[n % len(folders)] / f"{kind} {n}.safetensors", shapes)
    return sum(1 for folder in (drive, elsewhere) for _ in folder.rglob("*.safetensors"))


def timed(studio: Studio) -> tuple[float, float, int, int]:
    """Seconds of a look, and of the processor in it, and how many bases and other models it found."""
    start, busy, work = time.monotonic(), time.process_time(), look.look(studio)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found = end.value
            return time.monotonic() - start, time.process_time() - busy, len(found.things), sum(found.others.values())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=500)
    count = options.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ |= {places.DRIVES: str(place / "drive"), "HF_HUB_CACHE": str(place / "hub"), "HOME": folder}
        files = lay_out(place / "drive", place / "elsewhere", count)
        studio = Studio(place / "studio")
        for name in ("first look", "second look"):
            seconds, busy, things, others = timed(studio)
            told = f"{files} files, {things} bases and parts, {others} others"
            print(f"{name}: {told}, {seconds:.2f} s, {busy:.2f} s of the processor")


if __name__ == "__main__":
    main()
