"""What can be done with LoRA files: say what one is, write it in another dialect, and throw it away."""

import argparse
from typing import Any

from lora_gui.commands import Register, as_path, note
from lora_gui.studio.paths import Studio

WHICH = "a LoRA of your studio, or its file"


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    inspect = register(commands, "inspect", run_inspect, "say what a LoRA file is")
    inspect.add_argument("lora", metavar="LORA", help=WHICH)

    convert = register(commands, "convert", run_convert, "write a LoRA file once more for other programs")
    convert.add_argument("lora", metavar="LORA", help=WHICH)
    way = convert.add_mutually_exclusive_group(required=True)
    way.add_argument("--for", dest="program", metavar="PROGRAM",
                     help="that is to read all of it: comfyui, forge, diffusers, invokeai or kohya")  # fmt: skip
    way.add_argument("--to", choices=("kohya", "diffusers", "comfy", "comfyui"), help="how it is to be written")
    new = "the new file; nothing is overwritten"
    convert.add_argument("--out", type=as_path, required=True, metavar="FILE", help=new)

    delete = register(commands, "delete", run_delete, "move a LoRA of your studio to its bin")
    delete.add_argument("lora", metavar="LORA", help=WHICH)


def run_inspect(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What a LoRA file is, whether all of its values are finite, and what its maker recorded of it."""
    from lora_gui.studio.library import contracts
    from lora_gui.studio.things import loras

    lora = loras.find(studio, options.lora)
    shown = ("name", "family", "dialect", "rank", "alpha", "trigger", "layers", "base_title", "preset", "steps", "made",
             "size")  # fmt: skip
    finite = loras.is_finite(lora.path)
    odd = [*lora.odd] + ([] if finite else ["Some of its values are not numbers, so it would spoil every drawing."])
    card = contracts.in_words(contracts.of(lora.path))
    return {field: getattr(lora, field) for field in shown} | {"finite": finite, "odd": odd, "contract": card}


def run_convert(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The new file and what is in it."""
    from lora_gui.studio.things import loras

    lora = loras.find(studio, options.lora)
    path = lora.path
    to = loras.dialect_for(path, options.program) if options.program else options.to.removesuffix("ui")
    made = loras.convert(studio, path, to, options.out)
    for sentence in lora.odd:  # what is not read of it is not in the copy
        note(sentence)
    return {"lora": str(made.path), "family": made.family, "dialect": made.dialect, "rank": made.rank}


def run_delete(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where the LoRA lies now, and how many bytes emptying the bin would free; `loras restore` brings it back."""
    from lora_gui.studio.library import bin
    from lora_gui.studio.things import loras

    gone = bin.delete(studio, loras.path_of(studio, options.lora))  # a broken one can be thrown away, too
    return {"in_the_bin": str(gone.path), "bytes": gone.size}
