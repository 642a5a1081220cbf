"""Parse TOML, JSON and YAML of strangers into plain tables, within limits of size, depth and number."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from lora_gui.errors import UserError

LARGEST = 200_000  # bytes; real ones have 2,000 to 20,000
DEEPEST = 12  # tables within tables; ai-toolkit has 6
MOST = 5_000  # values

Table = dict[str, Any]


def table(data: bytes, name: str) -> Table:
    """The table in a file, whichever of the three it is. Raises UserError where it is none of them."""
    try:
        text = data.decode("utf-8-sig")
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
    """Plain values only, and no aliases: a few of them can stand for more than any memory holds."""
    import yaml

    if text.count("[") + text.count("{") > MOST:
        raise ValueError("too much")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("an alias")
        return yaml.safe_load(text)
    except (yaml.YAMLError, AttributeError, TypeError) as error:  # the latter of odd dates and keys
        raise ValueError("no YAML") from error


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
