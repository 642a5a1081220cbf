"""The layers of a LoKr as a file has them, for a run that goes on from it; whoever draws has them multiplied out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED
from lora_gui.formats import lycoris
from lora_gui.formats.dialects.dialect import Dialect
from lora_gui.formats.lora_file import Kronecker, Layers, LayerTensors, Shapes, other_sizes
from lora_gui.formats.naming import in_base
from lora_gui.formats.spelling import canonical

if TYPE_CHECKING:
    import torch

    from lora_gui.facts import Facts


def taken(tensors: dict[str, torch.Tensor], dialect: Dialect, facts: Facts, shapes: Shapes | None) -> Layers:
    """The layers of a LoKr among `tensors`, out of which they are taken.

    Raises UserError where they do not fit the base, or are of a kind that does not learn here: with the first factor a
    product too, with a Tucker core, with magnitudes, or for layers that the base has apart.
    """
    found: dict[str, LayerTensors] = {}
    for name in list(tensors):
        module, role = lycoris.role_of(name, tensors[name].ndim)
        if role.startswith("lokr"):
            found.setdefault(module, {})[role] = tensors.pop(name)
    modules = {canonical(f"{module}.lora_down.weight"): module for module in found}
    layers: Layers = {}
    for key, (names, _) in dialect.places(modules, facts, shapes).items():
        module = modules[key]
        alpha = tensors.pop(f"{module}.alpha", None)
        known = alpha is not None and bool(alpha.isfinite())  # what is infinite counts for nothing, see `idle_alphas`
        layer = Kronecker.of(found.pop(module), float(alpha) if alpha is not None and known else None)
        is_dora = {f"{module}.dora_scale", f"{module}.lora_magnitude_vector"} & tensors.keys()
        if layer is None or is_dora or len(names) > 1 or names[0].endswith(SWAPPED):
            raise _unlearnable()
        name = in_base(names[0], shapes)
        if shapes is not None and layer.sides != (shapes[name][0], shapes[name][1:].numel()):
            raise other_sizes()
        layers[name] = layer
    if found:
        raise _unlearnable()
    return layers


def _unlearnable() -> UserError:
    return UserError("This LoKr is of a kind that cannot be trained further here.", "Begin anew.")
