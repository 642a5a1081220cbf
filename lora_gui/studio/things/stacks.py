"""Stacks that were given a name: LoRAs and strengths, saved in one small file of the studio and called again."""

from __future__ import annotations

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.formats.header import plain
from lora_gui.settings import StackEntry
from lora_gui.studio.paths import Studio

FILE = "stacks.json"
LONGEST, MOST = 60, 200  # characters of a name, stacks


class Row(StackEntry):
    """One LoRA of a named stack; `lora` is its file's name within the studio, or a whole path from elsewhere."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    lora: str = Field(min_length=1, max_length=4096)
    on: bool = True


Rows = tuple[Row, ...]
_FILE = TypeAdapter(dict[str, Rows])


def stacks(studio: Studio) -> dict[str, Rows]:
    """Every named stack, by name. A damaged file holds none; it is kept beside the new one when one is saved."""
    try:
        return dict(sorted(_FILE.validate_json(files.read_small(studio.home / FILE)).items()))
    except (OSError, ValueError, ValidationError, RecursionError):
        return {}


def save(studio: Studio, name: str, rows: Rows) -> str:
    """Keep a stack under a name, in place of one that was called so; the name as it is kept.

    Raises UserError where there is nothing to keep, the name is none, or the disk refuses.
    """
    name = " ".join(plain(name).split())[:LONGEST].strip()
    if not name:
        raise UserError("The stack has no name yet.", "Write one, such as: ink on paper.")
    if not rows:
        raise UserError("There is no LoRA in the stack.", "Add one first.")
    there = stacks(studio)
    if len(there) >= MOST and name not in there:
        raise UserError(f"There are {MOST} stacks already.", "Remove one first.")
    path = studio.home / FILE
    if path.is_file() and not there and path.stat().st_size > len("{}"):
        files.move(path, files.free_name(studio.home, "stacks, damaged", ".json"))
    _write(studio, there | {name: rows})
    return name


def find(studio: Studio, name: str) -> Rows:
    """The stack called `name`. Raises UserError where there is none."""
    there = stacks(studio)
    if name not in there:
        raise UserError(f"No stack is called {name!r}.", nearest(name, there) if there else "Save one first.")
    return there[name]


def remove(studio: Studio, name: str) -> None:
    """Forget the stack called `name`. Raises UserError where there is none."""
    find(studio, name)
    _write(studio, {other: rows for other, rows in stacks(studio).items() if other != name})


def _write(studio: Studio, there: dict[str, Rows]) -> None:
    files.write_json(studio.home / FILE, _FILE.dump_python(there, mode="json"))
