"""Make a diffusers folder of a transformer in one file and the networks that lie beside it, in the file or apart.

What is apart and needs no change is linked and takes no further room on the disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import safetensors.torch
import torch
import transformers
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

from lora_gui import families, files
from lora_gui.engine.load import checkpoint_file
from lora_gui.engine.load.checkpoint_file import Named
from lora_gui.errors import UserError
from lora_gui.facts import SingleFile
from lora_gui.families.shared.links import link_to
from lora_gui.families.shared.part_files import CLIP_L
from lora_gui.formats import base_files, single_file
from lora_gui.protocol.jobs import Base

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PROJECTING = ("CLIPTextModelWithProjection",)
_SAME_IN_T5 = "encoder.embed_tokens.weight"  # as `shared.weight`, which is the one that is read
_OF_CLIP = ("text_model.", "text_projection")
_OF_T5 = ("encoder.block.", "encoder.final_layer_norm.", "shared.", "encoder.embed_tokens.")


def parts_of(base: Base, build: SingleFile) -> dict[str, tuple[Path, str]]:
    """Where each network lies that is no denoiser: a file or folder, and how the names of its tensors begin there.

    Raises UserError where one is gone since the base was chosen.
    """
    source, found = Path(base.path), dict[str, tuple[Path, str]]()
    contents = single_file.of(source)
    for part, one in build.apart.items():
        if single_file.holds(contents, one, one.within):
            found[part] = source, one.within
        elif part in base.parts:
            place = Path(base.parts[part])
            if not place.exists():
                what = f"The {one.title} of {base.title} is not there any more: {place}."
                raise UserError(what, "Put it back, or look for your bases again.")
            found[part] = place, ""
    return found


def size(base: Base, build: SingleFile) -> int:
    """Bytes that the folder takes on the disk at most."""
    parts = parts_of(base, build).values()
    read = {Path(base.path)} | {place for place, _ in parts if place.is_file()}
    return sum(2 * single_file.of(file).values + file.stat().st_size for file in read)


def write(base: Base, build: SingleFile, found: dict[str, Any], folder: Path) -> None:
    """Write the networks into `folder`, where their configurations lie already.

    Raises UserError and ValueError where one of them is damaged.
    """
    facts, source = families.facts_of(base.family), Path(base.path)
    contents = single_file.of(source)
    start = single_file.beginning(contents, build)
    assert start is not None
    dtype = DTYPES[contents.dtype]
    denoiser = next(part for part in found["components"] if part not in build.apart)
    _keep(folder / denoiser, "diffusion_pytorch_model", checkpoint_file.denoiser(source, facts, start, dtype))
    _require_whole(folder / denoiser, found["components"][denoiser], source)
    for part, (place, within) in parts_of(base, build).items():
        told = found["components"][part]
        if build.apart[part] is CLIP_L and told["class"] in _PROJECTING:
            _keep(folder / part, "model", _unprojected(place, within, told["config"]["hidden_size"]))
        elif place.is_dir():
            _link_all(place, folder / part)
        elif told["library"] == "diffusers":
            _keep(folder / part, "diffusion_pytorch_model", _autoencoder(place, within, told["config"]))
        elif within or not _is_as_needed(place, told["class"]):
            _keep(folder / part, "model", _TEXTS[told["class"]](place, within))
        else:
            _linked(place, folder / part / "model.safetensors")
        _require_whole(folder / part, told, place)


def _require_whole(folder: Path, told: dict[str, Any], place: Path) -> None:
    """Raises UserError where a tensor of the network from `place` is not there in its size: transformers would make
    one up."""
    library = diffusers if told["library"] == "diffusers" else transformers
    kind = getattr(library, told["class"])
    with torch.device("meta"):
        config = told["config"]
        network = kind.from_config(config) if library is diffusers else kind(kind.config_class(**config))
    held = [single_file.read(file).shapes for file in folder.glob("[!.]*.safetensors")]
    sizes = {name.removeprefix("text_model."): shape for shapes in held for name, shape in shapes.items()}
    for name, tensor in network.state_dict().items():
        if name != _SAME_IN_T5 and sizes.get(name.removeprefix("text_model.")) != tensor.shape:
            what = f"{place.name} is not whole: its {folder.name} lacks {name}, or has it in another size."
            raise UserError(what, "Get it again, whole.")


def _keep(folder: Path, name: str, named: Named) -> None:
    """Write a network's tensors as files of a bounded size, with the list of which is in which."""
    table: dict[str, str] = {}

    def keep(lot: dict[str, torch.Tensor]) -> None:
        file = f"{name}-{len(set(table.values())) + 1:05}.safetensors"
        files.write_bytes(folder / file, safetensors.torch.save(lot, {"format": "pt"}))
        table.update(dict.fromkeys(lot, file))

    checkpoint_file.in_files(named, keep)
    if not table:
        raise ValueError(folder.name)
    files.write_json(folder / f"{name}.safetensors.index.json", {"metadata": {}, "weight_map": table})


def _autoencoder(file: Path, within: str, config: dict[str, Any]) -> Named:
    """The autoencoder by its names in diffusers; it is small enough to be held whole."""
    held = dict(checkpoint_file.tensors(file, within))
    is_original = any(name.startswith(("encoder.down.", "decoder.up.")) for name in held)
    yield from (convert_ldm_vae_checkpoint(held, config) if is_original else held).items()


def _clip(file: Path, within: str, projects: bool = False) -> Named:
    """A text encoder of CLIP. Where it has to project and the file has no projection, that is the identity, as ComfyUI
    takes it."""
    projection = last = None
    for name, tensor in checkpoint_file.tensors(file, within):
        if name in ("text_projection", "text_projection.weight"):
            projection = tensor.T if name == "text_projection" else tensor
        elif name.startswith("text_model."):
            last = tensor if name.endswith("final_layer_norm.weight") else last
            yield name, tensor
    if projects and projection is None and last is not None:
        projection = torch.eye(len(last), dtype=last.dtype)
    if projects and projection is not None:
        yield "text_projection.weight", projection


def _unprojected(place: Path, within: str, width: int) -> Named:
    """CLIP-L as Stable Diffusion 3 reads it in the program of its makers, in ComfyUI and in diffusers: what it says in
    all is not projected, whichever projection a file may have."""
    held = base_files.weights(place) if place.is_dir() else None
    dtype = torch.float32
    for file in held.files if held else (place,):
        for name, tensor in checkpoint_file.tensors(file, within):
            if name.startswith(("text_model.", "embeddings.", "encoder.", "final_layer_norm.")):
                yield f"text_model.{name.removeprefix('text_model.')}", tensor
            dtype = tensor.dtype
    yield "text_projection.weight", torch.eye(width, dtype=dtype)


def _t5(file: Path, within: str) -> Named:
    """The encoder of T5, its table of pieces under the one name that is always read."""
    known = single_file.of(file).shapes
    for name, tensor in checkpoint_file.tensors(file, within):
        if name == "encoder.embed_tokens.weight":
            if f"{within}shared.weight" not in known:
                yield "shared.weight", tensor
        elif name.startswith(_OF_T5):
            yield name, tensor


_TEXTS: dict[str, Callable[[Path, str], Iterator[tuple[str, torch.Tensor]]]] = {
    "CLIPTextModel": _clip,
    "CLIPTextModelWithProjection": functools.partial(_clip, projects=True),
    "T5EncoderModel": _t5,
}


def _is_as_needed(file: Path, kind: str) -> bool:
    """Whether a file of its own can be read as the network's own: its names are right, none is fp8, none is lacking."""
    names, starts = single_file.of(file).shapes, _OF_T5 if kind == "T5EncoderModel" else _OF_CLIP
    right = all(name.startswith(starts) for name in names) and not any("scale" in name for name in names)
    whole = "shared.weight" in names if kind == "T5EncoderModel" else True
    projected = "text_projection.weight" in names or not kind.endswith("WithProjection")
    return right and whole and projected and not single_file.of(file).has_fp8


def _link_all(source: Path, target: Path) -> None:
    """The weights of a network that is a folder already, with the list of them."""
    held = base_files.weights(source)
    for file in (*held.files, *filter(None, [held.index])) if held else ():
        _linked(file, target / file.name)


def _linked(file: Path, link: Path) -> None:
    """A link to a file, or where the disk knows none, a copy."""
    files.make_folder(link.parent)
    try:
        link_to(file.resolve(), link)
    except UserError:
        files.copy(file, link)
