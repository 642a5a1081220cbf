"""Build a base's networks from their configurations alone: every shape, no weight; and count those that only encode.

How each is run, its family says; knows no family and no class of a network by name.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn

from lora_gui import families
from lora_gui.engine.load import loading, offload, quantize
from lora_gui.engine.load.device import dtype_of
from lora_gui.engine.memory.block_dedup import Blocks, shorten, times_of
from lora_gui.engine.memory.tracker import forward
from lora_gui.engine.train.cache import CAPTIONS_AT_ONCE
from lora_gui.errors import UserError
from lora_gui.families.base import Run, TextLoad
from lora_gui.protocol.jobs import Base

Component = dict[str, Any]
Components = dict[str, Component]


def components(base: Base) -> Components:
    """A base's networks by name: from its diffusers folder where all are there, else from the app's own configurations.

    Raises UserError where there is neither.
    """
    known = families.configuration(base.known)
    folder = Path(base.path)
    found = _components_of(folder) if base.path and (folder / "model_index.json").is_file() else {}
    if known:
        own: Components = json.loads(known.read_text(encoding="utf-8"))["components"]
        return {name: found[name] for name in own} if own.keys() <= found.keys() else own
    if not found:
        raise UserError(f"The base {base.key} is not known, so its memory cannot be planned.", "Choose another base.")
    return found


def _components_of(folder: Path) -> Components:
    """The networks of a pipeline's folder, and of the pipelines in it, such as `prior/text_encoder`."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    found: Components = {}
    for name, entry in index.items():
        config = folder / name / "config.json"
        if isinstance(entry, list) and entry[0] in ("diffusers", "transformers") and config.is_file():
            values = json.loads(config.read_text(encoding="utf-8"))
            found[name] = {"library": entry[0], "class": entry[1], "config": values}
    for inner in sorted(folder.glob("*/model_index.json")):
        found |= {f"{inner.parent.name}/{name}": one for name, one in _components_of(inner.parent).items()}
    return found


def build(component: Component, dtype: torch.dtype) -> nn.Module:
    """The network on the meta device, in `dtype`."""
    library = importlib.import_module(component.get("module") or component["library"])
    kind, config = getattr(library, component["class"]), dict(component["config"])
    with init_empty_weights():
        if component["library"] == "transformers":
            module = kind(kind.config_class(**config))
        elif component["library"] == "diffusers":
            module = kind.from_config(config)
        else:
            module = kind(**config)
    for part in module.modules():  # not `to`, which some classes answer with advice
        for held in (part._parameters, part._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    floating = tensor.is_floating_point()
                    empty = torch.empty(tensor.shape, dtype=dtype if floating else tensor.dtype, device="meta")
                    held[name] = nn.Parameter(empty, requires_grad=False) if held is part._parameters else empty
    return module.eval()


@lru_cache(maxsize=8)
def short(component: str, precision: str) -> tuple[nn.Module, list[Blocks]]:
    """Shortened, of its JSON; the same for whoever asks, as does each change of a setting: some take long to build."""
    if precision in quantize.PRECISIONS:
        found = copy.deepcopy(short(component, "bf16"))
        quantize.replace(found[0], precision, torch.device("meta"))
        return found
    whole = build(json.loads(component), dtype_of(precision))
    return whole, shorten(whole)


def block_facts(one: Component, precision: str) -> dict[str, Any]:
    """What a network weighs, whole and in each of the blocks that can wait in RAM; bytes."""
    module, runs = short(json.dumps(one), precision)
    times = times_of(runs)
    found = offload.blocks(module) if loading.can_checkpoint_gradients(module) else []
    sizes = [offload.size(block) for _, block in found for _ in range(times(block))]
    left_out = sum((run.times - 1) * loading.nbytes(run.second) for run in runs)
    return {"weights": loading.nbytes(module) + left_out, "sizes": sizes}


def shortened(component: Component, text: TextLoad) -> Component:
    """A text encoder up to the last of its layers that is used, without a head."""
    if not text.layers:
        return component
    config = component["config"] | {"num_hidden_layers": text.layers}
    config.pop("layer_types", None)
    return component | {"class": component["class"].replace("ForCausalLM", "Model"), "config": config}


def read_text(module: Any, text: TextLoad, count: int) -> Any:
    """Encode `count` captions."""
    tokens = min(text.tokens, getattr(module.config, "max_position_embeddings", text.tokens))
    ids = torch.empty((count, tokens), dtype=torch.long, device="meta")
    if text.masked:
        mask = torch.empty((count, 1, tokens, tokens), dtype=torch.bool, device="meta")
        return module(ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    return module(ids, output_hidden_states=text.hidden_states)


def last_states(module: Any, text: TextLoad, count: int) -> torch.Tensor:
    """Of `count` captions."""
    states: torch.Tensor = read_text(module, text, count).last_hidden_state
    return states


def text_facts(one: Component, text: TextLoad) -> dict[str, Any]:
    """What a text encoder weighs, whole, outside its blocks and in the largest of them, and what it needs; bytes."""
    module = build(one, torch.bfloat16)
    weights = loading.nbytes(module)
    sizes = [offload.size(block) for _, block in offload.blocks(module)]
    trace = forward(module, lambda: read_text(module, text, CAPTIONS_AT_ONCE))
    outside = weights - sum(sizes)
    return {"weights": weights, "outside": outside, "largest": max(sizes, default=0), "peak": trace.peak}


def facts(
    one: Component, run: Run, count: int, side: int, dtype: torch.dtype = torch.bfloat16,
    prepare: Callable[[nn.Module], None] = lambda module: None,
) -> dict[str, Any]:  # fmt: skip
    """What an encoder or a decoder of pictures weighs and needs; bytes. `prepare` is done to it before it runs."""
    module = build(one, dtype)
    prepare(module)
    trace = forward(module, partial(run, module, count, side, dtype))
    return {"weights": loading.nbytes(module), "peak": trace.peak}
