"""How a picture of any program was made, as its file says it: read within limits, and never trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.formats.png import EXACT
from lora_gui.formats.recall import a1111, comfy, ours, records
from lora_gui.formats.recall.embedded import texts
from lora_gui.formats.recall.recalled import LONGEST, MOST, Recalled


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
            return _within(replace(found, left=left + found.left))
    if problem:
        raise problem
    if "workflow" in said:
        raise UserError(
            f"{path.name} holds the layout of a ComfyUI workflow, but not what was drawn.",
            "Save it in ComfyUI with its prompt, which is the usual way.",
        )
    remedy = "Choose the picture as the program had saved it: other programs and most websites take that out."
    raise UserError(f"{path.name} does not say how it was made.", remedy)


def _within(found: Recalled) -> Recalled:
    """With no longer prompts and no more LoRAs than are taken here."""
    prompts = {name: str(found.settings.get(name, "")) for name in ("prompt", "negative_prompt")}
    cut = {name: text[:LONGEST] for name, text in prompts.items() if len(text) > LONGEST}
    said = [f"The {name.replace('_', ' ')} is cut to {LONGEST:,} characters." for name in cut]
    if len(found.loras) > MOST:
        said.append(f"It used {len(found.loras)} LoRAs, of which the first {MOST} are taken.")
    return replace(
        found,
        settings=found.settings | cut,
        loras=found.loras[:MOST],
        left=(*found.left, *said),
        exact=found.exact and not said,
    )
