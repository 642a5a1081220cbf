"""What caption files say: one caption a file, or a table of them, as the trainers there are write them."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.things.names import clean_caption, decoded
from lora_gui.studio.things.sorting import PICTURES, TEXTS

MOST = 16 << 20  # bytes of a table; more is not read
NAMES = ("file_name", "filename", "file", "image_file", "image_path", "image", "img", "path", "name", "key")
CAPTIONS = ("caption", "captions", "text", "prompt", "description")
TAGS = ("tags", "tag_string")
_LINE = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, PICTURES))}))[\"']?(?:\s*[|:;,=]\s*|\s+)(\S.*)", re.IGNORECASE)


class Said(NamedTuple):
    """One caption; tags are no sentence, and give way to one."""

    text: str
    is_tags: bool = False


class Row(NamedTuple):
    """What a table says of one picture, which it calls `picture`."""

    picture: str
    said: tuple[Said, ...]


def of_one(path: Path) -> list[Said]:
    """What a JSON file beside a picture says of it. Raises UserError where it cannot be read."""
    found = _json(path)
    return list(_said(found)) if isinstance(found, dict) else []


def rows(path: Path) -> list[Row]:
    """The captions in a table: JSON of any shape that is known, JSON lines, CSV, or text whose lines name pictures.

    Raises UserError as `of_one`.
    """
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        found = (_LINE.fullmatch(line.strip()) for line in _text(path).splitlines())
        return [Row(one[1], (Said(clean_caption(one[2])),)) for one in found if one]
    if suffix in (".csv", ".tsv"):
        return list(_csv(_text(path)))
    if suffix == ".json":
        return list(_of_json(_json(path)))
    if suffix == ".parquet":
        raise UserError(
            f"The captions in {path.name} cannot be read from Parquet.", "Save them as metadata.csv beside it."
        )
    lines = (_parsed(line) for line in _text(path).splitlines())
    return [row for line in lines if isinstance(line, dict) for row in _named(line)]


def _of_json(found: Any) -> Iterator[Row]:
    """A list of records, records under the names of their pictures as kohya writes them, or one record."""
    if isinstance(found, list):
        yield from (row for one in found if isinstance(one, dict) for row in _named(one))
    elif isinstance(found, dict) and (known := list(_named(found)) or list(_coco(found))):
        yield from known
    elif isinstance(found, dict):
        for name, value in found.items():
            if isinstance(value, str):
                yield Row(name, (Said(clean_caption(value)),))
            elif isinstance(value, dict) and (said := tuple(_said(value))):
                yield Row(name, said)
            elif isinstance(value, list):
                yield from _of_json(value)


def _coco(found: dict[str, Any]) -> Iterator[Row]:
    """COCO: pictures in one list, captions in another, held together by numbers."""
    pictures, captions = ([one for one in _listed(found.get(key)) if isinstance(one, dict)]
                          for key in ("images", "annotations"))  # fmt: skip
    names = {str(one.get("id")): one.get("file_name") for one in pictures}
    for one in captions:
        name, said = names.get(str(one.get("image_id"))), tuple(_said(one))
        if isinstance(name, str) and said:
            yield Row(name, said)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _named(record: dict[str, Any]) -> Iterator[Row]:
    """A record that says which picture it is of, and what it shows."""
    known = {str(key).strip().lower(): value for key, value in record.items()}
    name = next((known[key] for key in NAMES if isinstance(known.get(key), str) and known[key].strip()), "")
    if name and (said := tuple(_said(record))):
        yield Row(name.strip(), said)


def _said(record: dict[str, Any]) -> Iterator[Said]:
    """The captions in a record, whatever the case of its fields, and its tags."""
    known = {str(key).strip().lower(): value for key, value in record.items()}
    for key in CAPTIONS:
        value = known.get(key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str) and (text := clean_caption(one)):
                yield Said(text)
    for key in TAGS:
        value = known.get(key)
        if isinstance(value, list | dict):
            value = ", ".join(one for one in value if isinstance(one, str))
        if isinstance(value, str) and (text := clean_caption(value)):
            yield Said(text, is_tags=True)


def _csv(text: str) -> Iterator[Row]:
    """A table whose first line names its columns, or one of two columns without such a line."""
    first = text.lstrip().split("\n", 1)[0]
    sign = max(",;\t|", key=first.count)
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if row]
    except csv.Error:
        return
    if not table:
        return
    heads = [head.strip().lower() for head in table[0]]
    if any(head in NAMES for head in heads):
        for row in table[1:]:
            yield from _named(dict(zip(table[0], row, strict=False)))
        return
    for row in table:
        if len(row) > 1 and (caption := clean_caption(f"{sign} ".join(cell.strip() for cell in row[1:]))):
            yield Row(row[0].strip(), (Said(caption),))


def _json(path: Path) -> Any:
    return _parsed(_text(path))


def _parsed(text: str) -> Any:
    """JSON, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(path: Path) -> str:
    """Raises UserError where the file is too large or cannot be read."""
    try:
        return decoded(files.read_small(path, MOST))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "odd name"
        raise UserError(f"The captions in {path.name} could not be read ({reason}).", "Check the file.") from None
