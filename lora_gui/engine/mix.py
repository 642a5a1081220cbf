"""Several LoRAs with their strengths as one: their factors beside each other, or of a smaller rank by an SVD.

Never peft's `linear`, which adds the A's and the B's apart from each other and so is no weighted sum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load as from_bytes

from lora_gui import families, files
from lora_gui.engine.convert import known_file
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import dialects
from lora_gui.formats.header import RANK_LIMIT, Header, read_header
from lora_gui.formats.identify import identify
from lora_gui.formats.lora_file import Layer, Layers, other_sizes
from lora_gui.formats.metadata import trigger_of, with_trigger
from lora_gui.formats.strengths import strength_in
from lora_gui.protocol.events import Done, Event, Mixed, Phase
from lora_gui.protocol.jobs import MixJob
from lora_gui.settings import StackEntry

# header fields that stay where all LoRAs say the same
_COMMON = ("modelspec.architecture", "modelspec.resolution", "modelspec.prediction_type", "ss_base_model_version",
           "ss_sd_model_name", "ss_v2", "lora_studio.base")  # fmt: skip

_PROBES = 8  # a layer of rank 1 hardly answers one that happens to stand at a right angle to it
_KINDS = ((torch.float16, 2e-3), (torch.float32, 1e-5))  # of values in a file, and how far it may be off


def mix(job: MixJob) -> Iterator[Event]:
    """Write what the LoRAs of a stack do together as one LoRA, read back and compared before it counts as done.

    Raises UserError, and writes nothing, where they cannot be one.
    """
    headers, parts = [], []
    for entry in job.stack:
        path = Path(entry.lora)
        yield Phase(f"Reading {path.stem}")
        headers.append(read_header(path))
        facts = families.facts()[identify(headers[-1], families.facts().values())[0]]
        parts.append(_scaled(path, entry, dialects.read(path, None, facts, families.facts().values())))
    yield Phase("Mixing")
    exact = concatenated(parts)
    layers, kept = compressed(exact, job.rank) if job.rank else (exact, 1.0)
    _check_rank(layers)
    data = _file(layers, _fields(job, headers, layers), facts, bool(job.rank))
    out = Path(job.out)
    yield Phase(f"Writing {out.name}")
    files.write_bytes(out, data)
    digest = hashlib.sha256(data).hexdigest()
    if files.sha256(out) != digest:
        raise UserError(f"{out.name} reads differently from what was written.", "Check the disk, then try again.")
    yield Mixed(kept, max(layer.rank for layer in layers.values()), len(layers), len(data))
    yield Done(lora=str(out), sha256=digest)


def _scaled(path: Path, entry: StackEntry, layers: Layers) -> Layers:
    """The layers with the strength of each folded into `up`; those of strength 0 are left out. Refuses DoRAs."""
    if any(layer.magnitude is not None for layer in layers.values()):
        what = f"{path.stem} is a DoRA: what it does depends on the base, so it cannot become part of a mix."
        raise UserError(what, "Leave it out of the mix, and keep it beside the mix in the stack.")
    found = {}
    for name, layer in layers.items():
        if scale := strength_in(entry, name) * layer.alpha / layer.rank:
            found[name] = Layer(layer.down, layer.up * scale, float(layer.rank))
    return found


def concatenated(parts: list[Layers]) -> Layers:
    """The exact sum of LoRAs whose alpha is their rank: the downs below each other, the ups side by side."""
    found: dict[str, list[Layer]] = {}
    for layers in parts:
        for name, layer in layers.items():
            found.setdefault(name, []).append(layer)
    return {name: _joined(several) for name, several in found.items()}


def _joined(layers: list[Layer]) -> Layer:
    widest = max(layers, key=lambda layer: layer.down.ndim).down.shape[1:]  # some files have kernels flattened
    outs = layers[0].up.shape[0]
    if any(one.down[0].numel() != widest.numel() or one.up.shape[0] != outs for one in layers):
        raise other_sizes()
    ones = [1] * (len(widest) - 1)
    down = torch.cat([one.down.reshape(-1, *widest) for one in layers])
    up = torch.cat([one.up.reshape(outs, -1, *ones) for one in layers], dim=1)
    return Layer(down, up, float(down.shape[0]))


def compressed(layers: Layers, rank: int) -> tuple[Layers, float]:
    """The nearest LoRA of `rank` (Eckart and Young 1936), and the share of the squared norm that it keeps."""
    made, kept, total = {}, 0.0, 0.0
    for name, layer in layers.items():
        made[name], energy, whole = _truncated(layer, rank)
        kept, total = kept + energy, total + whole
    return made, kept / total if total else 1.0


def _truncated(layer: Layer, rank: int) -> tuple[Layer, float, float]:
    """By the SVD of R_B R_A^T of the QR of both factors, which is no larger than the rank that there is."""
    q_up, r_up = torch.linalg.qr(layer.up.flatten(1))  # (out, k), (k, R)
    q_down, r_down = torch.linalg.qr(layer.down.flatten(1).T)  # (in, m), (m, R)
    left, values, right = torch.linalg.svd(r_up @ r_down.T, full_matrices=False)
    squared = values.double() ** 2
    count = max(1, min(rank, len(values)))
    root = values[:count].sqrt()
    up, down = q_up @ (left[:, :count] * root), (q_down @ (right[:count].T * root)).T
    ones = [1] * (layer.up.ndim - 2)
    made = Layer(down.reshape(count, *layer.down.shape[1:]).contiguous(), up.reshape(-1, count, *ones), float(count))
    return made, float(squared[:count].sum()), float(squared.sum())


def _check_rank(layers: Layers) -> None:
    if not layers:
        raise UserError("At these strengths nothing is left to be mixed.", "Choose strengths other than 0.")
    if (most := max(layer.rank for layer in layers.values())) > RANK_LIMIT // 3:  # checkpoints may fuse three layers
        raise UserError(f"The mix would have rank {most}, more than other programs read.", "Choose a smaller rank.")


def _file(layers: Layers, fields: dict[str, str], facts: Facts, is_rounded: bool) -> bytes:
    """The mix as a file; one that was rounded to a rank in 16 bits, where these hold it. Raises UserError."""
    tensors = dialects.build(layers, facts)
    if not all(bool(one.isfinite().all()) for one in tensors.values()):
        raise UserError("Mixed so, the values become too large for a file.", "Choose lower strengths.")
    for dtype, tolerance in _KINDS if is_rounded else _KINDS[1:]:
        written = {name: one.to(dtype).contiguous() for name, one in tensors.items()}
        data = known_file(written, fields, facts, facts.dialects[0])
        if data and _is_same(layers, data, facts, tolerance):
            return data
    raise UserError("The mix would not be the same as a file.", "Keep the LoRAs apart, in the stack.")


def _is_same(layers: Layers, data: bytes, facts: Facts, tolerance: float) -> bool:
    """Whether the file maps random inputs as the mix does."""
    back = dialects.parse(from_bytes(data), {}, facts.dialects[0], None, facts)
    for name, layer in layers.items():
        probe = torch.randn(layer.down[0].numel(), _PROBES, generator=torch.Generator().manual_seed(0))
        wanted = layer.up.flatten(1) @ (layer.down.flatten(1) @ probe)
        other = back.get(name)
        got = torch.zeros_like(wanted) if other is None else other.delta().flatten(1) @ probe
        if not torch.allclose(got, wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max())):
            return False
    return True


def _fields(job: MixJob, headers: list[Header], layers: Layers) -> dict[str, str]:
    """The header of the mix: what its LoRAs agree on, their triggers, and what it was made of."""
    says = [header.metadata for header in headers]
    common = {key: values.pop() for key in _COMMON if len(values := {one.get(key, "") for one in says}) == 1}
    triggers = list(dict.fromkeys(filter(None, map(trigger_of, says))))
    ranks = max(layer.rank for layer in layers.values())
    parents = [
        {"name": Path(entry.lora).stem, "strength": entry.strength, "hash": one.get("sshs_model_hash", "")}
        for entry, one in zip(job.stack, says, strict=True)
    ]
    own = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.implementation": "diffusers",
        "modelspec.title": job.name,
        "modelspec.trigger_phrase": ", ".join(triggers),
        "modelspec.merged_from": ", ".join(str(one["name"]) for one in parents),
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(ranks),
        "ss_network_alpha": str(ranks),
        "ss_output_name": job.name,
        "studio.parent_loras": json.dumps(parents, ensure_ascii=False),
    }
    return with_trigger({key: value for key, value in (common | own).items() if value})
