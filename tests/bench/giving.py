"""Give a LoRA for the starter away in every way, and print the seconds that each takes with its proof.

python tests/bench/giving.py [--folder FOLDER] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import safetensors.torch

from lora_gui import families, files
from lora_gui.formats import contract, dialects, metadata
from lora_gui.formats.contract import Contract
from lora_gui.studio.giving import civitai, exports, share
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, loras
from lora_gui.studio.things.loras import LoraInfo
from tests.families.contract import random_layers

TOLD = Contract(
    owns="style", scope="Measured.", dataset="ab" * 32, pictures=4, rights={"own": 4}, people="none",
    licence="CC0 1.0", confirmed="2026-11-28",
)  # fmt: skip


def made(studio: Studio) -> LoraInfo:
    """A LoRA of random values for the starter, on the layers that learn by default."""
    starter = next(base for base in bases.list_bases(studio) if bases.ships_with_the_app(base))
    facts = families.facts_of(starter.family)
    fields = {"modelspec.architecture": facts.architecture, "modelspec.trigger_phrase": "zxy",
              "lora_studio.base": starter.key}  # fmt: skip
    fields |= {name: value for name, value in contract.fields_of(TOLD).items() if value}
    data = safetensors.torch.save(dialects.build(random_layers(starter.family, Path(starter.path), 1), facts), fields)
    files.write_bytes(studio.loras / "measured.safetensors", metadata.with_hashes(data))
    return loras.named(studio, "measured")


def measured(studio: Studio) -> Iterator[tuple[str, float, str]]:
    """Each way with its seconds and what its proof says; the first also starts the child and loads the base."""
    lora = made(studio)
    with closing(Drawer(studio)) as drawer:
        ways = {f"for {exports.PROGRAMS[one]}": partial(_for, one) for one in exports.programs_for(lora)}
        first = next(iter(ways))
        ways = {f"{first}, nothing loaded yet": ways[first]} | ways | {"share folder": _share, "for Civitai": _zip}
        for title, way in ways.items():
            began = time.perf_counter()
            proof = way(studio, drawer, lora)
            yield title, round(time.perf_counter() - began, 2), proof


def _for(program: str, studio: Studio, drawer: Drawer, lora: LoraInfo) -> str:
    return exports.for_program(studio, drawer, lora, program, say=_hush).proof.sentence


def _share(studio: Studio, drawer: Drawer, lora: LoraInfo) -> str:
    return " ".join(share.share(studio, drawer, lora, say=_hush).proofs)


def _zip(studio: Studio, drawer: Drawer, lora: LoraInfo) -> str:
    return " ".join(civitai.pack(studio, drawer, lora, say=_hush).proofs)


def _hush(words: str) -> None:
    """Nobody follows it."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept (default: one that is not)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = list(measured(Studio(options.folder or Path(scratch))))
    if options.json:
        print(json.dumps([{"way": title, "seconds": seconds, "proof": proof} for title, seconds, proof in found]))
        return
    for title, seconds, proof in found:
        print(f"{title:40} {seconds:7.2f} s  {proof}")


if __name__ == "__main__":
    main()
