"""Put a LoRA into a base by diffusers' own reader, to see that a file written for it means the same there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers

from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import all_tensors, lycoris
from lora_gui.formats.dialects import is_text_layer

# what its readers raise
_WRONG = (ValueError, KeyError, IndexError, RuntimeError, TypeError, AttributeError, AssertionError)


def add(parts: lora.Parts, path: Path, facts: Facts, name: str, texts: bool) -> None:
    """Inject the LoRA in a file under `name`, as diffusers reads it, its weights in fp32.

    Without `texts`, what it changes in text encoders is left out. Raises UserError where diffusers reads nothing of it,
    and of a LoKr, whose layers are none that are drawn with here and would stay in the base.
    """
    tensors = {
        key: tensor.float()
        for key, tensor in all_tensors.read(path).items()
        if texts or not is_text_layer(key)
    }
    if lycoris.of_lokr(tensors):
        what = f"{path.stem} is a LoKr, with which nothing is drawn here by diffusers' own reader."
        raise UserError(what, "Convert it first: the copy is a plain LoRA, which diffusers reads.")
    kind = getattr(diffusers, facts.pipeline)
    remedy = "Choose another program that reads LoRAs of this family."
    try:
        if hasattr(kind, "load_lora_weights"):
            _pipeline(kind, parts).load_lora_weights(tensors, adapter_name=name)
        else:  # its networks can, one by one
            networks: dict[str, Any] = parts
            for part, network in networks.items():
                own = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{part}.")}
                if own:
                    network.load_lora_adapter(own, prefix=part, adapter_name=name)
    except _WRONG as error:
        raise UserError(f"diffusers does not read {path.stem}.", remedy) from error
    if not any(lora.adapter_layers(parts, name)):  # it warns and goes on
        raise UserError(f"diffusers reads nothing of {path.stem}.", remedy)


def _pipeline(kind: Any, parts: lora.Parts) -> Any:
    """A pipeline of these networks alone; all else in it is None."""
    wanted = inspect.signature(kind.__init__).parameters.values()
    needed = {one.name for one in wanted if one.default is one.empty and one.name != "self"}
    return kind(**(dict.fromkeys(needed) | parts))
