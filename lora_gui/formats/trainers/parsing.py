"""Parse TOML, JSON and YAML of strangers into plain tables, within limits of size, depth and number."""

from __future__ import annotations

import codecs
import json
import tomllib
from typing import Any

from lora_gui.errors import UserError

LARGEST = 200_000  # bytes; real ones have 2,000 to 20,000
DEEPEST = 12  # tables within tables; ai-toolkit has 6
MOST = 5_000  # values

Table = dict[str, Any]
# How the beginning of a file tells its encoding, the longer first; Windows' own shell writes UTF-16.
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
          (codecs.BOM_UTF16_BE, "utf-16"), (b"", "utf-8-sig"))  # fmt: skip


def table(data: bytes, name: str) -> Table:
    """The table in a file, whichever of the three it is. Raises UserError where it is none of them."""
    try:
        text = data.decode(next(encoding for mark, encoding in _MARKS if data.startswith(mark)))
    except UnicodeDecodeError:
        raise _no_settings(name) from None
    for parse in (_json, _toml, _yaml):
        try:
            found = parse(text)
        except (ValueError, RecursionError, OverflowError):  # every parser's own error is a ValueError
            continue
        if isinstance(found, dict) and found:
            _check(found, name)
            return {str(key): value for key, value in found.items()}
    raise _no_settings(name)


def _json(text: str) -> Any:
    return json.loads(text) if text.lstrip()[:1] == "{" else None


def _toml(text: str) -> Any:
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    """Plain values only. Raises UserError where there are aliases, a few of which can stand for more than any memory
    holds."""
    import yaml

    if text.count("[") + text.count("{") > MOST:
        raise ValueError("too much")
    try:
        said = list(yaml.parse(text, yaml.SafeLoader))
        alias = next((event for event in said if isinstance(event, yaml.AliasEvent)), None)
        found = None if alias else yaml.safe_load(text)
    except (yaml.YAMLError, AttributeError, TypeError) as error:  # the latter of odd dates and keys
        raise ValueError("no YAML") from error
    if alias:
        anchor = alias.anchor[:40]
        what = f"The file says *{anchor} for what stands at &{anchor}, which is not read here."
        raise UserError(what, "Write it out in each of these places, and choose the file again.")
    return found


def _check(found: Any, name: str) -> None:
    """Raises UserError where there is more, or it is nested deeper, than anybody writes."""
    level, count = [found], 0
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inner(one)]
        count += len(level)
        if not level:
            return
        if count > MOST:
            break
    raise UserError(f"{name} holds more than settings of a training.", "Choose another file.")


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _no_settings(name: str) -> UserError:
    return UserError(f"{name} is no TOML, JSON or YAML that can be read.", "Choose the settings file of a trainer.")
