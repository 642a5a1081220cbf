"""Presets: small TOML files that fill the training settings; presets/style.toml says how one is written.

A file has `title`, `description` and tables of settings: [all], [family.<key>], [base.<key>], later over earlier. Each
is for a card of 12 GB; what differs on another stands in the same table under [card.<GB>], going over the plain one.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lora_gui
from lora_gui import families
from lora_gui.errors import UserError, nearest
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases

SHIPPED = Path(lora_gui.__file__).parent.parent / "presets"
ORDER = ("style", "character", "concept")  # these first, the user's own after them
CARDS = (6, 8, 12, 16, 24)  # GB
USUAL = 12  # GB; what stands in no table of a card is for this one, and for a computer without a card
STEP_KEYS = {"steps_per_picture": (0.1, 10_000), "steps_min": (1, 100_000), "steps_max": (1, 100_000)}


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
    files = {path.stem: path for folder in (SHIPPED, studio.presets) for path in sorted(folder.glob("*.toml"))}
    keys = sorted(files, key=lambda key: (ORDER.index(key) if key in ORDER else len(ORDER), key))
    return {key: _describe(files[key]) for key in keys}


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
    taken. Raises UserError naming the file and the key where a preset cannot be used, or the setting where the hand is
    wrong.
    """
    known = presets(studio)
    if preset not in known:
        raise UserError(f"There is no preset {preset!r}.", nearest(preset, known))
    path = known[preset].path
    values = _values(read(path, studio), base, card or USUAL)
    steps = {key: values.pop(key) for key in STEP_KEYS if key in values}
    if "steps_per_picture" in steps and "steps" not in values:
        wanted = round(steps["steps_per_picture"] * pictures)
        values["steps"] = int(min(max(wanted, steps.get("steps_min", 1)), steps.get("steps_max", 100_000)))
    return check(TrainSettings, bases.train_defaults(base) | values | (hand or {}))


def read(path: Path, studio: Studio) -> dict[str, Any]:
    """A preset file as it stands, checked whole. Raises UserError naming the file, the key and the nearest known."""
    content = _parse(path)
    known = {"title", "description", "all", "family", "base", "card"}
    for key in content.keys() - known:
        hint = "It belongs under [all]." if key in _setting_keys() else nearest(key, known)
        raise UserError(f"The preset {path.name} has an unknown key {key!r}.", hint)
    known_bases = {*bases.known_bases(), *(base.key for base in bases.list_bases(studio))}
    names = {"family": set(families.facts()), "base": known_bases}
    _check_tables(path, "", content, names)
    for card, tables in _table(path, "card", content.get("card", {})).items():
        if card not in map(str, CARDS):
            what = f"The preset {path.name} has a table for an unknown card {card!r}."
            raise UserError(what, f"Use one of these, in GB: {', '.join(map(str, CARDS))}.")
        for key in _table(path, f"card.{card}", tables).keys() - {"all", *names}:
            raise UserError(f"The preset {path.name} has an unknown key {key!r} in [card.{card}].", nearest(key, names))
        _check_tables(path, f"card.{card}.", tables, names)
    return content


def _describe(path: Path) -> Preset:
    try:
        content = _parse(path)
    except UserError as error:
        return Preset(path.stem, path.stem, "", path, f"{error.what} {error.remedy}")
    return Preset(path.stem, str(content.get("title", path.stem)), str(content.get("description", "")), path)


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"The preset {path.name} is not written correctly.", f"Mend this place: {error}.") from None
    except (OSError, UnicodeDecodeError):
        raise UserError(f"The preset {path.name} cannot be read.", "Save it again as UTF-8 text.") from None


def card_of(gib: float) -> int:
    """The largest card that this one is at least as large as; drivers keep a little for themselves."""
    return max((card for card in CARDS if card <= gib + 0.5), default=CARDS[0])


def _values(content: dict[str, Any], base: Base, gib: float) -> dict[str, Any]:
    """The settings for this base; `steps` in a nearer table switches off the steps per picture of a farther one."""
    values: dict[str, Any] = {}
    card = content.get("card", {}).get(str(card_of(gib)), {})
    tables = [
        table
        for where in (["all"], ["family", base.family], ["base", base.key])
        for table in (_inner(content, where), _inner(card, where))
    ]
    for table in tables:
        if "steps_per_picture" in table:
            values.pop("steps", None)
        if "steps" in table:
            values.pop("steps_per_picture", None)
        values |= table
    return values


def _inner(tables: dict[str, Any], where: list[str]) -> dict[str, Any]:
    for key in where:
        tables = tables.get(key, {})
    return tables


def _setting_keys() -> set[str]:
    return {*TrainSettings.model_fields, *STEP_KEYS}


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(
            f"In the preset {path.name}, {name!r} must be a table.", f"Write [{name}] on a line of its own."
        )
    return value


def _check_tables(path: Path, prefix: str, content: dict[str, Any], known: dict[str, set[str]]) -> None:
    _check_table(path, f"{prefix}all", content.get("all", {}))
    for kind, names in known.items():
        for name, table in _table(path, f"{prefix}{kind}", content.get(kind, {})).items():
            if name not in names:
                raise UserError(
                    f"The preset {path.name} has a table for an unknown {kind} {name!r}.", nearest(name, names)
                )
            _check_table(path, f"{prefix}{kind}.{name}", table)


def _check_table(path: Path, name: str, table: Any) -> None:
    for key, value in _table(path, name, table).items():
        if key not in _setting_keys():
            raise UserError(
                f"The preset {path.name} has an unknown key {key!r} in [{name}].", nearest(key, _setting_keys())
            )
        if key in STEP_KEYS:
            low, high = STEP_KEYS[key]
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise UserError(
                    f"In the preset {path.name}, {key!r} in [{name}] cannot be {value!r}.",
                    f"Use a number from {low:g} to {high:g}.",
                )
            continue
        try:
            check(TrainSettings, {key: value})
        except UserError as error:
            raise UserError(
                f"In the preset {path.name}, {key!r} in [{name}] cannot be {value!r}.", error.remedy
            ) from None
