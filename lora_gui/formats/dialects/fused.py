"""Fuse the adapters of several layers into one and split them again, as checkpoints hold query, key and value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats.lora_file import Layer

if TYPE_CHECKING:
    import torch


def fuse(layers: list[Layer | None], outs: list[int]) -> Layer:
    """One layer with the updates of `layers`, each on its own `outs` output rows; None is no update.

    `down` is concatenated, `up` block-diagonal: where all have the same rank and alpha, every value stays as it is.
    Raises UserError where some are DoRAs and others are absent, and where they are DoRAs over inputs.
    """
    import torch  # here, so that names are told without it

    there = [layer for layer in layers if layer is not None]
    first = there[0]
    _check(first)
    magnitudes = [layer.magnitude for layer in there if layer.magnitude is not None]
    if magnitudes and len(magnitudes) < len(layers):
        raise UserError(
            "This LoRA is a DoRA on some of query, key and value only, which this kind of file cannot say.",
            "Choose the diffusers kind.",
        )
    alike = len({(layer.rank, layer.alpha) for layer in there}) == 1
    downs, ups = [], []
    for layer, out in zip(layers, outs, strict=True):
        rank = first.rank if alike else 0
        downs.append(first.down.new_zeros(rank, first.down.shape[1]) if layer is None else layer.down)
        if layer is None:
            ups.append(first.up.new_zeros(out, rank))
        else:
            ups.append(layer.up if alike else layer.up * (layer.alpha / layer.rank))
    return Layer(
        down=torch.cat(downs),
        up=torch.block_diag(*ups),
        alpha=len(layers) * first.alpha if alike else float(sum(layer.rank for layer in there)),
        magnitude=torch.cat(magnitudes) if magnitudes else None,
    )


def split(layer: Layer, outs: list[int]) -> list[Layer | None]:
    """The updates of the layers fused into one, each of its own `outs` output rows; None where there is none.

    Where `up` is block-diagonal, `down` is split into the same blocks, else every layer has the whole of it. Raises
    UserError where it is a DoRA over inputs.
    """
    _check(layer)
    rows = layer.up.split(outs)
    columns = _blocks(rows) or [slice(0, layer.rank)] * len(outs)
    magnitudes = [None] * len(outs) if layer.magnitude is None else list(layer.magnitude.split(outs))
    parts: list[Layer | None] = []
    for up, own, magnitude in zip(rows, columns, magnitudes, strict=True):
        part = Layer(layer.down[own], up[:, own], layer.alpha * (own.stop - own.start) / layer.rank, magnitude)
        absent = magnitude is None and not part.up.any() and not part.down.any()  # `fuse` put zeros for it
        parts.append(None if absent else part)
    return parts


def _check(layer: Layer) -> None:
    """The norm of an input's weights is over all that is fused, of which a layer apart knows nothing."""
    if layer.over_inputs:
        what = "This LoRA is a DoRA over inputs, of layers that are fused in one kind of file and apart in the other."
        raise UserError(what, "Keep it as it is, or use a plain LoRA.")


def _blocks(rows: tuple[torch.Tensor, ...]) -> list[slice] | None:
    """The columns of `up` that only one part uses, for each part in order; None where `up` is not block-diagonal."""
    import torch

    used = torch.stack([part.ne(0).any(dim=0) for part in rows])  # (parts, rank)
    count, rank = used.shape
    if rank % count == 0:
        each = rank // count
        diagonal = torch.eye(count, dtype=torch.bool).repeat_interleave(each, dim=1)
        if not (used & ~diagonal.to(used.device)).any():
            return [slice(n * each, (n + 1) * each) for n in range(count)]
    if not used.any() or (used.sum(dim=0) > 1).any():
        return None
    blocks, begin = [], 0
    for part in used:
        end = max(begin, int(part.nonzero().max()) + 1) if part.any() else begin
        if used[:, begin:end].sum() > part[begin:end].sum():
            return None  # columns of another part lie between
        blocks.append(slice(begin, end))
        begin = end
    return blocks


def halves_swapped(layer: Layer) -> Layer:
    """The layer with the two halves of its outputs swapped."""
    import torch

    magnitude = layer.magnitude
    return Layer(
        layer.down,
        torch.cat(layer.up.chunk(2)[::-1]),
        layer.alpha,
        magnitude if magnitude is None or layer.over_inputs else torch.cat(magnitude.chunk(2)[::-1]),
    )
