"""The captions of a picture set, many at once: what would change, what is changed, and back again."""

import argparse
from pathlib import Path
from typing import Any

from lora_gui.commands import Register, note
from lora_gui.errors import UserError, shown
from lora_gui.studio.paths import Studio


def add(actions: Any, register: Register) -> None:
    """Put the actions of this file among those of `pictures`."""
    captions = register(actions, "captions", run_captions, "change many captions of a set; shows what would change")
    captions.set_defaults(show=_lines)
    captions.add_argument("set", metavar="SET")
    for name, help in (
        ("prefix", "put before each"), ("suffix", "put behind each"), ("find", "a text that is looked for, as it is"),
        ("replace", "what stands in its place; without it, nothing"), ("trigger", "the word that calls the LoRA"),
    ):  # fmt: skip
        captions.add_argument(f"--{name}", default="", metavar="TEXT", help=help)
    captions.add_argument("--remove", nargs="+", default=[], metavar="WORD", help="words that are taken out")
    captions.add_argument("--goal", choices=("style", "character", "concept"), default="", help="shorten them to it")
    captions.add_argument("--write", action="store_true", help="change them; it can be undone")
    for name, help in (("undo", "take the last change of a set back"), ("redo", "do it again")):
        past = register(actions, name, run_past, help)
        past.add_argument("set", metavar="SET")
        past.set_defaults(act=name)


def named(text: str, studio: Studio) -> Path:
    """The folder of the set of this name, be it its folder's or its own; there may be none.

    Raises UserError where several are called so.
    """
    from lora_gui.studio.things import pictures

    place = studio.pictures / Path(text).name
    if place in pictures.picture_sets(studio):
        return place
    called = [one.folder for one in pictures.sets(studio) if one.title == text]
    if len(called) > 1:
        names = ", ".join(one.name for one in called)
        raise UserError(f"{len(called)} picture sets are called {shown(text)}.", f"Choose one of: {names}.")
    return called[0] if called else place


def place_of(options: argparse.Namespace, studio: Studio) -> Path:
    """The folder of the set that is named. Raises UserError where there is none."""
    from lora_gui.studio.things import picture_index, set_changes

    place = named(options.set, studio)
    set_changes.between(place, lambda: picture_index.read(place))
    return place


def run_captions(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Each caption that is another now, or would be."""
    from lora_gui.studio.things import caption_edits, pictures

    found = pictures.load(place_of(options, studio))
    given = {name: getattr(options, name) for name in caption_edits.Edit.__dataclass_fields__}
    would = caption_edits.suggested(found, caption_edits.Edit(**given))
    written, left = caption_edits.accept(found, would) if options.write else (0, 0)
    if left:
        note(f"{left} were changed by somebody else meanwhile and stay so.")
    return {"captions": [one._asdict() for one in would], "written": written}


def run_past(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was taken back, or done again."""
    from lora_gui.studio.things import set_edits

    place = place_of(options, studio)
    return {"set": place.name, "says": set_edits.step(studio, place, options.act)}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{one['label']}: {one['was'] or 'nothing'} -> {one['becomes'] or 'nothing'}" for one in found["captions"]]
    told = f"{found['written']} were changed." if found["written"] else "Nothing is written without --write."
    return [*lines, told] if lines else ["No caption would change."]
