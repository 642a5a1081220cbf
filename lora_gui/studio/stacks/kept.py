"""How much of a stack a mix of a smaller rank would keep, told by the factors alone, before anything is saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats.factors import Array, Factor, fits, read_factors
from lora_gui.formats.strengths import strength_in
from lora_gui.settings import StackEntry
from lora_gui.studio.things.loras import of_one_family

RANKS = (4, 8, 16, 32, 64, 128)  # that are looked at where they are smaller than that of the exact mix


@dataclass(frozen=True)
class Kept:
    """`shares` are those of the stack's squared norm by rank; `exact` is the rank at which all of it is kept."""

    shares: dict[int, float]
    exact: int


def kept(stack: tuple[StackEntry, ...], ranks: tuple[int, ...] = RANKS) -> Kept:
    """What mixes of these ranks would keep. Raises UserError where the LoRAs have no plain factors, are DoRAs or hold
    values that are no numbers."""
    known = of_one_family([Path(entry.lora) for entry in stack], "mixed")
    facts = families.facts_of(known[0].family)
    read = [read_factors(one.path, facts, one.dialect) for one in known]
    if dora := next((one.name for one, (_, is_dora) in zip(known, read, strict=True) if is_dora), ""):
        raise UserError(f"{dora} is a DoRA, which cannot become part of a mix.", "Leave it out of the mix.")
    total, exact, found = 0.0, 0, dict.fromkeys(ranks, 0.0)
    for name in dict.fromkeys(name for factors, _ in read for name in factors):
        scaled = [
            (lora.name, factors[name], strength_in(entry, name))
            for lora, entry, (factors, _) in zip(known, stack, read, strict=True)
            if name in factors and strength_in(entry, name)
        ]
        if odd := next((called for called, one, _ in scaled if not math.isfinite(one.norm)), ""):
            raise UserError(f"Some values of {odd} are not numbers, so it would spoil every drawing.", "Leave it out.")
        if not scaled:
            continue
        squared = _squared_values([one for _, one, _ in scaled], [strength for *_, strength in scaled])
        total, exact = total + float(squared.sum()), max(exact, len(squared))
        for rank in ranks:
            found[rank] += float(squared[:rank].sum())
    return Kept({rank: value / total if total else 1.0 for rank, value in found.items() if rank < exact}, exact)


def _squared_values(factors: list[Factor], strengths: list[float]) -> Array:
    """The squared singular values of the weighted sum of updates of one layer, the largest first.

    Those of B A are the eigenvalues of B^T B A A^T, and so of L^T (A A^T) L with B^T B = L L^T.
    """
    if not all(fits(one, factors[0]) for one in factors):
        raise UserError("These LoRAs were made for bases of other sizes.", "Leave one of them out.")
    up = np.concatenate([one.up for one in factors], axis=1)  # (outputs, R)
    down = np.concatenate([one.down for one in factors])  # (R, inputs)
    ups, downs = (up.T @ up).astype(np.float64), (down @ down.T).astype(np.float64)
    scales = np.concatenate(
        [np.full(len(one.down), strength * one.scale) for one, strength in zip(factors, strengths, strict=True)]
    )
    values, vectors = np.linalg.eigh(ups * np.outer(scales, scales))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    found: Array = np.maximum(np.linalg.eigvalsh(root.T @ downs @ root)[::-1], 0.0)
    return found
