"""Convert a LoRA file to another dialect without loss, read back and compared before it counts as done."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from lora_gui import families, files
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import all_tensors, dialects, lycoris, peft_settings
from lora_gui.formats.architecture import FIELDS
from lora_gui.formats.edit import LEGACY
from lora_gui.formats.header import checked, entries, read_header
from lora_gui.formats.identify import identify
from lora_gui.formats.lora_file import Layer, Layers
from lora_gui.formats.metadata import with_hashes, with_trigger
from lora_gui.protocol.events import Done, Event, Phase
from lora_gui.protocol.jobs import ConvertJob

_ARGS = ("dora_wd", "dropout", "rank_dropout", "module_dropout", "loraplus_lr_ratio")  # of kohya, for plain LoRAs too


def convert(job: ConvertJob) -> Iterator[Event]:
    """Write the LoRA of `job.file` in the dialect `job.to`. Raises UserError, and writes nothing, where not."""
    source, out = Path(job.file), Path(job.out)
    yield Phase(f"Reading {source.stem}")
    header, known = read_header(source), families.facts()
    key, dialect = identify(header, known.values())
    fields = with_trigger(_fields(source) if job.fields is None else job.fields)
    tensors = all_tensors.read(source)
    layers = dialects.parse(tensors, header.metadata, dialect, None, known[key])
    if layers and lycoris.factored({name: one.shape for name, one in header.tensors.items()}):
        fields = _of_plain(fields, layers)
    dtype = Counter(value.dtype for value in tensors.values() if value.ndim > 1).most_common(1)[0][0]
    written = _in_one_dtype(dialects.build(layers, known[key], job.to), dtype)
    data = known_file(written, fields, known[key], job.to)
    if not data or not _equivalent(layers, dialects.parse(from_bytes(data), {}, job.to, None, known[key])):
        raise UserError(f"{source.stem} would not be the same LoRA as a {job.to} file.", "Keep it as it is.")
    yield Phase(f"Writing {out.name}")
    files.write_bytes(out, data)
    digest = hashlib.sha256(data).hexdigest()
    if files.sha256(out) != digest:
        raise UserError(f"{out.name} reads differently from what was written.", "Check the disk, then try again.")
    yield Done(lora=str(out), sha256=digest)


def _fields(source: Path) -> dict[str, str]:
    """The header fields of a file that are true in any dialect."""
    with open(source, "rb") as file:
        _, said, _ = entries(file, source.name, source.stat().st_size)
    return {name: value for name, value in said.items() if name not in (peft_settings.FIELD, LEGACY)}


def _of_plain(fields: dict[str, str], layers: Layers) -> dict[str, str]:
    """What a trainer said of the factors of a LyCORIS file, as it is of the plain halves that they have become."""
    rank, alpha = Counter((layer.rank, layer.alpha) for layer in layers.values()).most_common(1)[0][0]
    args: object = None
    with contextlib.suppress(ValueError, RecursionError):
        args = json.loads(fields.get("ss_network_args", ""))
    kept = {name: text for name, text in args.items() if name in _ARGS} if isinstance(args, dict) else {}
    plain = {"module": "networks.lora", "args": json.dumps(kept), "dim": str(rank), "alpha": f"{alpha:g}"}
    said = {f"ss_network_{name}": text for name, text in plain.items() if f"ss_network_{name}" in fields}
    architecture = re.sub(r"/(locon|loha|lokr|lycoris)$", "/lora", fields.get(FIELDS[0], ""))
    return fields | said | ({FIELDS[0]: architecture} if architecture else {})


def known_file(tensors: dict[str, torch.Tensor], fields: dict[str, str], facts: Facts, dialect: str) -> bytes:
    """The file, taken for what it is when it is read; empty where it never is.

    The names of few layers tell the family in one dialect and not in another: there the header says it.
    """
    for said in ({}, {FIELDS[0]: facts.architecture}):
        data = with_hashes(to_bytes(tensors, fields | said))
        with contextlib.suppress(UserError):  # nothing tells what it is
            header = checked(io.BytesIO(data), "", len(data))
            if identify(header, families.facts().values()) == (facts.key, dialect):
                return data
    return b""


def _in_one_dtype(tensors: dict[str, torch.Tensor], source: torch.dtype) -> dict[str, torch.Tensor]:
    """All in the dtype of the source file, where that represents every value exactly, else in fp32; none shares memory.

    What is stored in 8 bits is written in 16, which every program reads.
    """
    wanted = torch.float16 if source.itemsize == 1 else source
    exact = all(torch.equal(value.to(wanted).float(), value) for value in tensors.values())
    dtype = wanted if exact and source.itemsize < torch.float32.itemsize else torch.float32
    return {name: value.to(dtype, copy=True, memory_format=torch.contiguous_format) for name, value in tensors.items()}


def _equivalent(one: Layers, two: Layers) -> bool:
    """Whether two LoRAs update every layer alike; layers without effect may be absent."""
    working = {name for name, layer in one.items() if layer.magnitude is not None or layer.up.any()}
    return working <= two.keys() <= one.keys() and all(_same_effect(one[name], two[name]) for name in working)


def _same_effect(one: Layer, two: Layer) -> bool:
    """Whether both map a random input to the same output; fusing may have rearranged their values."""
    probe = torch.randn(one.down[0].numel(), generator=torch.Generator().manual_seed(0))
    first, second = (
        layer.alpha / layer.rank * (layer.up.flatten(1) @ (layer.down.flatten(1) @ probe)) for layer in (one, two)
    )
    if (one.magnitude is None) != (two.magnitude is None):
        return False
    same_magnitudes = one.magnitude is None or two.magnitude is None or torch.equal(one.magnitude, two.magnitude)
    return same_magnitudes and torch.allclose(first, second, rtol=1e-4, atol=1e-5 * float(first.abs().max()))
