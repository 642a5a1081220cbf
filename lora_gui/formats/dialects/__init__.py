"""Parse LoRA files of any dialect into one form in memory, and build the tensors of any dialect from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.errors import UserError, nearest
from lora_gui.facts import SWAPPED
from lora_gui.formats import all_tensors, lycoris, peft_settings
from lora_gui.formats.dialects import comfy, diffusers, kohya, lokr, onetrainer
from lora_gui.formats.header import Header, read_header
from lora_gui.formats.identify import identify
from lora_gui.formats.leftover import sentence
from lora_gui.formats.lora_file import Layers, Shapes, is_lokr
from lora_gui.formats.naming import in_base
from lora_gui.formats.spelling import canonical

if TYPE_CHECKING:
    import torch

    from lora_gui.facts import Facts

DIALECTS = {
    "kohya": kohya.DIALECT,
    "diffusers": diffusers.DIALECT,
    "comfy": comfy.DIALECT,
    "onetrainer": onetrainer.DIALECT,
}


def read(
    path: Path, shapes: Shapes | None, facts: Facts, known: Iterable[Facts], texts: bool = True, learns: bool = False
) -> Layers:
    """The LoRA in a file, for a base of the family `facts` whose layers are `shapes`; `known` are all families.

    `shapes` is None where there is no base at hand that it should fit.
    Without `texts`, what it changes in text encoders is left out. One that `learns` is not multiplied out if a LoKr.
    Raises UserError where the file is damaged, of another family, of another base or holds what is not a number.
    """
    header = read_header(path)
    families = {one.key: one for one in known}
    key, dialect = identify(header, families.values())
    if key != facts.key:
        raise UserError(
            f"{path.stem} was made for {families[key].title}, but this base is of {facts.title}.",
            f"Take it out of the stack, or draw with a base of {families[key].title}.",
        )
    try:
        tensors = _spelt_anew(all_tensors.read(path))
        wanted = {name: tensor for name, tensor in tensors.items() if texts or not is_text_layer(name)}
        return parse(wanted, header.metadata, dialect, shapes, facts, learns)
    except UserError as error:
        raise UserError(f"{path.stem}: {error.what}", error.remedy) from None


def left_out(path: Path, shapes: Shapes | None, facts: Facts, texts: bool = True) -> str:
    """What `read` leaves out of a file that it reads, in a sentence; empty where that is nothing."""
    header = read_header(path)
    _, dialect = identify(header, [facts])
    return without_place(header, dialect, facts, shapes, texts)


def without_place(header: Header, dialect: str, facts: Facts, shapes: Shapes | None = None, texts: bool = True) -> str:
    """The same by a header, for a base whose layers are `shapes`, or for any of the family."""
    wanted = {name: one for name, one in header.tensors.items() if texts or not is_text_layer(name)}
    names = {_plainly(name, len(one.shape)): name for name, one in wanted.items()}
    unplaced = DIALECTS[dialect].unplaced(names, facts, shapes)
    return sentence([names[name] for name in unplaced], len(header.tensors))


def roles(header: Header, facts: Facts, dialect: str) -> set[tuple[str, str]]:
    """The layers that a file changes, by part and module path, each with a role of its tensors; no tensor is read."""
    names = [_plainly(name, len(one.shape)) for name, one in header.tensors.items()]
    places = DIALECTS[dialect].places(names, facts)
    return {(in_base(name.rstrip(SWAPPED), None), role) for layers, role in places.values() for name in layers}


def _plainly(name: str, dimensions: int) -> str:
    """The name that half of a plain LoRA has where this tensor is a factor of one."""
    module, _ = lycoris.role_of(name, dimensions)
    module = module or (name.removesuffix(lycoris.MID) if name.endswith(lycoris.MID) else "")
    return canonical(f"{module}.lora_down.weight") if module else name


def _spelt_anew(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    spelt = {canonical(name): tensor for name, tensor in tensors.items()}
    if len(spelt) < len(tensors):
        raise UserError("This LoRA says twice what it does to a layer.", "Get another copy of it.")
    return spelt


def is_text_layer(name: str) -> bool:
    """Whether a tensor of a LoRA file, of any dialect, belongs to a text encoder."""
    return name.startswith(("lora_te", "text_encoder"))


def parse(
    tensors: dict[str, torch.Tensor], metadata: dict[str, str], dialect: str, shapes: Shapes | None, facts: Facts,
    learns: bool = False,
) -> Layers:  # fmt: skip
    """The LoRA in `tensors`; `shapes` is None where there is no base at hand that it should fit. Of one that `learns`
    the layers of a LoKr stay what they are.

    Raises UserError where it does not fit the base or the family, or holds what is not a number.
    """
    from lora_gui.formats.dense import halved

    tensors = _scaled({name: tensor.float() for name, tensor in _spelt_anew(tensors).items()}, metadata)
    idle = lycoris.idle_alphas({name: tensor.shape for name, tensor in tensors.items()})
    finite = all(bool(tensor.isfinite().all()) for name, tensor in tensors.items() if name not in idle)
    layers = lokr.taken(tensors, DIALECTS[dialect], facts, shapes) if learns else {}
    if tensors:
        layers |= DIALECTS[dialect].parse(_spelt_anew(halved(tensors)), metadata, facts, shapes)
    if not finite:
        raise UserError("Some of its values are not numbers, so it would spoil every drawing.", "Use another LoRA.")
    if learns and any(layer.over_inputs for layer in layers.values()):
        raise UserError("This LoRA is a DoRA over inputs, which cannot be trained further here.", "Begin anew.")
    return layers


def _scaled(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> dict[str, torch.Tensor]:
    """The tensors with the scale of a LoHa or LoKr in its first factor, where peft's settings alone give it."""
    found = dict(tensors)
    for module, roles in lycoris.layers({name: tuple(tensor.shape) for name, tensor in tensors.items()}).items():
        scale = None if f"{module}.alpha" in tensors else peft_settings.scale_of(module, metadata)
        first = next((role for role in ("hada_w1_a", "lokr_w1", "lokr_w1_a") if role in roles), "")
        if scale is not None and (key := f"{module}.{first}") in found:
            found[key] = found[key] * scale
    return found


def own(facts: Facts, of_lokr: bool) -> str:
    """The dialect of a family's files; that of a LoKr never fuses layers, as no Kronecker product is three of them."""
    return "diffusers" if of_lokr and facts.kohya_has_checkpoint_names else facts.dialects[0]


def build(layers: Layers, facts: Facts, dialect: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a file in fp32; `dialect` empty means the family's own. Raises UserError where it has not this."""
    dialect = dialect or own(facts, is_lokr(layers))
    if dialect not in facts.dialects:
        what = f"LoRA files of {facts.title} cannot be written in the {dialect} way."
        raise UserError(what, nearest(dialect, facts.dialects))
    return DIALECTS[dialect].build(layers, facts)
