"""Which folders of models the settings of other programs name: YAML, JSON, TOML and the flags of a command line.

They are read as data, never run; what they name counts only where it is there, and no whole drive or home ever does.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lora_gui import files
from lora_gui.studio.paths import home_folder

_MOST = 200  # paths of one file
_ENOUGH = 10_000  # values that are looked at
_STRANGE = (OSError, ValueError, RecursionError, yaml.YAMLError)


def named_in(file: Path, keys: str, beside: Path) -> list[Path]:
    """What a settings file names under keys that match, or as values of such flags; relative paths stand `beside`."""
    try:
        text = files.read_small(file).decode("utf-8-sig", "replace")
        found = list(_named(file.suffix.lower(), text, re.compile(keys)))[:_MOST]
    except _STRANGE:
        return []
    return [path for one in found if (path := _path(one, beside)) is not None]


def _named(suffix: str, text: str, keys: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a path, and the folder that it stands in where the file says one."""
    if keys.pattern.startswith("--"):
        for match in re.finditer(rf"(?:{keys.pattern})[= ]+(\"[^\"\n]+\"|'[^'\n]+'|[^\s\"']+)", text):
            yield match[1].strip("\"'"), ""
        return
    said: Any = {}
    if suffix in (".yaml", ".yml"):
        said = yaml.safe_load(text)
    elif suffix == ".toml":
        said = tomllib.loads(text)
    else:
        said = json.loads(text)
    yield from _values(said, keys, "", [_ENOUGH])


def _values(said: Any, keys: re.Pattern[str], base: str, left: list[int]) -> Iterator[tuple[str, str]]:
    if not isinstance(said, dict):
        return
    base = str(said.get("base_path") or base)  # of ComfyUI: what all else in the same section stands in
    for key, value in said.items():
        left[0] -= 1
        if left[0] < 0:
            return
        if isinstance(value, dict):
            yield from _values(value, keys, base, left)
        elif keys.fullmatch(str(key)) and key != "base_path":
            for one in value if isinstance(value, list) else [value]:
                lines = one.splitlines() if isinstance(one, str) else []
                yield from ((line.strip(), base) for line in lines if line.strip())


def _path(named: tuple[str, str], beside: Path) -> Path | None:
    """The path so named; None for what is no path at all, or far too wide."""
    text, base = named
    if len(text) > 1000 or "\0" in text or text.lower() in ("true", "false"):
        return None
    try:
        path = beside / os.path.expanduser(base) / os.path.expanduser(text)
        return None if is_too_wide(path) else path
    except ValueError:
        return None


def is_too_wide(path: Path) -> bool:
    """Whether a folder is a whole drive, somebody's home, or above one."""
    user = home_folder()
    return len(path.parts) < 3 or (user is not None and (path == user or path in user.parents))
