"""The one form a LoRA has in memory. Every dialect of files is read into it and written from it; knows no file."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lora_gui.errors import UserError


@dataclass(frozen=True)
class Layer:
    """The LoRA of one layer in fp32: its weight changes by alpha / rank * up @ down.

    `down` is (rank, in) or (rank, in, k, k), `up` (out, rank) or (out, rank, 1, 1); `magnitude`, where there is one,
    makes it a DoRA (Liu et al. 2024) and holds the length of each output's weights, (out,).
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float
    magnitude: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    def delta(self) -> torch.Tensor:
        """What is added to the layer's weight at strength 1, in the weight's own shape."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (self.alpha / self.rank * product).view(self.up.shape[0], *self.down.shape[1:])


Layers = dict[str, Layer]  # by part and module path, such as "unet.mid_block.attentions.0.proj_in"
Shapes = dict[str, torch.Size]  # of the weights of a base's layers, by the same names
Prefixes = dict[str, tuple[str, ...]]  # part to the prefixes it has in kohya files


def from_pieces(pieces: dict[str, dict[str, torch.Tensor]]) -> Layers:
    """Make layers of the tensors `down`, `up`, `alpha` and `magnitude` of each; a missing alpha means the rank.

    Raises UserError where a half is missing or the halves do not fit each other.
    """
    layers = {}
    for name, piece in pieces.items():
        down, up = piece.get("down"), piece.get("up")
        if down is None or up is None or down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1]:
            raise UserError("In this LoRA the two halves of a layer do not belong together.", "Get a whole copy of it.")
        magnitude = piece.get("magnitude")
        layers[name] = Layer(
            down=down.float(),
            up=up.float(),
            alpha=float(piece["alpha"]) if "alpha" in piece else float(down.shape[0]),
            magnitude=None if magnitude is None else magnitude.float().flatten(),
        )
    return layers


def check_shapes(layers: Layers, shapes: Shapes) -> None:
    """Raises UserError unless every layer fits the weight it is for."""
    for name, layer in layers.items():
        weight = shapes[name]
        if layer.down.shape[1:] != weight[1:] or layer.up.shape[0] != weight[0]:
            raise UserError(
                "This LoRA was made for another base: its layers have other sizes.",
                "Draw with the base it was made for.",
            )


def unknown_layers(unknown: list[str], total: int) -> UserError:
    """The refusal of a file of which layers have no place in the base."""
    return UserError(
        f"{len(unknown)} of the {total} tensors of this LoRA have no place in this base, such as {unknown[0][:80]}.",
        "Choose a base of the kind it was made for.",
    )
