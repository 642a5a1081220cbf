"""The kohya dialect: `lora_unet_<path with _>.lora_down.weight`, `.lora_up.weight`, `.alpha`, `.dora_scale`.

A1111, Forge, ComfyUI and diffusers read it.
"""

import torch

from lora_gui.formats.lora_file import Layers, Prefixes, Shapes, from_pieces, unknown_layers

_PIECES = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha", "dora_scale": "magnitude"}


def parse(tensors: dict[str, torch.Tensor], metadata: dict[str, str], shapes: Shapes, prefixes: Prefixes) -> Layers:
    """Raises UserError where tensors have no place among the layers of `shapes`."""
    names = {
        f"{prefix}_{spelt.replace('.', '_')}": name
        for name in shapes
        for prefix in prefixes.get(name.partition(".")[0], ())
        for spelt in _spellings(name)
    }
    pieces: dict[str, dict[str, torch.Tensor]] = {}
    unknown = []
    for key, tensor in tensors.items():
        module, _, piece = key.partition(".")
        if module in names and piece in _PIECES:
            pieces.setdefault(names[module], {})[_PIECES[piece]] = tensor
        else:
            unknown.append(key)
    if unknown:
        raise unknown_layers(unknown, len(tensors))
    return from_pieces(pieces)


def build(layers: Layers, prefixes: Prefixes) -> dict[str, torch.Tensor]:
    """The tensors of a file, in fp32, with the true alpha of each layer."""
    tensors = {}
    for name, layer in layers.items():
        module = f"{prefixes[name.partition('.')[0]][0]}_{_spellings(name)[-1].replace('.', '_')}"
        tensors[f"{module}.lora_down.weight"] = layer.down
        tensors[f"{module}.lora_up.weight"] = layer.up
        tensors[f"{module}.alpha"] = torch.tensor(layer.alpha)
        if layer.magnitude is not None:
            tensors[f"{module}.dora_scale"] = layer.magnitude.view(-1, *[1] * (layer.down.ndim - 1))
    return tensors


def _spellings(name: str) -> list[str]:
    """A module's path as it is, and as files spell it: transformers 5 lost a level that files still have."""
    part, _, path = name.partition(".")
    if part.startswith("text_encoder") and not path.startswith("text_model."):
        return [path, f"text_model.{path}"]
    return [path]
