"""Build a base's networks from their configurations alone, and call them as training and drawing do.

Tables by the class of a network, as the libraries name it; knows no family and no base by name.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base

Component = dict[str, Any]
Components = dict[str, Component]

_CLIP = 77  # tokens
_T5 = 256  # tokens behind those of CLIP in Stable Diffusion 3
_LONG = 512  # tokens of the others
_QWEN_LAYERS = 27  # that are used


@dataclass(frozen=True)
class Size:
    """Of one batch: pictures, and their sides in pixels."""

    count: int
    side: int


def components(base: Base) -> Components:
    """A base's networks by name: from the app's own configurations for a known key, else from its diffusers folder.

    Raises UserError where there is neither.
    """
    known = families.configuration(base.key)
    if known:
        return json.loads(known.read_text(encoding="utf-8"))["components"]
    if not (base.path and (Path(base.path) / "model_index.json").is_file()):
        raise UserError(f"The base {base.key} is not known, so its memory cannot be planned.", "Choose another base.")
    return _components_of(Path(base.path))


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
    """The network on the meta device, in `dtype`: every shape, no weight."""
    from accelerate import init_empty_weights

    library = importlib.import_module(component.get("module") or component["library"])
    kind, config = getattr(library, component["class"]), dict(component["config"])
    with init_empty_weights():
        if component["library"] == "transformers":
            if component["class"] == "Qwen3ForCausalLM":
                kind, config["num_hidden_layers"] = library.Qwen3Model, _QWEN_LAYERS
                config.pop("layer_types", None)
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


def denoisers(base: Components) -> Components:
    """The networks that may carry a LoRA, by the name they have in LoRA files."""
    return {name.rpartition("/")[2]: one for name, one in base.items() if one["class"] in DENOISERS}


def text_encoders(base: Components) -> Components:
    """Those that captions go through."""
    return {name: one for name, one in base.items() if "text_encoder" in name}


def autoencoders(base: Components) -> Components:
    """Those that pictures go through on their way in."""
    return {name: one for name, one in base.items() if one["class"] in ENCODERS}


def decoders(base: Components) -> Components:
    """Those that latents go through on their way out."""
    return {name: one for name, one in base.items() if one["class"] in DECODERS}


def _empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _unet(config: dict[str, Any], size: Size, dtype: torch.dtype) -> dict[str, Any]:
    side = size.side // 8
    given: dict[str, Any] = {
        "sample": _empty(size.count, config["in_channels"], side, side, dtype=dtype),
        "timestep": _empty(size.count),
        "encoder_hidden_states": _empty(size.count, _CLIP, config["cross_attention_dim"], dtype=dtype),
    }
    if config.get("addition_embed_type") == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        added = {"text_embeds": _empty(size.count, pooled, dtype=dtype), "time_ids": _empty(size.count, 6)}
        given["added_cond_kwargs"] = added
    elif config.get("addition_embed_type") == "image":
        image = {"image_embeds": _empty(size.count, config["encoder_hid_dim"], dtype=dtype)}
        given |= {"encoder_hidden_states": None, "added_cond_kwargs": image}
    return given


def _sd3(config: dict[str, Any], size: Size, dtype: torch.dtype) -> dict[str, Any]:
    side = size.side // 8
    return {
        "hidden_states": _empty(size.count, config["in_channels"], side, side, dtype=dtype),
        "encoder_hidden_states": _empty(size.count, _CLIP + _T5, config["joint_attention_dim"], dtype=dtype),
        "pooled_projections": _empty(size.count, config["pooled_projection_dim"], dtype=dtype),
        "timestep": _empty(size.count),
    }


def _flux(config: dict[str, Any], size: Size, dtype: torch.dtype) -> dict[str, Any]:
    tokens = (size.side // 16) ** 2
    given = {
        "hidden_states": _empty(size.count, tokens, config["in_channels"], dtype=dtype),
        "encoder_hidden_states": _empty(size.count, _LONG, config["joint_attention_dim"], dtype=dtype),
        "timestep": _empty(size.count, dtype=dtype),
        "img_ids": _empty(tokens, len(config["axes_dims_rope"])),
        "txt_ids": _empty(_LONG, len(config["axes_dims_rope"])),
    }
    if config.get("pooled_projection_dim"):
        given["pooled_projections"] = _empty(size.count, config["pooled_projection_dim"], dtype=dtype)
    if config.get("guidance_embeds"):
        given["guidance"] = _empty(size.count)
    return given


def _prior(config: dict[str, Any], size: Size, dtype: torch.dtype) -> dict[str, Any]:
    width, tokens = config["embedding_dim"], config["num_embeddings"]
    return {
        "hidden_states": _empty(size.count, width, dtype=dtype),
        "timestep": _empty(size.count),
        "proj_embedding": _empty(size.count, width, dtype=dtype),
        "encoder_hidden_states": _empty(size.count, tokens, width, dtype=dtype),
        "attention_mask": _empty(size.count, tokens, dtype=torch.bool),
    }


def _wuerstchen(config: dict[str, Any], size: Size, dtype: torch.dtype) -> dict[str, Any]:
    side = math.ceil(size.side / 42.67)
    return {
        "x": _empty(size.count, config["c_in"], side, side, dtype=dtype),
        "r": _empty(size.count, dtype=dtype),
        "c": _empty(size.count, _CLIP, config["c_cond"], dtype=dtype),
    }


DENOISERS: dict[str, Callable[[dict[str, Any], Size, torch.dtype], dict[str, Any]]] = {
    "UNet2DConditionModel": _unet,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
    "Flux2Transformer2DModel": _flux,
    "PriorTransformer": _prior,
    "WuerstchenPrior": _wuerstchen,
}


def denoise(component: Component, module: Any, size: Size, dtype: torch.dtype) -> torch.Tensor:
    """Call a denoiser as training and drawing do, and return what it predicts."""
    if component["class"] == "WuerstchenPrior":
        from diffusers.models.attention_processor import AttnProcessor2_0

        module.set_attn_processor(AttnProcessor2_0())
    out = module(**DENOISERS[component["class"]](component["config"], size, dtype))
    return out if isinstance(out, torch.Tensor) else out[0]


def _encode(module: Any, size: Size, dtype: torch.dtype) -> Any:
    return module.encode(_empty(size.count, 3, size.side, size.side, dtype=dtype))


def _see(module: Any, size: Size, dtype: torch.dtype) -> Any:
    side = module.config.image_size
    return module(_empty(size.count, 3, side, side, dtype=dtype))


def _squeeze(module: Any, size: Size, dtype: torch.dtype) -> Any:
    side = size.side * 3 // 4
    return module(_empty(size.count, 3, side, side, dtype=dtype))


ENCODERS: dict[str, Callable[[Any, Size, torch.dtype], Any]] = {
    "AutoencoderKL": _encode,
    "AutoencoderKLFlux2": _encode,
    "VQModel": _encode,
    "CLIPVisionModelWithProjection": _see,
    "EfficientNet": _squeeze,
}


def _decode(module: Any, size: Size, dtype: torch.dtype) -> Any:
    side = size.side // 8
    return module.decode(_empty(size.count, module.config.latent_channels, side, side, dtype=dtype))


def _decode_plain(module: Any, size: Size, dtype: torch.dtype) -> Any:
    """Without the codebook, as the drawing of Kandinsky and Wuerstchen does."""
    side = size.side // (4 if hasattr(module, "up_blocks") else 8)
    latents = _empty(size.count, module.config.latent_channels, side, side, dtype=dtype)
    return module.decode(latents, force_not_quantize=True)


def _stage_b(module: Any, size: Size, dtype: torch.dtype) -> Any:
    side, squeezed = size.side // 4, math.ceil(size.side / 42.67)
    return module(
        _empty(size.count, module.config.c_in, side, side, dtype=dtype),
        _empty(size.count, dtype=dtype),
        _empty(size.count, module.config.effnet_embd, squeezed, squeezed, dtype=dtype),
        _empty(size.count, _CLIP, module.config.clip_embd, dtype=dtype),
    )


DECODERS: dict[str, Callable[[Any, Size, torch.dtype], Any]] = {
    "AutoencoderKL": _decode,
    "AutoencoderKLFlux2": _decode,
    "VQModel": _decode_plain,
    "PaellaVQModel": _decode_plain,
    "WuerstchenDiffNeXt": _stage_b,
}


def read_text(module: Any, count: int) -> Any:
    """Encode `count` captions."""
    tokens = min(getattr(module.config, "max_position_embeddings", None) or _LONG, _LONG)
    ids = torch.empty((count, tokens), dtype=torch.long, device="meta")
    if module.config.model_type == "qwen3":  # told a mask, as what is shorter than 512 tokens needs one
        mask = torch.empty((count, 1, tokens, tokens), dtype=torch.bool, device="meta")
        return module(ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
    return module(ids, output_hidden_states=module.config.model_type != "t5")
