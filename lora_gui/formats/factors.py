"""Read the factors of a LoRA with numpy alone, for processes without torch: what each layer's update is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED
from lora_gui.formats import lycoris
from lora_gui.formats.dialects import DIALECTS
from lora_gui.formats.dialects.dialect import Place
from lora_gui.formats.header import Header, Tensor, read_header
from lora_gui.formats.naming import in_base

if TYPE_CHECKING:
    from lora_gui.facts import Facts

Array = np.ndarray[Any, Any]  # fp32
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
          "I8": "i1", "U8": "u1"}  # fmt: skip
Roles = dict[str, Tensor]  # the tensors of a layer
Like = tuple["Facts", str]  # family and dialect
FLOATS = {"F8_E4M3": (4, 7), "F8_E5M2": (5, 15)}  # bits of the exponent, and its bias


@dataclass(frozen=True)
class Factor:
    """A layer's update is up @ down, alpha / rank folded into `scale`; kernels of convolutions are flattened."""

    down: Array  # (rank, inputs)
    up: Array  # (outputs, rank)
    scale: float

    @cached_property
    def norm(self) -> float:
        """Frobenius norm of the update."""
        return float(np.sqrt(max(inner(self, self), 0.0)))


class Factors(Mapping[str, Factor]):
    """Those of a file by part and module path; each is read when it is asked for, so that a large file fills no memory.

    `layers` are the tensors of each layer by role, under the names that it has in the base: several where it is fused.
    """

    def __init__(self, path: Path, header: Header, layers: Mapping[tuple[str, ...], Roles], like: Like) -> None:
        self._data, self._header, self._layers, self._like = np.memmap(path, np.uint8, "r"), header, layers, like
        self._places = {in_base(name.rstrip(SWAPPED), None): names for names in layers for name in names}
        self._last: tuple[tuple[str, ...], dict[str, Factor]] = ((), {})

    def __getitem__(self, name: str) -> Factor:
        names = self._places[name]
        if self._last[0] != names:
            self._last = (names, self._read(names))
        return self._last[1][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, names: tuple[str, ...]) -> dict[str, Factor]:
        """The layers that the file has as one. Raises UserError where it has another size than they."""
        own, (facts, dialect) = [in_base(name.rstrip(SWAPPED), None) for name in names], self._like
        alpha_of = partial(DIALECTS[dialect].alpha_of, own[0], self._header.metadata)
        whole = _factor(self._data, self._layers[names], alpha_of)
        if names[0].endswith(SWAPPED) and whole.up.shape[0] == 2 * whole.down.shape[1]:
            whole = Factor(whole.down, np.concatenate(np.split(whole.up, 2)[::-1]), whole.scale)
        return dict(zip(own, _split(own, whole, facts), strict=True))


def inner(one: Factor, two: Factor) -> float:
    """Frobenius inner product of two updates: trace((B1^T B2)(A2 A1^T)), which takes two products of (rank, rank)."""
    product = np.einsum("ij,ij->", one.up.T @ two.up, one.down @ two.down.T, dtype=np.float64)
    return float(product) * one.scale * two.scale


def fits(one: Factor, two: Factor) -> bool:
    """Whether both change a layer of the same size."""
    return bool(one.up.shape[0] == two.up.shape[0] and one.down.shape[1] == two.down.shape[1])


def read_factors(path: Path, facts: Facts, dialect: str) -> tuple[Factors, bool]:
    """The factors of a LoRA, and whether any of its layers is a DoRA, whose magnitudes are passed over.

    `facts` and `dialect` are as `identify` tells them. Raises UserError where the file is damaged or has layers of
    LyCORIS, which have no two factors.
    """
    header = read_header(path)
    if lycoris.factored({name: one.shape for name, one in header.tensors.items()}):
        what = f"{path.stem} has layers of LyCORIS, which are not two plain factors and cannot be compared so."
        raise UserError(what, "Draw with it and look.")
    found: dict[tuple[str, ...], Roles] = {}
    for name, (names, role) in _places(dialect, facts, tuple(header.tensors)).items():
        found.setdefault(names, {})[role] = header.tensors[name]
    whole = {names: roles for names, roles in found.items() if {"down", "up"} <= roles.keys()}
    return Factors(path, header, whole, (facts, dialect)), any("magnitude" in roles for roles in found.values())


@lru_cache(maxsize=4)  # LoRAs of one trainer name the same layers
def _places(dialect: str, facts: Facts, names: tuple[str, ...]) -> dict[str, Place]:
    return DIALECTS[dialect].places(names, facts)


def _factor(data: Any, roles: dict[str, Tensor], alpha_of: Callable[[int], float | None]) -> Factor:
    """`alpha_of` its rank counts where the layer has no alpha of its own, and is the rank where it is None."""
    down, up = _values(data, roles["down"]), _values(data, roles["up"])
    rank = down.shape[0]
    alpha = float(_values(data, roles["alpha"]).item()) if "alpha" in roles else alpha_of(rank)
    return Factor(down.reshape(rank, -1), up.reshape(up.shape[0], -1), 1.0 if alpha is None else alpha / rank)


def _split(names: list[str], whole: Factor, facts: Facts) -> list[Factor]:
    """The updates of the layers that a checkpoint fuses into one: each has its own rows of `up`."""
    if len(names) == 1:
        return [whole]
    outs = [facts.widths.get(name.rpartition(".")[2], 1) * whole.down.shape[1] for name in names]
    if sum(outs) != whole.up.shape[0]:
        raise UserError("This LoRA was made for another base: its layers have other sizes.", "Leave it out.")
    return [Factor(whole.down, rows, whole.scale) for rows in np.split(whole.up, np.cumsum(outs)[:-1])]


def _values(data: Any, tensor: Tensor) -> Array:
    """A tensor of a file as fp32."""
    raw = data[tensor.start : tensor.end]
    if tensor.dtype in FLOATS:
        return np.reshape(_eight_bits(*FLOATS[tensor.dtype])[raw], tensor.shape)
    values = np.frombuffer(raw, _KINDS[tensor.dtype]).reshape(tensor.shape)
    if tensor.dtype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return _of_halves(values) if tensor.dtype == "F16" else values.astype(np.float32)


def _of_halves(values: Any) -> Array:
    """fp16 as fp32, an order of magnitude quicker than by `astype`: the same bits, 112 further in the exponent."""
    bits = values.view("<i2").astype("<i4")  # the sign is copied into the upper half
    bits <<= 13
    bits &= -0x70002000  # 0x8fffe000: sign, and 5 bits of exponent and 10 of mantissa where fp32 has them
    found: Array = bits.view("<f4")
    found *= np.float32(2.0**112)
    found[np.abs(found) >= 65536] = np.nan  # what was infinite or no number
    return found


def _eight_bits(exponent_bits: int, bias: int) -> Array:
    """The value of each of the 256 floats of 8 bits, as OCP 8-bit floating point has them (rev. 1.0, 2023)."""
    codes = np.arange(256)
    mantissa_bits = 7 - exponent_bits
    exponents, mantissas = (codes & 127) >> mantissa_bits, codes & ((1 << mantissa_bits) - 1)
    fraction = mantissas / (1 << mantissa_bits)
    values = np.where(exponents == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponents - bias))
    no_number = (codes & 127) >= (124 if exponent_bits == 5 else 127)  # E5M2 has infinities too
    return np.where(no_number, np.nan, np.where(codes > 127, -1, 1) * values).astype(np.float32)
