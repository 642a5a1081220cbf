"""What the folders in a studio's cache are called, so that who fills them and who looks for them agree."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from lora_gui.formats import base_files, noise_kind

UNPACKED, QUANTISED = "unpacked", "quantised"  # folders in the cache: single-file bases as folders, quantised networks
CLASS_PICTURES = "class-pictures"  # folder in it of what bases drew of a class, to be learnt beside the user's pictures
NAMING = "bring.lock"  # file in it that is locked by whoever gives a LoRA of the studio a name
INDEX = "index.json"  # the last file of a quantised network; without it the folder does not count
_DTYPES = "torch.bfloat16", "torch.float16"  # that quantised networks compute in; the second on older cards
_VERSIONS = {UNPACKED: 3, QUANTISED: 2}  # of how they are made; a change makes older ones be left alone


def unpacked(file: Path, parts: Iterable[str] = ()) -> str:
    """The name for a base that is one file, with the `parts` that lie apart; another state of any of them has another.

    Raises OSError where one is gone.
    """
    said = noise_kind.beside(file)
    told = [_VERSIONS[UNPACKED], *_state(file), *(_state(said) if said else ())]
    return _digest([*told, *(value for part in sorted(parts) for value in _state(Path(part)))])


def quantised(source: Path, precision: str, dtype: str = _DTYPES[0]) -> str:
    """The name for the network whose weights lie in `source`, quantised, computing in `dtype`."""
    found = base_files.weights(source)
    states = [_state(file) for file in (found.files if found else ())]
    return _digest([_VERSIONS[QUANTISED], precision, dtype, states])


def class_pictures(base: Path, told: str) -> str:
    """The name for what the base in a folder draws as it is `told`; with other weights it has another."""
    weights = (file for file in sorted(base.rglob("*")) if file.suffix.lower() == base_files.SUFFIX)
    return _digest([told, *(value for file in weights for value in _state(file))])


def is_quantised(cache: Path, source: Path, precision: str) -> bool:
    """Whether this very network is kept in that precision."""
    return any((cache / QUANTISED / quantised(source, precision, dtype) / INDEX).is_file() for dtype in _DTYPES)


def _state(file: Path) -> list[str | int]:
    stat = file.stat()
    return [str(file.resolve()), stat.st_size, stat.st_mtime_ns]


def _digest(told: list[object]) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]
