"""What can be done with LoRA files: say what one is."""

import argparse
from pathlib import Path
from typing import Any

from lora_gui.commands import Register
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    inspect = register(commands, "inspect", run_inspect, "say what a LoRA file is")
    inspect.add_argument("file", type=Path)


def run_inspect(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio import library

    lora = library.describe(options.file)
    shown = (
        "name",
        "family",
        "dialect",
        "rank",
        "alpha",
        "trigger",
        "layers",
        "base_title",
        "preset",
        "steps",
        "made",
        "size",
    )
    return {field: getattr(lora, field) for field in shown} | {"finite": library.is_finite(options.file)}
