"""Summarise a LoRA file from its header and its alphas: family, dialect, rank, alpha, oddities; no weight is read."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.facts import SWAPPED, CheckpointNames
from lora_gui.formats import lycoris, peft_settings
from lora_gui.formats.dialects import DIALECTS, without_place
from lora_gui.formats.header import DOWN, Header
from lora_gui.formats.identify import identify
from lora_gui.formats.magnitude import UNFIT, over_inputs
from lora_gui.formats.metadata import trigger_of
from lora_gui.formats.naming import in_base

if TYPE_CHECKING:
    from lora_gui.facts import Facts

_ALPHA_APART = (
    "It does not say its alpha, so that is taken to be the rank; peft writes it into adapter_config.json, which "
    "belongs beside adapter_model.safetensors."
)
_SCALARS = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "b", "U8": "B"}


@dataclass(frozen=True)
class Summary:
    """What a LoRA file is, as far as its header tells."""

    family: str
    dialect: str
    rank: int  # the one most layers have
    alpha: float  # likewise
    odd: tuple[str, ...]  # sentences


def summary(path: Path, header: Header, families: Iterable[Facts]) -> Summary:
    """The summary of the file at `path`. Raises UserError where its family or dialect is not known."""
    known = {facts.key: facts for facts in families}
    family, dialect = identify(header, known.values())
    given = _by_settings(header, known[family], dialect) | alphas(path, header)
    parts = _parts(header, known[family])
    ranks = Counter(rank // parts[module] for module, rank in header.ranks.items())
    counted = Counter(given.get(module, float(rank)) / parts[module] for module, rank in header.ranks.items())
    odd = (*filter(None, (without_place(header, dialect, known[family]),)),
           *_oddities(header, dialect, ranks, counted, given))  # fmt: skip
    return Summary(family, dialect, ranks.most_common(1)[0][0], counted.most_common(1)[0][0], odd)


def alphas(path: Path, header: Header) -> dict[str, float]:
    """The alpha of each module that the file holds one for, read from the tensors; the rank where none counts."""
    found, ranks = {}, header.ranks
    idle = lycoris.idle_alphas({name: tensor.shape for name, tensor in header.tensors.items()})
    with open(path, "rb") as file:
        for name, tensor in header.tensors.items():
            if name.endswith(".alpha") and math.prod(tensor.shape) == 1:
                file.seek(tensor.start)
                found[name.removesuffix(".alpha")] = _scalar(tensor.dtype, file.read(tensor.end - tensor.start))
    return found | {module: float(ranks[module]) for module in ranks if module in found and f"{module}.alpha" in idle}


def _by_settings(header: Header, facts: Facts, dialect: str) -> dict[str, float]:
    """The alpha of each module that peft's settings give one for, as whoever reads the tensors has it."""
    if peft_settings.FIELD not in header.metadata:
        return {}
    own, ranks = DIALECTS[dialect], header.ranks
    found: dict[str, float | None] = {}
    for key, (names, _) in own.places(header.tensors, facts).items():
        if match := DOWN.fullmatch(key):
            name = in_base(names[0].rstrip(SWAPPED), None)
            found[match[1]] = own.alpha_of(name, header.metadata, ranks[match[1]])
    for module in lycoris.layers({name: tensor.shape for name, tensor in header.tensors.items()}):
        scale = peft_settings.scale_of(module, header.metadata)
        found[module] = None if scale is None else scale * ranks[module]
    return {module: alpha for module, alpha in found.items() if alpha is not None}


def _scalar(dtype: str, data: bytes) -> float:
    if dtype == "BF16":  # the upper half of an fp32
        dtype, data = "F32", b"\0\0" + data
    elif dtype == "F8_E5M2":  # the upper half of an fp16
        dtype, data = "F16", b"\0" + data
    elif dtype == "F8_E4M3":
        return _e4m3(data[0])
    return float(struct.unpack(_SCALARS[dtype], data)[0])


def _e4m3(byte: int) -> float:
    """The value of an 8-bit float with four bits of exponent, three of mantissa and no infinity."""
    exponent, mantissa = byte >> 3 & 15, byte & 7
    if byte & 127 == 127:
        return math.nan
    size = (8 + mantissa) * 2.0 ** (exponent - 10) if exponent else mantissa * 2.0**-9
    return -size if byte & 128 else size


def _parts(header: Header, facts: Facts) -> dict[str, int]:
    """Of how many layers of the base each module has the ranks side by side; a fused one may also have a single rank.

    Its header alone does not tell, but it is one way in a whole file: that in which fewer ranks are different, and
    where both have as many the one that its trainer says.
    """
    ranks, fusion = header.ranks, _Fusion(facts.checkpoint_names)
    fused = {module: fusion.of(module) if rank % fusion.of(module) == 0 else 1 for module, rank in ranks.items()}
    single = dict.fromkeys(ranks, 1)
    said = header.metadata.get("ss_network_dim", "")

    def oddness(parts: dict[str, int]) -> tuple[int, bool]:
        found = {str(rank // parts[module]) for module, rank in ranks.items()}
        return len(found), said not in found

    return min(fused, single, key=oddness)


class _Fusion:
    """How many layers of the base are fused into one of a file, whose rank is as many times theirs."""

    def __init__(self, names: CheckpointNames) -> None:
        several = {path: own for path, own in names.items() if len(own) > 1}
        self._counts = {self._spelt(path): len(own) for path, own in several.items()}

    def of(self, module: str) -> int:
        """How many layers `module` stands for."""
        path = self._spelt(module)
        return next((count for known, count in self._counts.items() if path.endswith(f"_{known}")), 1)

    @staticmethod
    def _spelt(path: str) -> str:
        return re.sub(r"\d+", "#", path.replace(".", "_"))


def _oddities(
    header: Header, dialect: str, ranks: Counter[int], alphas: Counter[float], given: dict[str, float]
) -> Iterable[str]:
    says = header.metadata
    is_lokr = lycoris.of_lokr(header.tensors)
    if len(ranks) > 1 and not is_lokr:  # of which some have whole factors
        yield f"Its layers have different ranks: {_listed(ranks)}."
    if len(alphas) > 1 and given:
        yield f"Its layers have different alphas: {_listed(alphas)}."
    if not given and header.by_peft:
        yield _ALPHA_APART
    elif not given and dialect in ("kohya", "onetrainer"):
        yield "It does not say its alpha, so that is taken to be the rank."
    if any(not alpha for alpha in alphas):
        yield "Some of its layers have alpha 0 and do nothing."
    if any("dora_scale" in name or "magnitude" in name for name in header.tensors):
        yield "It is a DoRA: at strengths other than 1, programs differ in what they draw with it."
    if is_lokr:
        yield "It is a LoKr: programs that do not read LyCORIS draw nothing with it."
    if over_inputs(_magnitudes(header), dialect == "diffusers") is None:
        yield UNFIT
    if any(re.match(r"lora_te|text_encoder", name) for name in header.tensors):
        yield "It changes a text encoder too, so that words mean something else in the whole prompt."
    if not says.get("modelspec.architecture") and not says.get("ss_base_model_version"):
        yield "It does not say which kind of base it is for; its layers do."
    if not trigger_of(says):
        yield "It does not say its trigger word."


def _magnitudes(header: Header) -> Iterator[tuple[tuple[int, ...], int]]:
    """The shape of each magnitude, and how many outputs its layer has."""
    for name, tensor in header.tensors.items():
        module, _, role = name.removesuffix(".weight").rpartition(".")
        ups = (header.tensors.get(f"{module}.lora_{half}.weight") for half in ("up", "B"))
        if role in ("dora_scale", "lora_magnitude_vector") and (up := next(filter(None, ups), None)):
            yield tensor.shape, up.shape[0]


def _listed(counted: Counter[int] | Counter[float]) -> str:
    values = sorted(counted)
    return ", ".join(f"{value:g}" for value in values[:5]) + (" and more" if len(values) > 5 else "")
