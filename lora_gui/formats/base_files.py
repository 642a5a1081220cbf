"""The files of a base: which hold the weights of each of its networks. One variant of them, and nothing hidden.

Whoever accepts, counts, quantises or loads a base asks here, so that all of them mean the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from lora_gui import files
from lora_gui.errors import UserError

SUFFIX = ".safetensors"
CHECKPOINTS = (SUFFIX, ".sft")  # the second as FLUX.1 was published at first, and ComfyUI reads it
DEFAULTS = ("diffusion_pytorch_model", "model")  # how diffusers and transformers call weights
_INDEX = re.compile(r"(.+)\.safetensors\.index(?:\.([\w-]+))?\.json", re.I)
_FILE = re.compile(r"(.+?)(\.[a-z]\w*)?(-\d+(?:-of-(\d+))?)?(\.[a-z]\w*)?\.safetensors", re.I)
_VARIANTS = ("", "fp16", "bf16", "fp32")  # the first that is whole is taken, then any other but `non_ema`
_TO_FETCH = ("fp16", "bf16", "", "fp32")  # 16 bits are what is computed in, and half as much as 32
_INDEX_LIMIT = 16 << 20  # bytes of the list of a network's weights
P = TypeVar("P", bound=PurePath)
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


def to_fetch(names: Iterable[str]) -> list[str]:
    """What to fetch of a network's folder that has files of these names elsewhere: its configurations, and its weights
    in one variant, the smaller. Empty where there are no weights of this format."""
    there = [PurePosixPath(name) for name in sorted(names) if not name.startswith(".")]
    whole = {key: paths for key, paths in _groups(there).items() if len(paths) >= max(key[3], 1)}
    if not whole:
        return []
    stem, variant, numbered, count = min(whole, key=_order_of_fetching)
    indexes = [(path, _INDEX.fullmatch(path.name)) for path in there]
    table = [path for path, match in indexes if match and _index_of(match) == (stem, variant)]
    rest = [path for path, match in indexes if path.suffix == ".json" and not match]
    return [path.name for path in (*rest, *(table if numbered else ()), *whole[stem, variant, numbered, count])]


def _order_of_fetching(key: tuple[str, str, bool, int]) -> tuple[int, int, bool, str]:
    stem, variant, numbered, _ = key
    kind = _TO_FETCH.index(variant) if variant in _TO_FETCH else len(_TO_FETCH)
    return kind, DEFAULTS.index(stem) if stem in DEFAULTS else len(DEFAULTS), numbered, stem


def _listed(there: Iterable[Path]) -> Iterable[Weights]:
    """What the indexes list."""
    for path in there:
        if match := _INDEX.fullmatch(path.name):
            yield Weights(_shards(path), _index_of(match)[1], path)


def _index_of(match: re.Match[str]) -> tuple[str, str]:
    """What an index is called after, and its variant."""
    stem, _, variant = match[1].partition(".")
    return stem, (match[2] or variant).lower()


def _unlisted(there: Iterable[Path]) -> Iterable[Weights]:
    """Single files, and shards that no index lists."""
    groups = _groups(path for path in there if path.is_file())
    for (stem, variant, numbered, count), paths in groups.items():
        lacking = max(count - len(paths), 0)
        unseen = [paths[0].with_name(f"a file of {count} ({stem})")] if lacking else []
        for one in ([*paths, *unseen],) if numbered else ([path] for path in paths):
            yield Weights(tuple(one), variant)


def _groups(there: Iterable[P]) -> dict[tuple[str, str, bool, int], list[P]]:
    """Files that belong together, by what they are called after, variant, whether they are shards, and of how many."""
    groups: dict[tuple[str, str, bool, int], list[P]] = {}
    for path in there:
        if match := _FILE.fullmatch(path.name):
            variant = (match[2] or match[5] or "").removeprefix(".").lower()
            groups.setdefault((match[1], variant, bool(match[3]), int(match[4] or 0)), []).append(path)
    return groups


def _rank(one: Weights) -> tuple[bool, int, int, bool, str]:
    """The lowest is taken; what is called otherwise, as a LoRA is, counts where nothing is called as weights are, or in
    a variant alone that is not for drawing."""
    kind = _VARIANTS.index(one.variant) if one.variant in _VARIANTS else len(_VARIANTS) + ("non_ema" in one.variant)
    stem = one.files[0].name.partition(".")[0].partition("-0")[0]
    usual = DEFAULTS.index(stem) if stem in DEFAULTS else len(DEFAULTS)
    return usual == len(DEFAULTS) or one.variant not in _VARIANTS, kind, usual, one.index is None, stem


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
