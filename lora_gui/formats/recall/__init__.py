"""How a picture of any program was made, as its file says it: read within limits, and never trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.formats.png import EXACT
from lora_gui.formats.recall import a1111, comfy, ours, records
from lora_gui.formats.recall.embedded import texts
from lora_gui.formats.recall.recalled import Recalled


def _parameters(text: str) -> Recalled:
    return records.read(text) if text.startswith("{") else a1111.read(text)


# the texts that programs write, the one that says most first; each with who reads it
READERS = ((EXACT, ours.read), ("prompt", comfy.read), ("parameters", _parameters),
           ("invokeai_metadata", records.read))  # fmt: skip


def recall(path: Path) -> Recalled:
    """How a picture was made. Raises UserError where it is none, is damaged, or does not say."""
    said, problem = texts(path), None
    for name, read in READERS:
        if name in said:
            try:
                found = read(said[name])
            except UserError as error:
                problem = problem or error
                continue
            left = (f"{problem.what} The text beside it is read instead.",) if problem else ()
            return replace(found, left=left + found.left)
    if problem:
        raise problem
    if "workflow" in said:
        raise UserError(
            f"{path.name} holds the layout of a ComfyUI workflow, but not what was drawn.",
            "Save it in ComfyUI with its prompt, which is the usual way.",
        )
    remedy = "Choose the picture as the program had saved it: other programs and most websites take that out."
    raise UserError(f"{path.name} does not say how it was made.", remedy)
