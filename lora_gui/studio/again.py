"""Draw again what a picture of ours or another program shows: its LoRAs and base found here, its settings made ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_gui import families
from lora_gui.errors import SettingError, UserError, shown
from lora_gui.formats import png
from lora_gui.formats.recall import recall
from lora_gui.formats.recall.recalled import Lora, Recalled
from lora_gui.protocol.jobs import Base
from lora_gui.refusals import bounds
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.library import scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, inputs, loras

LEAST_HASH = 8  # hex digits, below which a hash tells nothing
NOT_BEGUN = "It began with a picture that is not here any more; now it begins with noise."


@dataclass(frozen=True)
class Again:
    """What is to be drawn. `left` says what could not be carried over; empty where it will be the same to the bit."""

    program: str
    base: Base
    settings: DrawSettings
    left: tuple[str, ...]


def read(studio: Studio, path: Path, base: Base | None = None) -> Again:
    """How to draw a picture again, with `base` where one is given. Raises UserError where it does not say, or where its
    base is not here."""
    found = recall(path)
    left = list(found.left)
    base = base or _base(studio, found, left)
    stack = [entry for one in found.loras if (entry := _entry(studio, base, one, left))]
    most = 8
    if len(stack) > most:
        left.append(f"Only the first {most} of {len(stack)} LoRAs are used.")
    if found.exact and found.base_hash and not _same_file(base, found):
        left.append("The base is called the same, and whether it is the same file is not known.")
    settings = _checked(bases.draw_defaults(base) | _known(found) | _pictures(studio, found, left), left)
    settings = settings.model_copy(update={"stack": tuple(stack[:most])})
    settings = _drawn_with(base, _fitting(base, settings, left), left)
    return Again(found.program, base, settings, tuple(left))


def _known(found: Recalled) -> dict[str, Any]:
    """Settings of this version; others are said to be left out where they were read."""
    return {name: value for name, value in found.settings.items() if name in DrawSettings.model_fields}


def _pictures(studio: Studio, found: Recalled, left: list[str]) -> dict[str, str]:
    """The pictures that it began with, where this studio still has them all."""
    here = {setting: inputs.found(studio, name) for setting, name in found.pictures.items()}
    if all(here.values()):
        return here
    left.append(NOT_BEGUN)
    return {}


def _checked(values: dict[str, Any], left: list[str]) -> DrawSettings:
    """The settings, each that cannot be as it is put to the nearest that can."""
    for _ in range(len(values) + 1):
        try:
            return check(DrawSettings, values)
        except SettingError as error:
            label = DrawSettings.model_fields[error.setting].title
            instead = DrawSettings.model_fields[error.setting].default if error.instead is None else error.instead
            left.append(f"{label} was {shown(values[error.setting])}, which cannot be here; it is {instead}.")
            values = values | {error.setting: instead}
    return check(DrawSettings, values)


def _fitting(base: Base, settings: DrawSettings, left: list[str]) -> DrawSettings:
    """Sizes that the base draws."""
    step = families.facts_of(base.family).size_step
    sides = {"width": settings.width, "height": settings.height}
    near = {name: max(step, round(side / step) * step) for name, side in sides.items()}
    if near == sides:
        return settings
    left.append(f"This base draws in steps of {step} pixels: {near['width']} x {near['height']} here.")
    return settings.model_copy(update=near)


def _drawn_with(base: Base, settings: DrawSettings, left: list[str]) -> DrawSettings:
    """A sampler and a noise schedule that the base draws with; its own in place of others."""
    while settings.sampler != "base":
        try:
            families.solver(base.family, settings.sampler, settings.schedule)
            break
        except SettingError as error:
            left.append(f"{error.what} That of the base is taken.")
            settings = settings.model_copy(update={error.setting: error.instead})
    return settings


def _base(studio: Studio, found: Recalled, left: list[str]) -> Base:
    """The base that a picture names: by its key, else by its title or the name of its file."""
    here = bases.list_bases(studio)
    wanted = {name.casefold() for name in (found.base_key, found.base) if name}
    for base in here:
        if {base.key.casefold(), base.title.casefold(), Path(base.path).stem.casefold()} & wanted:
            return base
    named = found.base or found.base_key
    if not named:
        raise UserError("The picture does not say which base it was drawn with.", "Choose the base yourself.")
    raise UserError(f"The base {shown(named)} is not here.", "Get it, or choose another base.")


def _same_file(base: Base, found: Recalled) -> bool:
    """Whether the base is known to be that of the picture: one that ships with the app has no hash of one file."""
    return not Path(base.path).is_file() or base.key == found.base_key


def _entry(studio: Studio, base: Base, one: Lora, left: list[str]) -> StackEntry | None:
    """The row of the stack for a LoRA: found by its hash first, by its name second."""
    lora, by_name = _by_hash(studio, one), False
    if lora is None:
        lora, by_name = _by_name(studio, one), True
    if lora is None:
        left.append(f"The LoRA {shown(one.name)} is not here and is left out.")
        return None
    is_known = len(one.hash) >= LEAST_HASH
    if by_name and is_known and not loras.weights_hash(lora.path).startswith(one.hash):
        left.append(f"A LoRA called {shown(one.name)} is here, but it is another one than in the picture.")
    if lora.family != base.family:
        left.append(f"The LoRA {lora.name} is for another family than {base.title} and is left out.")
        return None
    values = {"strength": one.strength} | one.parts
    near = {name: min(max(value, -2.0), 2.0) for name, value in values.items()}
    if near != values:
        left.append(f"The strength of {lora.name} was {one.strength:g}; it goes from -2 to 2 here.")
    return check(StackEntry, {"lora": str(lora.path)} | near)


def _by_hash(studio: Studio, one: Lora) -> loras.LoraInfo | None:
    if len(one.hash) < LEAST_HASH:
        return None
    same = [lora for lora in scan.usable(studio) if lora.digest and lora.digest.startswith(one.hash)]
    return min(same, key=lambda lora: lora.name != one.name, default=None)  # of copies, the one of that name


def _by_name(studio: Studio, one: Lora) -> loras.LoraInfo | None:
    try:
        return loras.named(studio, one.name) if one.name else None
    except UserError:
        return None


def enlarged(studio: Studio, path: Path) -> Again:
    """How to make a drawing twice as large: begun with it as it is, then drawn over tile by tile as it was made.

    Raises UserError where it does not say how it was made, where its base is not here, or where it is too large.
    """
    found, size = read(studio, path), png.size(path) or (0, 0)
    most = int(bounds(DrawSettings.model_fields["width"])["le"])
    if max(size) > most:
        what = f"This drawing is {size[0]} x {size[1]}, and none larger than {most} is enlarged."
        raise UserError(what, "Choose a smaller one.")
    asked = {"picture": str(path), "mask": "", "denoising": 0.0, "width": size[0], "height": size[1], "upscale": 2.0}
    left = tuple(sentence for sentence in found.left if sentence != NOT_BEGUN)
    return replace(found, settings=check(DrawSettings, found.settings.model_dump() | asked), left=left)
