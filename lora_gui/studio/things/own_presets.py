"""Presets of the user's own: kept from what is set by hand, renamed, shared as a file, brought, and thrown away.

One is the preset that it began from with what differs over it; a file like those in presets/, and no path in it.
"""

import re
from pathlib import Path
from typing import Any

from send2trash import send2trash

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.formats.trainers import ours
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets
from lora_gui.studio.things.names import safe_name
from lora_gui.studio.things.presets import Preset

LONGEST = 60  # characters of a title
_STEPS = {"steps_per_picture", "steps_min", "steps_max"}
_BARE = re.compile(r"[\w-]+", re.ASCII)


def own(studio: Studio) -> dict[str, Preset]:
    """The user's own, by their keys."""
    return {key: one for key, one in presets.presets(studio).items() if one.path.parent == studio.presets}


def save(studio: Studio, title: str, start: str, hand: dict[str, Any]) -> Preset:
    """Keep `hand`, what is set by hand, over the preset `start`, under a title of its own.

    Raises UserError where the title is taken or empty, nothing differs, or a setting cannot be so.
    """
    title = " ".join(title.split())[:LONGEST]
    if not title:
        raise UserError("The preset has no name.", "Type one, such as Ink drawings.")
    if not hand:
        raise UserError("Nothing differs from the preset yet.", "Change a setting first.")
    check(TrainSettings, hand)
    known = presets.presets(studio)
    begun, key = _sound(known, start), _free(known, title)
    content = _without(presets.content(begun.path), hand)
    content |= {"title": title, "description": f"{begun.title}, with settings of your own."}
    content["all"] = content.get("all", {}) | hand
    path = studio.presets / f"{key}.toml"
    files.write_text(path, written(content))
    presets.read(path, studio)
    return presets.presets(studio)[key]


def rename(studio: Studio, key: str, title: str) -> Preset:
    """Give one of the user's own another title, and its file the name that goes with it. Raises UserError."""
    found = _own(studio, key)
    title = " ".join(title.split())[:LONGEST]
    if not title:
        raise UserError("The preset has no name.", "Type one, such as Ink drawings.")
    content = presets.content(_sound({key: found}, key).path) | {"title": title}
    others = {one: preset for one, preset in presets.presets(studio).items() if one != key}
    new = _free(others, title)
    target = found.path if new == key.casefold() else studio.presets / f"{new}.toml"  # on many drives the same file
    files.write_text(target, written(content))
    if target != found.path:
        files.remove(found.path)
    return presets.presets(studio)[target.stem]


def delete(studio: Studio, key: str) -> Path:
    """Move one of the user's own to the system's bin; where it lay. Raises UserError."""
    found = _own(studio, key)
    try:
        send2trash(found.path)
    except OSError:
        raise UserError(f"{found.title} could not be moved to the bin.", f"Delete {found.path} by hand.") from None
    return found.path


def share(studio: Studio, key: str, folder: Path | None = None) -> Path:
    """A copy of any preset for somebody else. Raises UserError where there is none."""
    source = _sound(presets.presets(studio), key).path
    target = files.free_name(folder or studio.given, f"{key}-preset", ".toml")
    files.copy(source, target)
    return target


def bring(studio: Studio, file: Path) -> Preset:
    """Take a preset of somebody else in, under a free name. Raises UserError where it is none."""
    if file.suffix.lower() != ".toml":
        raise UserError(f"{file.name} is no preset.", "Choose a .toml file.")
    content = presets.read(file, studio)  # its own words, not its bytes: comments of strangers stay outside
    known = presets.presets(studio)
    key = _free(known, content.title or file.stem.removesuffix("-preset"), numbered=True)
    files.write_text(studio.presets / f"{key}.toml", written(presets.content(file)))
    return presets.presets(studio)[key]


def written(content: dict[str, Any]) -> str:
    """A preset's file: title and description, then each table under its own heading."""
    plain = {name: value for name, value in content.items() if not isinstance(value, dict)}
    return ours.toml(plain) + "".join(_tables(content, ()))


def _tables(content: dict[str, Any], above: tuple[str, ...]) -> list[str]:
    found = []
    for name, table in content.items():
        if isinstance(table, dict):
            place = (*above, name)
            values = {key: value for key, value in table.items() if not isinstance(value, dict)}
            heading = ".".join(part if _BARE.fullmatch(part) else ours.quoted(part) for part in place)
            found += [f"\n[{heading}]\n{ours.toml(values)}"] * bool(values)
            found += _tables(table, place)
    return found


def _without(content: dict[str, Any], hand: dict[str, Any]) -> dict[str, Any]:
    """The tables of a preset without what is set by hand, which counts for every base and card."""
    gone = set(hand) | (_STEPS if "steps" in hand else set())
    return {
        name: _without(value, hand) if isinstance(value, dict) else value
        for name, value in content.items()
        if name not in gone
    }


def _free(known: dict[str, Preset], title: str, numbered: bool = False) -> str:
    """The key for a title, which no preset has; upper and lower case are the same, as they are on many drives."""
    key, number, taken = safe_name(title), 2, {one.casefold() for one in known}
    same = [one.title for one in known.values() if one.title.casefold() == title.casefold()]
    if same and key in taken and not numbered:
        raise UserError(f"There is a preset {same[0]} already.", "Give this one another name.")
    while key in taken:  # also since letters of the title were lost in it
        key, number = f"{safe_name(title)}-{number}", number + 1
    return key


def _sound(known: dict[str, Preset], key: str) -> Preset:
    """One that can be used. Raises UserError where there is none of that key, or its file is damaged."""
    if key not in known:
        raise UserError(f"There is no preset {key!r}.", nearest(key, known))
    if known[key].problem:
        raise UserError(f"{known[key].title} cannot be used as it is.", known[key].problem)
    return known[key]


def _own(studio: Studio, key: str) -> Preset:
    found = own(studio)
    if key not in found:
        shipped = key in presets.presets(studio)
        what = f"The preset {key} came with the app." if shipped else f"There is no preset {key!r} of yours."
        raise UserError(what, "Keep one of your own, which can be renamed and deleted." if shipped or not found
                        else nearest(key, found))  # fmt: skip
    return found[key]
