"""Presets: small TOML files that fill the training settings; presets/style.toml says how one is written.

A file has `title`, `description` and tables of settings: [all], [family.<key>], [base.<key>], later over earlier. Each
is for a card of 12 GB; what differs on another stands in the same table under [card.<GB>], going over the plain one.
"""

import copy
import functools
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

import lora_gui
from lora_gui import families, files, typed
from lora_gui.errors import SettingError, UserError, legible, nearest, shown
from lora_gui.facts import Facts
from lora_gui.protocol.jobs import Base
from lora_gui.refusals import told
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases

SHIPPED = Path(lora_gui.__file__).parent.parent / "presets"
ORDER = ("style", "character", "concept")  # these first, the user's own after them
CARDS = (6, 8, 12, 16, 24)  # GB
_STEPS = ("steps_per_picture", "steps_min", "steps_max")
PRODIGY = {"learning_rate": 1.0, "scheduler": "constant", "warmup_steps": 0}  # what it is made for, and comes with it
_LEAST_OF_PRODIGY = 0.1  # learning rate; below it its own estimate never grows
USUAL = 12  # GB; what stands in no table of a card is for this one, and for a computer without a card


class Values(TrainSettings):
    """A table of settings: any of them, and how the steps follow from the number of pictures."""

    steps_per_picture: float = Field(0, ge=0.1, le=10_000)
    steps_min: int = Field(1, ge=1, le=100_000)
    steps_max: int = Field(100_000, ge=1, le=100_000)


def _known(name: str, info: ValidationInfo) -> str:
    """The key of a table: one of those that the file's reader says there are."""
    assert info.context is not None and info.field_name is not None
    if name not in info.context[info.field_name]:
        raise ValueError("unknown")
    return name


_Key = Annotated[str, AfterValidator(_known)]


class Tables(BaseModel):
    """The settings for all bases, for those of a family, and for single ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: Values = Values.model_validate({})
    family: dict[_Key, Values] = {}
    base: dict[_Key, Values] = {}


class PresetFile(Tables):
    """What may stand in a preset's file."""

    title: str = ""
    description: str = ""
    card: dict[_Key, Tables] = {}


@dataclass(frozen=True)
class Preset:
    """`problem` is what is wrong with the file where it cannot be used."""

    key: str
    title: str
    description: str
    path: Path
    problem: str = ""


def presets(studio: Studio) -> dict[str, Preset]:
    """Every preset by its key, the file name without suffix; a file of the user's replaces one of ours."""
    there = (path for folder in (SHIPPED, studio.presets) for path in sorted(folder.glob("*.toml")))
    found = {path.stem: path for path in there if not path.name.startswith(".")}  # as macOS puts beside others
    keys = sorted(found, key=lambda key: (ORDER.index(key) if key in ORDER else len(ORDER), key))
    return {one.key: one for one in (_describe(found[key], studio) for key in keys)}


def fill(
    studio: Studio,
    preset: str,
    base: Base,
    pictures: int,
    hand: dict[str, Any] | None = None,
    card: float = 0,
) -> TrainSettings:
    """Settings for training on so many `pictures`: field default < family and base default < preset < the user's hand.

    `card` is the memory of the card in GB, 0 where there is none; the preset's values for the next smaller one are
    taken. Where Prodigy is chosen, what it needs comes with it. Raises UserError naming the file and the key where a
    preset cannot be used, or the setting where the hand is wrong.
    """
    known = presets(studio)
    if preset not in known:
        raise UserError(f"There is no preset {preset!r}.", nearest(preset, known))
    values = _values(read(known[preset].path, studio), base, card or USUAL)
    steps = Values.model_validate({key: values.pop(key) for key in _STEPS if key in values})
    if steps.steps_per_picture and "steps" not in values:
        wanted = round(steps.steps_per_picture * pictures)
        values["steps"] = min(max(wanted, steps.steps_min), steps.steps_max)
    hand = hand or {}
    if values.get("optimizer") == "prodigy" and hand.get("optimizer", "prodigy") != "prodigy":
        values = {key: value for key, value in values.items() if key not in (*PRODIGY, "optimizer")}
    chosen = bases.train_defaults(base) | _with_what_prodigy_needs(values) | _with_what_prodigy_needs(hand)
    settings = check(TrainSettings, chosen)
    _require_learning(settings, hand)
    _require_family(settings, families.facts_of(base.family))
    return settings


def _with_what_prodigy_needs(values: dict[str, Any]) -> dict[str, Any]:
    return (PRODIGY if values.get("optimizer") == "prodigy" else {}) | values


def _require_learning(settings: TrainSettings, hand: dict[str, Any]) -> None:
    """Raises UserError where these settings, each of them possible, cannot learn together."""
    if settings.optimizer == "prodigy" and settings.learning_rate < _LEAST_OF_PRODIGY:
        what = f"Prodigy does not learn at a rate of {settings.learning_rate:g}, which it multiplies with its own."
        raise SettingError(what, "Give it a learning rate of 1, or choose AdamW.", "learning_rate", 1.0)
    if settings.class_pictures and not settings.class_words:
        what = "Class pictures need words of the class, such as: a woman."
        raise SettingError(what, "Type them, or set class pictures to 0.", "class_pictures", 0)
    if any(side >= settings.resolution for side in settings.further_resolutions):
        what = f"Further resolutions are smaller than the resolution, which is {settings.resolution}."
        raise SettingError(what, "Make the resolution the largest of them.", "further_resolutions", ())
    _require_combining(settings)
    if "warmup_steps" in hand and settings.warmup_steps >= settings.steps:
        what = f"A warm-up of {settings.warmup_steps} steps does not fit into a run of {settings.steps}."
        raise SettingError(what, "Choose fewer warm-up steps, or more steps.", "warmup_steps", settings.steps - 1)


def _require_combining(settings: TrainSettings) -> None:
    """Raises SettingError where a LoKr was to have what there is for the two halves of a LoRA alone."""
    for name in ("dora", "lora_plus") if settings.adapter == "lokr" else ():
        info = TrainSettings.model_fields[name]
        if getattr(settings, name) != info.default:
            what = f"{info.title} is for LoRAs, and this run makes a LoKr."
            raise SettingError(what, f"Set it to {info.default or 'off'}, or make a LoRA.", name, info.default)


def _require_family(settings: TrainSettings, facts: Facts) -> None:
    """Raises SettingError where bases of the family cannot learn so, or draw no such samples."""
    if settings.dora and settings.layers not in facts.layers_of_dora and not settings.only_layers:
        what = f"The files of {facts.title} cannot say a DoRA of its attention layers alone."
        raise SettingError(what, "Set Layers to linear, or switch DoRA off.", "layers", facts.layers_of_dora[0])
    side, step, least = settings.sample_resolution, facts.size_step, facts.least_side
    if side and (side < least or side % step):
        what = f"{facts.title} draws samples of {least} pixels or more, in steps of {step}, and none of {side}."
        near = max(round(side / step) * step, least)
        remedy = f"Set Size of samples to {near}, or to 0 for as large as the pictures are learnt."
        raise SettingError(what, remedy, "sample_resolution", near)


def read(path: Path, studio: Studio) -> PresetFile:
    """A preset file, checked whole. Raises UserError naming the file, the key and the nearest known."""
    own = bases.names(studio)
    names = {"family": families.facts(), "base": {*bases.known_bases(), *own}, "card": [str(card) for card in CARDS]}
    try:
        return PresetFile.model_validate(content(path), context=names)
    except ValidationError as error:
        raise _mistake(path.name, error.errors(include_url=False)[0], names) from None


def content(path: Path) -> dict[str, Any]:
    """What stands in a preset file, whether it makes sense or not. Raises UserError where that cannot be read."""
    try:
        return copy.deepcopy(_parsed(files.read_small(path).decode("utf-8-sig")))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The preset {path.name} is not written correctly.", f"Mend this place: {error}.") from None
    except files.STRANGE:
        raise UserError(f"The preset {path.name} cannot be read.", "Save it again as UTF-8 text.") from None


@functools.lru_cache
def _parsed(text: str) -> dict[str, Any]:
    """Every answer of a page asks for all presets, of which hardly one has changed."""
    return tomllib.loads(text)


def card_of(gib: float) -> int:
    """The largest card that this one is at least as large as; drivers keep a little for themselves."""
    return max((card for card in CARDS if card <= gib + 0.5), default=CARDS[0])


def _describe(path: Path, studio: Studio) -> Preset:
    if (name := legible(path.stem)) != path.stem:
        return Preset(name, name, "", path, "Its file has no name in UTF-8. Rename it.")
    try:
        said = read(path, studio)
    except UserError as error:
        return Preset(path.stem, path.stem, "", path, f"{error.what} {error.remedy}")
    return Preset(path.stem, said.title or path.stem, said.description, path)


def _values(said: PresetFile, base: Base, gib: float) -> dict[str, Any]:
    """The settings for this base; `steps` in a nearer table switches off the steps per picture of a farther one."""
    values: dict[str, Any] = {}
    places = said, said.card.get(str(card_of(gib)), Tables())
    tables = [place.all for place in places]
    tables += [place.family[base.family] for place in places if base.family in place.family]
    for key in dict.fromkeys((base.known, base.key)):
        tables += [place.base[key] for place in places if key in place.base]
    for table in tables:
        own = {key: getattr(table, key) for key in table.model_fields_set}
        if "steps_per_picture" in own:
            values.pop("steps", None)
        if "steps" in own:
            values.pop("steps_per_picture", None)
        values |= own
    return values


def _mistake(file: str, error: Mapping[str, Any], names: Mapping[str, Collection[str]]) -> UserError:
    """The first thing that is wrong with a preset, in a sentence with the table and the key it stands at."""
    place = [str(part) for part in error["loc"]]
    depth = 2 if place[0] == "card" else 0
    kind = place[depth] if len(place) > depth else ""
    depth += {"all": 1, "family": 2, "base": 2}.get(kind, 0)  # so many parts name the table
    table, key = ".".join(place[:depth]), place[depth] if len(place) > depth else ""
    where = f" in [{table}]" if key and table else ""
    if place[-1] == "[key]":
        kind, name = place[-3:-1]
        what = f"The preset {file} has a table for an unknown {kind} {shown(name)}."
        listed = f"Use one of these, in GB: {', '.join(names[kind])}."
        return UserError(what, listed if kind == "card" else nearest(name, names[kind]))
    if error["type"] == "extra_forbidden":
        inner = Values if kind in ("all", "family", "base") else Tables if table else PresetFile
        misplaced = inner is PresetFile and key in Values.model_fields
        meant = typed.NAMES.get(key, key)
        remedy = "It belongs under [all]." if misplaced else nearest(meant, inner.model_fields)
        return UserError(f"The preset {file} has an unknown key {shown(key)}{where}.", remedy)
    if error["type"] in ("model_type", "dict_type"):
        what = f"In the preset {file}, {shown('.'.join(place))} must be a table."
        return UserError(what, f"Write [{'.'.join(place)}] on a line of its own.")
    what = f"In the preset {file}, {told(repr(key) + where, error)}"
    return UserError(what, f"It is {shown(error['input'])} there.")
