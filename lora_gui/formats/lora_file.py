"""The one form a LoRA has in memory, which every dialect is parsed into and built from; knows no file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lora_gui.errors import UserError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Layer:
    """The adapter of one layer in fp32: its weight changes by alpha / rank * up @ down (Hu et al. 2021).

    `down` is (rank, in) or (rank, in, k, k), `up` (out, rank) or (out, rank, 1, 1); `magnitude` makes it a DoRA (Liu et
    al. 2024): the norm of each output's weights, (out,), or that of each input's, (1, in).
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

    @property
    def over_inputs(self) -> bool:
        """Whether it is a DoRA whose magnitudes are those of inputs."""
        return self.magnitude is not None and self.magnitude.ndim > 1

    @property
    def changes(self) -> bool:
        """Whether it does anything to a plain layer."""
        return bool(self.up.any())


LOKR = ("lokr_w2_b", "lokr_w2", "lokr_w2_a", "lokr_w1")  # of LyCORIS, in the order of down, up and first


@dataclass(frozen=True)
class Kronecker(Layer):
    """The adapter of one layer as a LoKr (Yeh et al. 2023): kron(first, alpha / rank * up @ down).

    `first` is (a, b), `up` (c, rank) and `down` (rank, d) or (rank, d * k * k), of a layer (a * c, b * d, k, k). Where
    `first` is None no factor is a product: it is kron(up, down) of (a, b) and (c, d, k, k), and alpha counts for
    nothing, as LyCORIS has it.
    """

    first: torch.Tensor | None = None

    @classmethod
    def of(cls, roles: LayerTensors, alpha: float | None) -> Kronecker | None:
        """From tensors by their names in LyCORIS; None where a factor is made in another way."""
        if {*roles} not in ({*LOKR} - {"lokr_w2"}, {"lokr_w2", "lokr_w1"}):
            return None
        down, up, *first = (roles[role] for role in LOKR if role in roles)
        return cls(down, up, float(down.shape[0]) if alpha is None else alpha, None, *first)

    def tensors(self) -> LayerTensors:
        """By their names in LyCORIS, without alpha."""
        factors = [self.down, self.up] if self.first is None else [self.down, self.up, self.first]
        names = LOKR[1::2] if self.first is None else (LOKR[0], *LOKR[2:])
        return dict(zip(names, factors, strict=True))

    def in_file(self, module: str, folds_alpha: bool = False) -> LayerTensors:
        """By their names in a file that calls the layer `module`, with alpha beside them or in them."""
        named = self.folded().tensors() if folds_alpha else self.tensors() | {"alpha": self.down.new_tensor(self.alpha)}
        return {f"{module}.{role}": tensor for role, tensor in named.items()}

    def folded(self) -> Kronecker:
        """The same with an alpha that counts for nothing."""
        if self.first is None or self.alpha == self.rank:
            return self
        return replace(self, up=self.up * (self.alpha / self.rank), alpha=float(self.rank))

    @property
    def sides(self) -> tuple[int, int]:
        """Outputs, and inputs times the kernel."""
        first, outs = (self.up, self.rank) if self.first is None else (self.first, self.up.shape[0])
        return first.shape[0] * outs, first.shape[1] * self.down[0].numel()

    @property
    def changes(self) -> bool:
        return all(bool(one.any()) for one in self.tensors().values())

    def delta(self) -> torch.Tensor:
        """(a * c, b * d) or, where the kernel is not flattened, (a * c, b * d, k, k)."""
        first, second = (self.up, self.down) if self.first is None else (self.first, super().delta())
        return first.view(*first.shape, *[1] * (second.ndim - 2)).kron(second.contiguous())


Layers = dict[str, Layer]  # by part and module path, such as "unet.mid_block.attentions.0.proj_in"
Shapes = dict[str, "torch.Size"]  # of the weights of a base's layers, by the same names
LayerTensors = dict[str, "torch.Tensor"]  # of one layer in a file, by role: down, up, alpha and magnitude


def is_lokr(layers: Layers) -> bool:
    return any(isinstance(layer, Kronecker) for layer in layers.values())


def layer_from(tensors: LayerTensors, alpha_of: Callable[[int], float | None], over_inputs: bool) -> Layer:
    """A layer from its tensors; where there is no alpha among them it is what `alpha_of` its rank says, or the rank.

    Raises UserError where down or up is missing, or they do not match.
    """
    down, up, magnitude = tensors.get("down"), tensors.get("up"), tensors.get("magnitude")
    if down is None or up is None or down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1]:
        raise UserError("In this LoRA the two halves of a layer do not belong together.", "Get a whole copy of it.")
    alpha = float(tensors["alpha"]) if "alpha" in tensors else alpha_of(down.shape[0])
    return Layer(
        down=down.float(),
        up=up.float(),
        alpha=float(down.shape[0]) if alpha is None else alpha,
        magnitude=None if magnitude is None else magnitude.float().reshape((1, -1) if over_inputs else -1),
    )


def check_shapes(layers: Layers, shapes: Shapes) -> None:
    """Raises UserError unless every layer fits the weight it is for."""
    for name, layer in layers.items():
        weight = shapes[name]
        per_input = () if layer.magnitude is None else layer.magnitude.shape[1:]
        if layer.down.shape[1:] != weight[1:] or layer.up.shape[0] != weight[0] or per_input not in ((), weight[1:2]):
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
