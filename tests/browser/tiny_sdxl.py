"""The app and its worker as they are, but that they know a tiny build of SDXL, and presets to go with it."""

import os
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from lora_gui import families  # noqa: E402

FOLDER = "TINY_SDXL"  # the variable: where its configuration and its merges lie
INPUTS = {"conditioner.embedders.1.model.positional_embedding": 24}


def know_it(as_worker: bool = False) -> None:
    """Tell the tiny build from its file, and open it with its own configuration."""
    folder, real = Path(os.environ[FOLDER]), families.configuration
    facts = families.facts_of("sdxl")
    tiny = replace(facts, single_files=(replace(facts.single_files[0], inputs=INPUTS),), draw_defaults=_drawn(facts))
    known = families.facts() | {"sdxl": tiny}
    families.configuration = lambda key: folder / "sdxl.json" if key == "sdxl" else real(key)
    families.facts = lambda: known
    if as_worker:
        from lora_gui.engine.load import tokenizers

        tokenizers.CLIP = folder / "clip"
        type(families.family("sdxl")).facts = tiny


def _drawn(facts):
    return facts.draw_defaults | {"width": 64, "height": 64, "steps": 2}


if __name__ == "__main__":
    from lora_gui import worker

    families.family("sdxl")  # found by its facts as they are in its own file
    know_it(as_worker=True)
    sys.exit(worker.main(sys.argv[1:]))
