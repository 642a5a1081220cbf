"""Inject adapters into a base, activate some with weights, read or set their weights; by way of peft."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import torch
from diffusers.utils.peft_utils import delete_adapter_layers, set_weights_and_activate_adapters
from peft import LoraConfig, PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.engine.load import lokr, offload
from lora_gui.errors import UserError
from lora_gui.families.base import Family
from lora_gui.formats.lora_file import Layer, Layers, Shapes, is_lokr
from lora_gui.settings import TrainSettings

Parts = dict[str, nn.Module]  # networks that can carry adapters, by their name in LoRA files
SHAPING = ("rank", "dora", "adapter", "lokr_factor")  # settings by which a new adapter has its weights


def shapes(parts: Parts) -> Shapes:
    """Weight shapes of all linear and convolution layers, by part and module path; adapters and wrappers left out."""
    return {
        f"{part}.{path.replace('.base_layer', '')}": _shape(module)
        for part, root in parts.items()
        for path, module in root.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and ".lora_" not in path
    }


def _shape(module: nn.Linear | nn.Conv2d) -> torch.Size:
    """Shape of its weight, which is not read: a quantised layer would have to dequantise it."""
    if isinstance(module, nn.Linear):
        return torch.Size((module.out_features, module.in_features))
    return module.weight.shape


def add_new(parts: Parts, family: Family, settings: TrainSettings, name: str) -> list[nn.Parameter]:
    """Inject a new adapter into all target layers; returns its parameters, fp32, the only ones with gradients.

    Initialised from `settings.seed` alone: down Kaiming uniform, up zero, so that the adapter is the identity at first.
    Raises UserError where no layer is called as `settings.only_layers` asks.
    """
    for part, root in parts.items():
        root.requires_grad_(False)
        targets = _learning(family.targets(part, settings.layers), settings.only_layers)
        if any(re.fullmatch(targets, path) for path, _ in root.named_modules()):
            inject_adapter_in_model(_new(settings, targets), root, name)
        if settings.dora:
            _measure_magnitudes(root, name)
    generator = torch.Generator().manual_seed(settings.seed)
    weights = list[nn.Parameter]()
    for _, layer in adapter_layers(parts, name):
        if own := lokr.weights(layer, name):
            lokr.initialise(own, generator)
            weights += own.values()
            continue
        down, up = layer.lora_A[name].float(), layer.lora_B[name].float()
        first = torch.empty(down.weight.shape)
        nn.init.kaiming_uniform_(first, a=math.sqrt(5), generator=generator)
        down.weight.data.copy_(first)
        weights += [down.weight, up.weight]
        weights += [layer.lora_magnitude_vector[name].weight] if name in layer.lora_magnitude_vector else []
    if not weights:
        raise UserError(
            f"None of the layers that learn has {' or '.join(settings.only_layers)} in its name.",
            "Leave 'Only layers named' empty, or name a part this base has, such as up_blocks.",
        )
    return weights


def _new(settings: TrainSettings, targets: str) -> PeftConfig:
    """Of a new adapter in the layers that match `targets`."""
    if settings.adapter == "lokr":
        return lokr.new(settings, targets)
    rank, alpha = settings.rank, settings.alpha
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, use_dora=settings.dora)


def _measure_magnitudes(root: nn.Module, name: str) -> None:
    """Make the magnitudes of a new DoRA the norms that the weights have, fp32; what waits in RAM is fetched for it."""
    done = set[nn.Module]()
    for block in (*(block for _, block in offload.blocks(root)), root):
        offload.fetch(block)
        for layer in block.modules():
            if isinstance(layer, BaseTunerLayer) and name in layer.lora_magnitude_vector and layer not in done:
                norms = layer.get_base_layer().weight.detach().flatten(1).float().norm(dim=1)
                own = layer.lora_magnitude_vector[name].float()
                own.weight.data.copy_(norms.view(own.weight.shape))
                done.add(layer)


def targeted(parts: Parts, family: Family, settings: TrainSettings) -> set[str]:
    """The layers that learn by these settings, by part and module path, whether or not they carry an adapter yet."""
    found = set()
    for part, root in parts.items():
        targets = _learning(family.targets(part, settings.layers), settings.only_layers)
        paths = (path.removesuffix(".base_layer") for path, _ in root.named_modules() if ".lora_" not in path)
        found |= {f"{part}.{path}" for path in paths if re.fullmatch(targets, path)}
    return found


def _learning(targets: str, only: tuple[str, ...]) -> str:
    """A regular expression over module paths: those of `targets` that contain one of `only`, or all."""
    return f"(?=.*({'|'.join(map(re.escape, only))}))(?:{targets})"


def add(parts: Parts, layers: Layers, name: str) -> None:
    """Inject a finished adapter under `name`, its weights in fp32; inactive until `activate` names it."""
    for part, root in parts.items():
        own = {key.partition(".")[2]: layer for key, layer in layers.items() if key.partition(".")[0] == part}
        if own:
            inject_adapter_in_model(_config(own), root, name)
    set_weights(parts, layers, name)


def set_weights(parts: Parts, layers: Layers, name: str) -> None:
    """Set the weights of the adapter `name`. Raises UserError where it has not exactly these layers."""
    found = dict(adapter_layers(parts, name))
    if found.keys() != layers.keys():
        raise UserError("This LoRA has other layers than expected.", "Start again from the beginning.")
    for key, layer in found.items():
        new = layers[key]
        if lokr.weights(layer, name):
            lokr.write(layer, name, new)
            continue
        layer.lora_A[name].float().weight.data.copy_(new.down)
        layer.lora_B[name].float().weight.data.copy_(new.up)
        if new.magnitude is not None:
            magnitude = layer.lora_magnitude_vector[name].float().weight
            if new.over_inputs:  # which peft has not: it stays (1, in)
                magnitude.data = new.magnitude.to(magnitude.device, copy=True)
            else:
                magnitude.data.copy_(new.magnitude.view(magnitude.shape))


def get_weights(parts: Parts, name: str) -> Layers:
    """The weights of the adapter `name` now, copied to host memory, fp32."""
    return {key: _weights(layer, name) for key, layer in adapter_layers(parts, name)}


def _weights(layer: BaseTunerLayer, name: str) -> Layer:
    if lokr.weights(layer, name):
        return lokr.read(layer, name)
    return Layer(
        down=layer.lora_A[name].weight.detach().float().cpu().clone(),
        up=layer.lora_B[name].weight.detach().float().cpu().clone(),
        alpha=float(layer.lora_alpha[name]),
        magnitude=_magnitude(layer, name),
    )


def _magnitude(layer: BaseTunerLayer, name: str) -> torch.Tensor | None:
    if name not in layer.lora_magnitude_vector:
        return None
    return layer.lora_magnitude_vector[name].weight.detach().float().flatten().cpu().clone()


def activate(parts: Parts, strengths: dict[str, float]) -> None:
    """Activate exactly these adapters with these weights; 0 leaves one out, so that the base itself is drawn."""
    active = {name: strength for name, strength in strengths.items() if strength}
    for root in parts.values():
        set_weights_and_activate_adapters(root, list(active), list(active.values()))
        _enable(root, bool(active))


def _enable(root: nn.Module, enabled: bool) -> None:
    for module in root.modules():
        if isinstance(module, BaseTunerLayer):
            module.enable_adapters(enabled)


def remove(parts: Parts, name: str) -> None:
    """Delete an adapter from the base, which frees its memory."""
    for root in parts.values():
        delete_adapter_layers(root, name)
        getattr(root, "peft_config", {}).pop(name, None)


def _config(layers: Layers) -> PeftConfig:
    """For adapter layers by their module path within one part. Raises UserError where only some are DoRA."""
    if is_lokr(layers):
        return lokr.empty(layers)
    first = next(iter(layers.values()))
    if len({layer.magnitude is None for layer in layers.values()}) > 1:
        raise UserError("This LoRA is a DoRA in some layers only, which cannot be drawn with.", "Use another LoRA.")
    return LoraConfig(
        r=first.rank,
        lora_alpha=first.alpha,
        rank_pattern={f"^{re.escape(path)}": one.rank for path, one in layers.items() if one.rank != first.rank},
        alpha_pattern={f"^{re.escape(path)}": one.alpha for path, one in layers.items() if one.alpha != first.alpha},
        target_modules="|".join(re.escape(path) for path in layers),
        use_dora=first.magnitude is not None,
    )


def adapter_layers(parts: Parts, name: str) -> Iterator[tuple[str, BaseTunerLayer]]:
    """The layers that carry the adapter `name`, peft's wrappers, each with part and module path."""
    return ((path, layer) for path, layer in wrappers(parts) if name in layer.scaling)


def wrappers(parts: Parts) -> Iterator[tuple[str, BaseTunerLayer]]:
    """All layers that carry adapters or have carried some, peft's wrappers, each with part and module path."""
    for part, root in parts.items():
        for path, module in root.named_modules():
            if isinstance(module, BaseTunerLayer):
                yield f"{part}.{path}", module
