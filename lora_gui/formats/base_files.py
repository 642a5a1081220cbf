"""The files of a base: which hold the weights of each of its networks. One variant of them, and nothing hidden.

Whoever accepts, counts, quantises or loads a base asks here, so that all of them mean the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError

SUFFIX = ".safetensors"
DEFAULTS = ("diffusion_pytorch_model", "model")  # how diffusers and transformers call weights
_INDEX = re.compile(r"(.+)\.safetensors\.index(?:\.([\w-]+))?\.json", re.I)
_FILE = re.compile(r"(.+?)(\.[a-z]\w*)?(-\d+(?:-of-(\d+))?)?(\.[a-z]\w*)?\.safetensors", re.I)
_VARIANTS = ("", "fp16", "bf16", "fp32")  # the first that is whole is taken, then any other but `non_ema`
_INDEX_LIMIT = 16 << 20  # bytes of the list of a network's weights
_AGAIN = "Download this base again."


@dataclass(frozen=True)
class Weights:
    """The files of a network in one variant; `index` is what lists them, where they are several."""

    files: tuple[Path, ...]
    variant: str = ""
    index: Path | None = None

    def is_plain(self, name: str) -> bool:
        """Whether a library that calls weights `name` takes these very files by itself, whatever lies beside them."""
        told = self.index or self.files[0]
        possible = (f"{name}{SUFFIX}", f"{name}{SUFFIX}.index.json")
        return [one for one in possible if (told.parent / one).exists()] == [told.name]


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is none of the user's: dotfiles, AppleDouble's copies among them, and their folder."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def weights(folder: Path) -> Weights | None:
    """The weights in a network's folder, None where there are none.

    Of several variants the full one is preferred, of an index and a single file the index. Raises UserError where an
    index is damaged, or names a file that is missing and nothing else is whole.
    """
    there = sorted(path for path in folder.iterdir() if not is_hidden(path)) if folder.is_dir() else []
    found = [*_listed(there)]
    named = {path for one in found for path in one.files}
    found += [*_unlisted(path for path in there if path not in named)]
    whole = [one for one in found if all(path.is_file() for path in one.files)]
    if not whole and found:
        missing = next(path for path in min(found, key=_rank).files if not path.is_file())
        raise UserError(f"The base is not whole: {missing.name} of its {folder.name} is missing.", _AGAIN)
    return min(whole, key=_rank, default=None)


def configurations(folder: Path) -> list[Path]:
    """The JSON files of a network's folder, but for indexes."""
    return [path for path in sorted(folder.glob("*.json")) if not is_hidden(path) and not _INDEX.fullmatch(path.name)]


def _listed(there: Iterable[Path]) -> Iterable[Weights]:
    """What the indexes list."""
    for path in there:
        if match := _INDEX.fullmatch(path.name):
            stem, dot, variant = match[1].partition(".")
            yield Weights(_shards(path), (match[2] or (variant if dot else "")).lower(), path)


def _unlisted(there: Iterable[Path]) -> Iterable[Weights]:
    """Single files, and shards that no index lists."""
    groups: dict[tuple[str, str, bool, int], list[Path]] = {}
    for path in there:
        if (match := _FILE.fullmatch(path.name)) and path.is_file():
            variant = (match[2] or match[5] or "").removeprefix(".").lower()
            groups.setdefault((match[1], variant, bool(match[3]), int(match[4] or 0)), []).append(path)
    for (stem, variant, numbered, count), paths in groups.items():
        lacking = max(count - len(paths), 0)
        unseen = [paths[0].with_name(f"a file of {count} ({stem})")] if lacking else []
        for one in ([*paths, *unseen],) if numbered else ([path] for path in paths):
            yield Weights(tuple(one), variant)


def _rank(one: Weights) -> tuple[int, int, int, str]:
    """The lowest is taken."""
    kind = _VARIANTS.index(one.variant) if one.variant in _VARIANTS else len(_VARIANTS) + ("non_ema" in one.variant)
    stem = one.files[0].name.partition(".")[0].partition("-0")[0]
    usual = DEFAULTS.index(stem) if stem in DEFAULTS else len(DEFAULTS)
    return kind, usual, one.index is None, stem


def _shards(index: Path) -> tuple[Path, ...]:
    """The files that weights are spread over. Raises UserError where the list of them is damaged."""
    said = files.read_json(index, _INDEX_LIMIT)
    named = said.get("weight_map") if isinstance(said, dict) else None
    names = set(named.values()) if isinstance(named, dict) and all(map(_is_name, named.values())) else set()
    if not names:
        raise UserError(f"{index.name} in {index.parent.name} is damaged.", _AGAIN)
    return tuple(index.parent / name for name in sorted(names))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 256 and Path(value).name == value
