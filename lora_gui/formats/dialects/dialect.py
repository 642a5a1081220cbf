"""A dialect of LoRA files described by its names, and how files of any so described are parsed and built."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED
from lora_gui.formats.dialects import fused
from lora_gui.formats.leftover import T5, too_much
from lora_gui.formats.lora_file import (
    Kronecker,
    Layer,
    Layers,
    LayerTensors,
    Shapes,
    check_shapes,
    layer_from,
    other_sizes,
    unknown_layers,
)
from lora_gui.formats.magnitude import UNFIT, over_inputs
from lora_gui.formats.naming import TEXT_LAYERS, Translation, in_base, in_file, is_text
from lora_gui.formats.spelling import QKV

if TYPE_CHECKING:
    import torch

    from lora_gui.facts import Facts

_SQUARE = re.compile(r"unet\.(?:.+\.)?(?:conv[12]?|conv_in|conv_out)")  # kernels of 3 x 3
_POINT = re.compile(r"unet\..+\.conv_shortcut")
_ENDS = re.compile(r"unet\..+\.attentions\.\d+\.proj_(?:in|out)")
_ROUNDED = 0.01  # by which the same update may differ in a file of 16 bits
Place = tuple[tuple[str, ...], str]  # the layers a tensor is for, and its role in them
Prefixes = dict[str, tuple[str, ...]]  # part to the prefixes of its layers' names, the written one first


@dataclass(frozen=True)
class Dialect:
    """`suffixes` map the suffix of a tensor's name to the role it has in a layer: down, up, alpha or magnitude; the
    first suffix of a role is the written one."""

    prefixes: Callable[[Facts], Prefixes]
    suffixes: dict[str, str]
    separator: str = "."  # within a module path
    by_checkpoint: Callable[[Facts], bool] = lambda facts: False  # whether written with the checkpoint's module paths
    folds_alpha: bool = False  # whether alpha / rank is folded into `up`, and alpha not written
    alpha_of: Callable[[str, dict[str, str], int], float | None] = lambda name, metadata, rank: None  # by the header

    def parse(
        self, tensors: dict[str, torch.Tensor], metadata: dict[str, str], facts: Facts, shapes: Shapes | None = None
    ) -> Layers:
        """The LoRA in `tensors`, for a base whose layers are `shapes`, or for none in particular.

        Tensors that have no place among its layers are left out; `unplaced` names them. Raises UserError where these
        are too many, and where tensors do not fit their layers or appear twice.
        """
        found: dict[tuple[str, ...], LayerTensors] = {}
        places = self.places(tensors, facts, shapes)
        if too_much(unknown := [key for key in tensors if key not in places], len(tensors)):
            raise unknown_layers(unknown, len(tensors))
        for key, (names, role) in places.items():
            if role in found.setdefault(names, {}):
                raise _twice(key)
            found[names][role] = tensors[key]
        over = self._over_inputs(found.values())
        layers: Layers = {}
        for names, roles in found.items():
            own = [in_base(name.rstrip(SWAPPED), shapes) for name in names]
            stored = layer_from(roles, partial(self.alpha_of, own[0], metadata), over)
            stored = _swapped(stored) if names[0].endswith(SWAPPED) else stored
            stored = _reshaped(stored, shapes[own[0]][1:] if shapes else _inputs_by_name(stored, own[0], facts))
            for name, layer in _split(own, stored, facts, shapes):
                if name in layers and not _same(layers[name], layer):
                    raise _twice(name)
                layers[name] = layers.get(name, layer)
        if shapes is not None:
            check_shapes(layers, shapes)
        return layers

    def _over_inputs(self, found: Iterable[LayerTensors]) -> bool:
        """Whether the magnitudes of a file are those of inputs. Raises UserError where they cannot be told."""
        dora = (roles for roles in found if {"magnitude", "up"} <= roles.keys() and roles["up"].ndim)
        over = over_inputs(((roles["magnitude"].shape, roles["up"].shape[0]) for roles in dora), self.folds_alpha)
        if over is None:
            raise UserError(UNFIT, "Ask its maker for a plain LoRA.")
        return over

    def unplaced(self, keys: Collection[str], facts: Facts, shapes: Shapes | None = None) -> list[str]:
        """The tensors of a file, by their names, that `parse` leaves out."""
        places = self.places(keys, facts, shapes)
        return [key for key in keys if key not in places]

    def places(self, keys: Collection[str], facts: Facts, shapes: Shapes | None = None) -> dict[str, Place]:
        """The layers and the role of each tensor that has a place; what stands alone has none."""
        translation = Translation(self._pairs(facts, shapes))
        places: dict[str, Place] = {}
        for key in keys:
            suffix = next((suffix for suffix in self.suffixes if key.endswith(f".{suffix}")), "")
            module = key.removesuffix(f".{suffix}")
            names = () if T5.fullmatch(module) else translation.of(module) or self._dotted(module, facts)
            if suffix and names and all(in_base(name.rstrip(SWAPPED), shapes) for name in names):
                places[key] = names, self.suffixes[suffix]
        adapted = {names for names, role in places.values() if role in ("down", "up")}
        return {key: place for key, place in places.items() if place[0] in adapted}

    def build(self, layers: Layers, facts: Facts) -> dict[str, torch.Tensor]:
        """The tensors of a file in fp32. Raises UserError where a layer has no name in this dialect."""
        suffixes = {role: suffix for suffix, role in reversed(self.suffixes.items())}
        tensors: dict[str, torch.Tensor] = {}
        for module, layer in self._fused(layers, facts):
            if isinstance(layer, Kronecker):
                tensors |= layer.in_file(module, self.folds_alpha)
                continue
            tensors[f"{module}.{suffixes['down']}"] = layer.down
            scale = layer.alpha / layer.rank if self.folds_alpha else 1.0
            tensors[f"{module}.{suffixes['up']}"] = layer.up if scale == 1.0 else layer.up * scale
            if not self.folds_alpha:
                tensors[f"{module}.{suffixes['alpha']}"] = layer.down.new_tensor(layer.alpha)
            if layer.magnitude is not None:
                tensors[f"{module}.{suffixes['magnitude']}"] = layer.magnitude.view(self._magnitude(layer))
        return tensors

    def _magnitude(self, layer: Layer) -> list[int]:
        """Shape of a magnitude: (out, 1, ...) in kohya's files, (out,) in peft's, (1, out, 1, 1) of convolutions; of
        inputs (1, in, ...). Raises UserError where that is none of peft's."""
        ones = [1] * (layer.down.ndim - 2)
        if self.folds_alpha and layer.over_inputs:
            raise UserError("This LoRA is a DoRA over inputs, which diffusers does not read.", "Keep it as it is.")
        if self.folds_alpha:
            return [1, -1, *ones] if ones else [-1]
        return [1, -1, *ones] if layer.over_inputs else [-1, 1, *ones]

    def _pairs(self, facts: Facts, shapes: Shapes | None) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every name a layer can have in a file, and the module paths it adapts: several where it is fused."""
        for part, prefixes in self.prefixes(facts).items():
            mapped = {} if is_text(part) else facts.checkpoint_names
            several = [(path, names) for path, names in mapped.items() if len(names) > 1]  # which OneTrainer numbers
            mapped = mapped | {path + QKV: names[:3] for path, names in several if len(names) > 3}
            mapped |= {f"{path}.{n}": (name,) for path, names in several for n, name in enumerate(names)}
            own = [name.rstrip(SWAPPED) for names in mapped.values() for name in names] or TEXT_LAYERS
            known = [in_file(name).partition(".")[2] for name in shapes or () if name.startswith(f"{part}.")]
            paths = mapped | {path: (path,) for path in (*own, *known)}
            for prefix in prefixes:
                for path, names in paths.items():
                    yield prefix + path.replace(".", self.separator), tuple(f"{part}.{name}" for name in names)

    def _dotted(self, module: str, facts: Facts) -> tuple[str, ...]:
        """The base's module path of a layer, where the file has it as it is."""
        for part, prefixes in self.prefixes(facts).items():
            for prefix in prefixes:
                if self.separator == "." and module.startswith(prefix):
                    return (f"{part}.{module.removeprefix(prefix)}",)
        return ()

    def _fused(self, layers: Layers, facts: Facts) -> Iterator[tuple[str, Layer]]:
        """The layers of a file by their names there; those the checkpoint fuses, such as qkv, are fused."""
        prefixes = self.prefixes(facts)
        fused_in = facts.checkpoint_names.items()
        back = Translation((own.rstrip(SWAPPED), (path, *all)) for path, all in fused_in for own in all)
        groups: dict[tuple[str, ...], dict[str, Layer]] = {}
        for name, layer in layers.items():
            part, _, path = in_file(name).partition(".")
            if part not in prefixes:
                raise _nameless(name)
            named: tuple[str, ...] = (path, path)
            if self.by_checkpoint(facts) and not is_text(part):
                named = back.of(path)
                if not named:
                    raise _nameless(name)
            groups.setdefault((part, *named), {})[path] = layer
        for (part, path, *own), found in groups.items():
            module = prefixes[part][0] + path.replace(".", self.separator)
            if len(own) > 1:
                first = next(iter(found.values()))
                outs = [found[name].up.shape[0] if name in found else _out(name, first, facts) for name in own]
                yield module, fused.fuse([found.get(name) for name in own], outs)
            else:
                layer = found[own[0].rstrip(SWAPPED)]
                yield module, _swapped(layer) if own[0].endswith(SWAPPED) else layer


def _split(
    names: list[str], layer: Layer, facts: Facts, shapes: Shapes | None
) -> Iterator[tuple[str, Layer]]:
    """The layers of the base that one of a file stands for."""
    if len(names) == 1:
        yield names[0], layer
        return
    outs = [shapes[name][0] if shapes else _out(name, layer, facts) for name in names]
    if layer.up.ndim != 2 or layer.down.ndim != 2 or sum(outs) != layer.up.shape[0]:
        raise other_sizes()
    for name, part in zip(names, fused.split(layer, outs), strict=True):
        if part is not None:
            yield name, part


def _kernel(name: str, facts: Facts) -> int:
    """Side of a layer's kernel where no base is at hand, by what its name says in a U-Net; 0 is none, or not known.

    Of the U-Nets of Stable Diffusion that whose kohya files have diffusers' names goes in and out of its transformers
    by convolutions.
    """
    if _SQUARE.fullmatch(name):
        return 3
    convolved = bool(facts.prefixes) and not facts.kohya_has_checkpoint_names and _ENDS.fullmatch(name)
    return 1 if convolved or _POINT.fullmatch(name) else 0


def _inputs_by_name(layer: Layer, name: str, facts: Facts) -> Sequence[int]:
    """The shape of a layer's weight without its outputs, as far as the layer and its name tell."""
    inputs, side = layer.down.shape[1:], _kernel(name, facts)
    return (inputs[0] // side**2, side, side) if side and len(inputs) == 1 and not inputs[0] % side**2 else inputs


def _reshaped(layer: Layer, inputs: Sequence[int]) -> Layer:
    """The layer for a weight of these inputs, (in, k, k), where a file has its kernel flattened, as LyCORIS does."""
    same = layer.down.ndim == len(inputs) + 1 or layer.down[0].numel() != math.prod(inputs)
    if same or layer.up[0, 0].numel() != 1:
        return layer
    up = layer.up.reshape(*layer.up.shape[:2], *[1] * (len(inputs) - 1))
    return replace(layer, down=layer.down.reshape(-1, *inputs), up=up)


def _out(name: str, layer: Layer, facts: Facts) -> int:
    """Output features of a layer that the checkpoint fuses with `layer`, which has the same input features."""
    return facts.widths.get(name.rpartition(".")[2], 1) * layer.down.shape[1]


def _swapped(layer: Layer) -> Layer:
    """The layer with the halves of its outputs swapped; one whose outputs are no pair is the same in the checkpoint."""
    return fused.halves_swapped(layer) if layer.up.shape[0] == 2 * layer.down.shape[1] else layer


def _same(one: Layer, two: Layer) -> bool:
    """Whether two layers do the same: some files have q, k and v beside what fuses them."""
    if one.magnitude is not None or two.magnitude is not None:
        return False
    first, second = one.delta(), two.delta()
    return first.shape == second.shape and bool((first - second).norm() <= _ROUNDED * first.norm())


def _twice(name: str) -> UserError:
    return UserError(f"This LoRA says twice what it does to {name[:80]}.", "Get another copy of it.")


def _nameless(name: str) -> UserError:
    return UserError(f"{name[:80]} has no name in this kind of LoRA file.", "Choose the diffusers kind.")
