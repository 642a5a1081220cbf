"""How a way of writing LoRA files is described, and how one so described is read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lora_gui.errors import UserError
from lora_gui.facts import SWAPPED
from lora_gui.formats.dialects import fused
from lora_gui.formats.lora_file import (
    Layer,
    Layers,
    Pieces,
    Shapes,
    check_shapes,
    from_pieces,
    other_sizes,
    unknown_layers,
)
from lora_gui.formats.naming import TEXT_LAYERS, Translation, in_base, in_file, is_text

if TYPE_CHECKING:
    from lora_gui.facts import Facts

Prefixes = dict[str, tuple[str, ...]]  # part to what its layers' names begin with, the written first


@dataclass(frozen=True)
class Dialect:
    """`endings` are those of tensors' names, to the piece of a layer each is; the first of a piece is written."""

    prefixes: Callable[[Facts], Prefixes]
    endings: dict[str, str]
    joint: str = "."  # between the words of a path
    originals: Callable[[Facts], bool] = lambda facts: False  # whether layers are written as the original has them
    folds: bool = False  # whether alpha is written into `up`, and so not beside it
    alpha_of: Callable[[str, dict[str, str]], float | None] = lambda name, metadata: None  # by the header

    def parse(
        self, tensors: dict[str, torch.Tensor], metadata: dict[str, str], facts: Facts, shapes: Shapes | None = None
    ) -> Layers:
        """The LoRA in `tensors`, for a base whose layers are `shapes`, or for none in particular.

        Raises UserError where tensors have no place among its layers, do not fit them, or say one thing twice.
        """
        translation = Translation(self._pairs(facts, shapes))
        found: dict[tuple[str, ...], Pieces] = {}
        unknown = []
        for key, tensor in tensors.items():
            ending = next((ending for ending in self.endings if key.endswith(f".{ending}")), "")
            module = key.removesuffix(f".{ending}")
            names = translation.of(module) or self._dotted(module, facts)
            if not ending or not names or not all(in_base(name.rstrip(SWAPPED), shapes) for name in names):
                unknown.append(key)
            elif self.endings[ending] in found.setdefault(names, {}):
                raise _twice(module)
            else:
                found[names][self.endings[ending]] = tensor
        if unknown:
            raise unknown_layers(unknown, len(tensors))
        layers: Layers = {}
        for names, pieces in found.items():
            own = [in_base(name.rstrip(SWAPPED), shapes) for name in names]
            whole = from_pieces(pieces, self.alpha_of(own[0], metadata))
            whole = _turned(whole) if names[0].endswith(SWAPPED) else whole
            for name, layer in _taken_apart(own, whole, facts, shapes):
                if name in layers:
                    raise _twice(name)
                layers[name] = layer
        if shapes is not None:
            check_shapes(layers, shapes)
        return layers

    def build(self, layers: Layers, facts: Facts) -> dict[str, torch.Tensor]:
        """The tensors of a file in fp32. Raises UserError where a layer has no name in this dialect."""
        endings = {piece: ending for ending, piece in reversed(self.endings.items())}
        tensors = {}
        for module, layer in self._put_together(layers, facts):
            tensors[f"{module}.{endings['down']}"] = layer.down
            scale = layer.alpha / layer.rank if self.folds else 1.0
            tensors[f"{module}.{endings['up']}"] = layer.up if scale == 1.0 else layer.up * scale
            if not self.folds:
                tensors[f"{module}.{endings['alpha']}"] = torch.tensor(layer.alpha)
            if layer.magnitude is not None:
                column = layer.magnitude.view(-1, *[1] * (layer.down.ndim - 1))
                tensors[f"{module}.{endings['magnitude']}"] = layer.magnitude if self.folds else column
        return tensors

    def _pairs(self, facts: Facts, shapes: Shapes | None) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every name a layer can have in a file, and the base's own names of what it changes."""
        for part, prefixes in self.prefixes(facts).items():
            originals = {} if is_text(part) else facts.originals
            own = [name.rstrip(SWAPPED) for names in originals.values() for name in names] or TEXT_LAYERS
            known = [in_file(name).partition(".")[2] for name in shapes or () if name.startswith(f"{part}.")]
            paths = originals | {path: (path,) for path in (*own, *known)}
            for prefix in prefixes:
                for path, names in paths.items():
                    yield prefix + path.replace(".", self.joint), tuple(f"{part}.{name}" for name in names)

    def _dotted(self, module: str, facts: Facts) -> tuple[str, ...]:
        """The base's own name of a layer, where it stands in the file as it is."""
        for part, prefixes in self.prefixes(facts).items():
            for prefix in prefixes:
                if self.joint == "." and module.startswith(prefix):
                    return (f"{part}.{module.removeprefix(prefix)}",)
        return ()

    def _put_together(self, layers: Layers, facts: Facts) -> Iterator[tuple[str, Layer]]:
        """The layers of the file, by the names they have there, that stand for one or several of the base."""
        prefixes = self.prefixes(facts)
        back = Translation((own.rstrip(SWAPPED), (path, *all)) for path, all in facts.originals.items() for own in all)
        groups: dict[tuple[str, ...], dict[str, Layer]] = {}
        for name, layer in layers.items():
            part, _, path = in_file(name).partition(".")
            if part not in prefixes:
                raise _nameless(name)
            named: tuple[str, ...] = (path, path)
            if self.originals(facts) and not is_text(part):
                named = back.of(path)
                if not named:
                    raise _nameless(name)
            groups.setdefault((part, *named), {})[path] = layer
        for (part, path, *own), found in groups.items():
            module = prefixes[part][0] + path.replace(".", self.joint)
            if len(own) > 1:
                first = next(iter(found.values()))
                outs = [found[name].up.shape[0] if name in found else _out(name, first, facts) for name in own]
                yield module, fused.fuse([found.get(name) for name in own], outs)
            else:
                layer = found[own[0].rstrip(SWAPPED)]
                yield module, _turned(layer) if own[0].endswith(SWAPPED) else layer


def _taken_apart(
    names: list[str], layer: Layer, facts: Facts, shapes: Shapes | None
) -> Iterator[tuple[str, Layer]]:
    """The layers of the base that one of the file stands for."""
    if len(names) == 1:
        yield names[0], layer
        return
    outs = [shapes[name][0] if shapes else _out(name, layer, facts) for name in names]
    if layer.up.ndim != 2 or layer.down.ndim != 2 or sum(outs) != layer.up.shape[0]:
        raise other_sizes()
    for name, part in zip(names, fused.split(layer, outs), strict=True):
        if part is not None:
            yield name, part


def _out(name: str, layer: Layer, facts: Facts) -> int:
    """How many outputs a layer has that the original holds as one with `layer`, which has the same inputs."""
    return facts.widths.get(name.rpartition(".")[2], 1) * layer.down.shape[1]


def _turned(layer: Layer) -> Layer:
    """The layer with its two halves swapped; where it has not two, it is the same in the original."""
    return fused.halves_swapped(layer) if layer.up.shape[0] == 2 * layer.down.shape[1] else layer


def _twice(name: str) -> UserError:
    return UserError(f"This LoRA says twice what it does to {name[:80]}.", "Get another copy of it.")


def _nameless(name: str) -> UserError:
    return UserError(f"{name[:80]} has no name in this kind of LoRA file.", "Choose the diffusers kind.")
