"""Read and check the header of a .safetensors file without loading a tensor. Knows no family and no dialect.

Files come from strangers, so every limit is checked before anything is trusted; no torch, no third-party parser.
"""

from __future__ import annotations

import functools
import json
import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lora_gui.errors import UserError
from lora_gui.formats import disguised, lycoris, peft_settings
from lora_gui.formats.spelling import PEFT, canonical

HEADER_LIMIT = 8_000_000  # bytes
TENSOR_LIMIT = 20_000
FIELDS_LIMIT, FIELD_LIMIT = 1_000, 2_000  # metadata fields, and characters of each, that are kept
RANK_LIMIT = 1536  # fused qkv layers carry three times the rank
_FUSED_LIMIT = 2048  # those of FLUX.1 that fuse the feed-forward with it carry four times the rank
FACTORED_LIMIT = 6_000_000_000  # values of all LyCORIS layers of a file as plain halves
SIDE_LIMIT = 65_536  # largest size of a dimension
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}  # bytes of one value
_ONE = WIDTHS | {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1}  # which an alpha may be
_MARKS = _ONE | {"BOOL": 1, "U16": 2, "U32": 4, "U64": 8}  # of tensors that are of no layer
ANOTHER_COPY = "Download it again, or ask its maker for a whole .safetensors file."

DOWN = re.compile(r"(.+)\.lora_(?:down|A)\.weight")  # what the first half of a module's adapter is called
_FUSED = re.compile(r"single_blocks[._]\d+[._]linear1$")
_UP = re.compile(r"(.+)\.lora_(?:up|B)\.weight")
_OF_LAYER = re.compile(r".+\.(?:lora_\w+\.weight|alpha|dora_scale|lora_magnitude_vector(?:\.weight)?)")

Entries = dict[str, tuple[Any, tuple[Any, ...], Any, Any]]  # of each tensor its dtype, shape, begin and end


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: `start` and `end` are byte positions in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The checked header of a LoRA file: its tensors by name, and its metadata fields as plain text."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    by_peft: bool = False  # whether it is as peft saves it, which keeps the alpha in a file of its own

    @functools.cached_property
    def sizes(self) -> dict[str, tuple[int, int, int]]:
        """Rank, inputs and outputs of each module."""
        ups = {match[1]: t.shape[0] for name, t in self.tensors.items() if (match := _UP.fullmatch(name))}
        plain_ones = {
            match[1]: (t.shape[0], t.shape[1], ups.get(match[1], 0))
            for name, t in self.tensors.items()
            if (match := DOWN.fullmatch(name))
        }
        others = lycoris.layers({name: tensor.shape for name, tensor in self.tensors.items()})
        return plain_ones | {module: lycoris.size(roles) for module, roles in others.items()}

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each module."""
        return {module: rank for module, (rank, _, _) in self.sizes.items()}

    @property
    def rank(self) -> int:
        """The rank most modules have."""
        return Counter(self.ranks.values()).most_common(1)[0][0]

    @property
    def layers(self) -> int:
        """How many modules it adapts."""
        return len(self.sizes)


def state(path: Path) -> tuple[int, ...]:
    """What tells one state of a file from the next: where it lies, its size, and when it and its entry changed.

    What peft has put beside it counts too. Raises OSError and ValueError as `Path.stat` does.
    """
    stat = path.stat()
    return *peft_settings.state_beside(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def read_header(path: Path) -> Header:
    """Read and check the header of a LoRA; the settings that peft has put beside it are among its fields.

    Raises UserError where the file is damaged, not a LoRA or not safe.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path.name} is not a file.", "Choose a .safetensors file that holds a LoRA.")
        with open(path, "rb") as file:
            return checked(file, path.name, path.stat().st_size, peft_settings.beside(path))
    except FileNotFoundError:
        raise UserError(f"{path.name} is not there any more.", "Choose another LoRA.") from None
    except OSError as error:
        raise UserError(f"{path.name} could not be read ({error.strerror}).", "Check the disk and try again.") from None


def entries(file: IO[bytes], name: str, size: int) -> tuple[Entries, dict[str, str], int]:
    """The header of any .safetensors file: its tensors, unchecked; its metadata; the byte offset of the first tensor.

    `name` stands in errors, `size` is that of the file. Raises UserError where it is damaged or can carry programs.
    """
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    is_length = 2 <= length <= min(HEADER_LIMIT, size - 8)  # a pickle may begin as one
    begins_a_pickle = start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"
    if start[:4] == b"PK\x03\x04" or begins_a_pickle and not (is_length and _begins_a_header(file)):
        raise UserError(
            f"{name} is in an old format that can carry programs, so it is not opened.",
            "Ask for a .safetensors version of it.",
        )
    if not is_length:
        disguised.refuse(start + file.read(disguised.ENOUGH), name)
        raise UserError(f"{name} is not a whole .safetensors file.", ANOTHER_COPY)
    return *_parse(file.read(length), name), 8 + length


def _begins_a_header(file: IO[bytes]) -> bool:
    """Whether what comes next is JSON, whose reading stays where it is."""
    place = file.tell()
    first = file.read(1)
    file.seek(place)
    return first == b"{"


def checked(file: IO[bytes], name: str, size: int, settings: str = "") -> Header:
    """The header of a LoRA; peft's `settings` count where it has none. Raises UserError as `read_header` does."""
    found, metadata, first = entries(file, name, size)
    tensors = {
        canonical(key): Tensor(dtype, shape, first + begin, first + end)
        for key, (dtype, shape, begin, end) in found.items()
        if _sound(dtype, shape, begin, end) and (_plausible(dtype, shape) or not _of_layer(canonical(key)))
    }
    if len({canonical(key) for key in found}) < len(found):
        raise _twice(name)
    many = any(name.endswith(".alpha") and math.prod(one.shape) > 1 for name, one in tensors.items())
    if many or len(tensors) < len(found) or len(found) > TENSOR_LIMIT:
        raise UserError(f"{name} holds tensors that no LoRA has.", ANOTHER_COPY)
    _check_layout(tensors, first, size, name)
    _check_pairs(tensors, name)
    texts = dict([*metadata.items()][:FIELDS_LIMIT])
    if settings:
        texts.setdefault(peft_settings.FIELD, settings)
    limits = {peft_settings.FIELD: peft_settings.LONGEST}
    said = {plain(k): plain(v, limits.get(k, FIELD_LIMIT)) for k, v in texts.items()}
    return Header(tensors, said, any(map(PEFT.match, found)))


def _parse(raw: bytes, name: str) -> tuple[Entries, dict[str, str]]:
    """Of each tensor its dtype, shape, begin and end, unchecked; and the metadata."""
    try:
        if raw.count(b"{") + raw.count(b"[") > 4 * TENSOR_LIMIT:  # a tensor has three; each becomes an object
            raise ValueError("too many things")
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
        said = header.pop("__metadata__", None)
        metadata = {} if said is None else said
        if not all(isinstance(text, str) for text in metadata.values()):  # which no reader of tensors takes
            raise ValueError("other fields than text")
        found = {}
        for key, value in header.items():
            begin, end = value["data_offsets"]
            found[key] = (value["dtype"], tuple(value["shape"]), begin, end)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"The header of {name} is damaged.", ANOTHER_COPY) from None
    return found, metadata


def plain(text: str, limit: int = FIELD_LIMIT) -> str:
    """A stranger's text as one printable line, cut to `limit`: no control, surrogate or bidi characters."""
    return "".join(c if c.isprintable() or c == "\u200d" else " " for c in text[:limit])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the same name twice")
    return found


def _sound(dtype: Any, shape: tuple[Any, ...], begin: Any, end: Any) -> bool:
    """Whether an entry says where a tensor lies; files have empty ones and marks of other kinds beside their layers."""
    return (
        len(shape) <= 8
        and all(type(n) is int for n in (*shape, begin, end))
        and isinstance(dtype, str)
        and all(0 <= n <= 1 << 40 for n in shape)
        and dtype in _MARKS
        and begin >= 0
        and end - begin == math.prod(shape) * _MARKS[dtype]
    )


def _of_layer(name: str) -> bool:
    return bool(_OF_LAYER.fullmatch(name) or lycoris.ROLE.fullmatch(name))


def _plausible(dtype: str, shape: tuple[int, ...]) -> bool:
    """Whether a layer can have such a tensor."""
    known = WIDTHS if math.prod(shape) > 1 else _ONE
    return len(shape) <= 4 and all(1 <= n <= SIDE_LIMIT for n in shape) and dtype in known


def _check_layout(tensors: dict[str, Tensor], start: int, size: int, name: str) -> None:
    """The tensors fill the file from the header to its end, without gaps and without overlap."""
    for tensor in sorted(tensors.values(), key=lambda t: (t.start, t.end)):
        if tensor.start != start:
            raise UserError(f"The tensors in {name} overlap or leave gaps.", ANOTHER_COPY)
        start = tensor.end
    if start != size:
        raise UserError(f"{name} is {'cut short' if start > size else 'longer than it should be'}.", ANOTHER_COPY)


def _check_pairs(tensors: dict[str, Tensor], name: str) -> None:
    """Every module has a down and an up of the same rank."""
    downs = {m[1]: t for key, t in tensors.items() if (m := DOWN.fullmatch(key))}
    ups = {m[1]: t for key, t in tensors.items() if (m := _UP.fullmatch(key))}
    others = lycoris.layers({key: tensor.shape for key, tensor in tensors.items()})
    if not downs and not ups and not others:
        other = lycoris.other_kind(tensors)
        kind = f"a LyCORIS file of a kind that is not read here ({other})" if other else "not a LoRA"
        raise UserError(f"{name} is {kind}.", "Choose a .safetensors file that holds a LoRA.")
    if others.keys() & downs.keys() or any(len({role[:4] for role in roles}) > 1 for roles in others.values()):
        raise _twice(name)
    _check_factors(others, name)
    for module in downs.keys() | ups.keys():
        down, up = downs.get(module), ups.get(module)
        if not down or not up or len(down.shape) < 2 or len(up.shape) < 2 or down.shape[0] != up.shape[1]:
            raise UserError(f"In {name} the two halves of a layer do not belong together.", ANOTHER_COPY)
        if down.shape[0] > (_FUSED_LIMIT if _FUSED.search(module) else RANK_LIMIT):
            raise UserError(f"{name} claims rank {down.shape[0]}, more than any LoRA has.", ANOTHER_COPY)


def _twice(name: str) -> UserError:
    return UserError(f"{name} says twice what it does to a layer.", ANOTHER_COPY)


def _check_factors(modules: dict[str, dict[str, tuple[int, ...]]], name: str) -> None:
    """The factors of every LyCORIS layer belong together, and what they make is not more than memory holds."""
    try:
        sizes = [lycoris.size(roles) for roles in modules.values()]
        total = sum(map(lycoris.elements, modules.values()))
    except ValueError:
        raise UserError(f"In {name} the factors of a layer do not belong together.", ANOTHER_COPY) from None
    if any(max(inputs, outputs) > SIDE_LIMIT for _, inputs, outputs in sizes) or total > FACTORED_LIMIT:
        raise UserError(
            f"The layers of {name} take {total * 4 / 1e9:,.0f} GB once they are multiplied out, too much to be read.",
            "Ask its maker for a plain LoRA.",
        )


def all_finite(path: Path, header: Header) -> bool:
    """Whether every value that counts is finite: no NaN, no infinity. Reads the whole file once, in chunks."""
    import numpy as np

    idle = lycoris.idle_alphas({name: tensor.shape for name, tensor in header.tensors.items()})

    exponents = {
        "F64": ("<u8", 0x7FF << 52),
        "F32": ("<u4", 0x7F800000),
        "F16": ("<u2", 0x7C00),
        "BF16": ("<u2", 0x7F80),
        "F8_E4M3": ("u1", 0x7F),
        "F8_E5M2": ("u1", 0x7C),
    }  # all set: no number
    with open(path, "rb") as file:
        for name, tensor in sorted(header.tensors.items(), key=lambda one: one[1].start):
            if tensor.dtype not in WIDTHS or name in idle:
                continue
            kind, exponent = exponents[tensor.dtype]
            file.seek(tensor.start)
            for begin in range(tensor.start, tensor.end, 1 << 24):
                values = np.frombuffer(file.read(min(1 << 24, tensor.end - begin)), dtype=kind)
                if ((values & exponent) == exponent).any():
                    return False
    return True
