"""A limit to how much a layer may change the base: larger ones are scaled down after each step, both halves alike.

Max norm regularisation (Srivastava et al. 2014, section 5.1) as kohya's scale_weight_norms has it. The Frobenius norm
comes from the factors: |B A|^2 is the sum of (B^T B) * (A A^T), so that no product as large as the layer is made.
"""

from __future__ import annotations

import torch

from lora_gui.engine.train.adapter import Masters


class NormLimit:
    """Of one run; of a `limit` of 0 it does nothing."""

    def __init__(self, masters: list[Masters], limit: float) -> None:
        self._masters = [one for one in masters if one.scales] if limit else []
        self._limit, self._applied = limit, False
        self._scales = [torch.tensor(one.scales, device=one.flat.device) for one in self._masters]
        self._held = [torch.zeros((), dtype=torch.int64, device=one.flat.device) for one in self._masters]

    @torch.no_grad()
    def apply(self) -> None:
        """Scale down what is beyond the limit; what is not keeps its bits."""
        self._applied = True
        for one, scales, held in zip(self._masters, self._scales, self._held, strict=True):
            layers, square = one.by_layer(one.flat.data), _of_product if one.of_products else _square
            norms = torch.stack([square(*weights) for weights in layers]).sqrt() * scales
            held.copy_((norms > self._limit).sum())
            for share, weights in zip((self._limit / norms.clamp(min=self._limit)).unbind(), layers, strict=True):
                for weight in weights:
                    weight.mul_(share ** (1 / len(weights)))

    def said(self) -> str:
        """A sentence on how many the last step held; empty where there is none or no step. Waits for the device."""
        if not self._masters or not self._applied:
            return ""
        held, layers = sum(int(one) for one in self._held), sum(len(one.scales) for one in self._masters)
        return f"Of {layers} layers {held} were scaled down to the largest norm of {self._limit:g} in the last step."


def _square(down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """Of the norm of a layer's update, ()."""
    down, up = down.flatten(1), up.flatten(1)
    return ((up.t() @ up) * (down @ down.t())).sum().clamp(min=0)


def _of_product(*factors: torch.Tensor) -> torch.Tensor:
    """Likewise of a LoKr: |kron(C, B)|^2 = |C|^2 |B|^2."""
    *second, first = factors
    return (_square(*second) if len(second) > 1 else second[0].square().sum()) * first.square().sum()
