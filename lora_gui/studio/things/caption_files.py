"""What caption files say: one caption a file, or a table of them, as the trainers there are write them."""

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.recall import a1111
from lora_gui.studio.things.names import clean_caption, decoded, read_lines
from lora_gui.studio.things.sorting import PICTURES, TEXTS

MOST = 16 << 20  # bytes of a table; more is not read
NAMES = ("file_name", "filename", "file", "image_file", "image_path", "image", "img", "path", "name", "key")
CAPTIONS = ("caption", "captions", "text", "prompt", "description")
TAGS = ("tags", "tag_string")
_NUMBERED = re.compile(r"(?<=\.\w{3})#\d+$|(?<=\.\w{4})#\d+$")  # of several captions, as `a.jpg#0` of Flickr30k
_EXCEL = re.compile(r'\s*"?sep=([,;\t|])"?[ \t]*\r?\n', re.IGNORECASE)  # the sign of a table, as Excel has it first
_DRAWN = re.compile(r"Steps: \d+, ")
_LINE = re.compile(
    rf"(.+?(?:{'|'.join(map(re.escape, PICTURES))}))(?:#\d+)?[\"']?(?:\s*[|:;,=]\s*|\s+)(\S.*)", re.IGNORECASE
)


class Said(NamedTuple):
    """One caption, with a line for each where a picture has several; tags are no sentence, and give way to one."""

    text: str
    is_tags: bool = False


class Row(NamedTuple):
    """What a table says of one picture, which it calls `picture`."""

    picture: str
    said: tuple[Said, ...]


def of_text(path: Path) -> tuple[str, bool]:
    """What a text file beside a picture says of it, its lines apart. Raises UserError where it cannot be read.

    Of one that says how the picture was drawn, as A1111 writes it, that is the prompt alone, and the flag is set.
    """
    lines = read_lines(path)
    if any(map(_DRAWN.match, lines)):
        with contextlib.suppress(UserError):
            return clean_caption(a1111.read("\n".join(lines)).settings["prompt"]), True
    return "\n".join(lines), False


def of_one(path: Path) -> list[Said]:
    """What a JSON file beside a picture says of it. Raises UserError where it cannot be read."""
    found = _json(path)
    return list(_said(found)) if isinstance(found, dict) else []


def rows(path: Path) -> list[Row]:
    """The captions in a table: JSON of any shape that is known, JSON lines, CSV, or text whose lines name pictures.

    A picture that the table names several times has one row. Raises UserError as `of_one`.
    """
    found: dict[str, list[tuple[Said, ...]]] = {}
    for picture, said in _rows(path):
        found.setdefault(_NUMBERED.sub("", picture), []).append(said)
    return [Row(picture, _together(several)) for picture, several in found.items()]


def _together(several: list[tuple[Said, ...]]) -> tuple[Said, ...]:
    """What rows of one picture say: captions of it, as COCO and Flickr30k have them, which become lines of one.

    Where a single row says two things they are not known to be that.
    """
    told = list(dict.fromkeys(one for said in several for one in said))
    if any(len({one.is_tags for one in said}) < len(said) for said in several):
        return tuple(told)
    lines = {kind: "\n".join(one.text for one in told if one.is_tags is kind) for kind in (False, True)}
    return tuple(Said(text, kind) for kind, text in lines.items() if text)


def _rows(path: Path) -> Iterable[Row]:
    """As `rows`, as they stand there."""
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        found = (_LINE.fullmatch(line.strip()) for line in _text(path).splitlines())
        return [Row(one[1], (Said(clean_caption(one[2])),)) for one in found if one]
    if suffix in (".csv", ".tsv"):
        return _csv(_text(path), suffix)
    if suffix == ".parquet":
        raise UserError(
            f"The captions in {path.name} cannot be read from Parquet.", "Save them as metadata.csv beside it."
        )
    text = _text(path)
    if (whole := _parsed(text)) is not None:
        return _of_json(whole)
    lines = [one for line in text.splitlines() if isinstance(one := _parsed(line.strip(" ,")), dict)]
    if not lines and text.strip():
        raise UserError(f"{path.name} is no whole JSON.", "Mend it in a text editor, or save it anew.")
    return [row for line in lines for row in _named(line)]


def _of_json(found: Any) -> Iterator[Row]:
    """A list of records, records under the names of their pictures as kohya writes them, or one record."""
    if isinstance(found, list):
        yield from (row for one in found if isinstance(one, dict) for row in _named(one))
    elif isinstance(found, dict) and (known := list(_named(found)) or list(_coco(found))):
        yield from known
    elif isinstance(found, dict):
        for name, value in found.items():
            if isinstance(value, str) or _lines(value):
                yield Row(name, (Said(_lines(value)),))
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
        if text := _lines(known.get(key)):
            yield Said(text)
    spaced = known.get("tag_string")  # of Danbooru, whose tags have no spaces in them
    if isinstance(spaced, str) and "," not in spaced:
        known["tag_string"] = spaced.split()
    for key in TAGS:
        if text := clean_caption(_tags(known.get(key))):
            yield Said(text, is_tags=True)


def _lines(value: Any) -> str:
    """A caption, or several of one picture, each in its line."""
    several = value if isinstance(value, list) else [value]
    said = (clean_caption(one) for one in several if isinstance(one, str))
    return "\n".join(dict.fromkeys(filter(None, said)))


def _tags(value: Any) -> str:
    """Tags in a text or a list, with their scores as taggers write them, or by their kinds as boorus do."""
    if not isinstance(value, dict):
        return _joined(value)
    each = (_joined(inside) if isinstance(inside, str | list | dict) else name for name, inside in value.items())
    return ", ".join(filter(None, each))


def _joined(value: Any) -> str:
    if isinstance(value, list | dict):
        return ", ".join(one for one in value if isinstance(one, str))
    return value if isinstance(value, str) else ""


def _sign(first: str, suffix: str) -> str:
    """The sign that parts the cells of a table: the one that leaves the name of a picture or of their column whole,
    since captions hold commas; else the commonest."""

    def worth(sign: str) -> tuple[bool, int]:
        cells = [cell.strip(" \"'").lower() for cell in first.split(sign)]
        whole = PurePosixPath(cells[0]).suffix in PICTURES or any(cell in NAMES for cell in cells)
        return len(cells) > 1 and (whole or (suffix == ".tsv" and sign == "\t")), len(cells)

    return max(",;\t|", key=worth)


def _csv(text: str, suffix: str) -> Iterator[Row]:
    """A table whose first line names its columns, or one of two columns without such a line."""
    if excel := _EXCEL.match(text):
        text = text[excel.end() :]
    sign = excel[1] if excel else _sign(text.lstrip().split("\n", 1)[0].strip(), suffix)
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True)
        table = [row for row in read if row]
    except csv.Error:
        return
    if not table:
        return
    heads = [head.strip().lower() for head in table[0]]
    if any(head in NAMES for head in heads):
        for row in table[1:]:
            yield from _named(dict(zip(table[0], _as_wide(row, heads, sign), strict=False)))
        return
    for row in table:
        if len(row) > 1 and (caption := clean_caption(f"{sign} ".join(cell.strip() for cell in row[1:]))):
            yield Row(row[0].strip(), (Said(caption),))


def _as_wide(row: list[str], heads: list[str], sign: str) -> list[str]:
    """A row with as many cells as there are heads: those beyond them are of a caption that holds the sign unquoted."""
    while len(row) > len(heads) and not row[-1].strip():
        row = row[:-1]
    more = len(row) - len(heads)
    said = [at for at, head in enumerate(heads) if head in (*CAPTIONS, *TAGS)]
    if more <= 0 or len(said) != 1:
        return row
    end = said[0] + more + 1
    return [*row[: said[0]], f"{sign} ".join(cell.strip() for cell in row[said[0] : end]), *row[end:]]


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
