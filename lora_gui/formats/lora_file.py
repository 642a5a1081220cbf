"""The one form a LoRA has in memory, which every dialect is parsed into and built from; knows no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.formats.magnitude import OVER_INPUTS, of_outputs

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Layer:
    """The adapter of one layer in fp32: its weight changes by alpha / rank * up @ down (Hu et al. 2021).

    `down` is (rank, in) or (rank, in, k, k), `up` (out, rank) or (out, rank, 1, 1); `magnitude`, (out,), makes it a
    DoRA (Liu et al. 2024): the norm of each output's weights.
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float
    magnitude: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """The inner dimension of the update."""
        return self.down.shape[0]

    def delta(self) -> torch.Tensor:
        """The update of the layer's weight at strength 1, in the weight's own shape."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (self.alpha / self.rank * product).view(self.up.shape[0], *self.down.shape[1:])


Layers = dict[str, Layer]  # by part and module path, such as "unet.mid_block.attentions.0.proj_in"
Shapes = dict[str, "torch.Size"]  # of the weights of a base's layers, by the same names
LayerTensors = dict[str, "torch.Tensor"]  # of one layer in a file, by role: down, up, alpha and magnitude


def layer_from(tensors: LayerTensors, alpha: float | None = None) -> Layer:
    """A layer from its tensors; where there is no alpha among them it is `alpha`, or the rank.

    Raises UserError where down or up is missing, they do not match, or the magnitude is not one per output.
    """
    down, up, magnitude = tensors.get("down"), tensors.get("up"), tensors.get("magnitude")
    if down is None or up is None or down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1]:
        raise UserError("In this LoRA the two halves of a layer do not belong together.", "Get a whole copy of it.")
    if "alpha" in tensors:
        alpha = float(tensors["alpha"])
    return Layer(
        down=down.float(),
        up=up.float(),
        alpha=float(down.shape[0]) if alpha is None else alpha,
        magnitude=None if magnitude is None else _of_outputs(magnitude, up.shape[0]),
    )


def _of_outputs(magnitude: torch.Tensor, out: int) -> torch.Tensor:
    """(out,) of what is (out,), (out, 1) or (out, 1, 1, 1) in kohya files and (1, out, 1, 1) in those of peft."""
    if not of_outputs(magnitude.shape, out):
        raise UserError(OVER_INPUTS, "Ask its maker for a plain LoRA.")
    return magnitude.float().flatten()


def check_shapes(layers: Layers, shapes: Shapes) -> None:
    """Raises UserError unless every layer fits the weight it is for."""
    for name, layer in layers.items():
        weight = shapes[name]
        if layer.down.shape[1:] != weight[1:] or layer.up.shape[0] != weight[0]:
            raise other_sizes()


def other_sizes() -> UserError:
    """The refusal of a file whose layers do not fit the base's."""
    return UserError(
        "This LoRA was made for another base: its layers have other sizes.", "Draw with the base it was made for."
    )


def unknown_layers(unknown: list[str], total: int) -> UserError:
    """The refusal of a file of which layers have no place in the base."""
    return UserError(
        f"{len(unknown)} of the {total} tensors of this LoRA have no place in this base, such as {unknown[0][:80]}.",
        "Choose a base of the kind it was made for.",
    )
