"""Put LoRAs into a base's parts, choose among them, and take their weights out again; peft does the arithmetic."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import torch
from diffusers.utils.peft_utils import delete_adapter_layers, set_weights_and_activate_adapters
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.errors import UserError
from lora_gui.families.base import Family
from lora_gui.formats.lora_file import Layer, Layers, Shapes
from lora_gui.settings import TrainSettings

Parts = dict[str, nn.Module]
Originals = list[tuple[nn.Parameter, torch.Tensor]]  # weights of a base, each with its values before LoRAs were merged


def shapes(parts: Parts) -> Shapes:
    """The shapes of all layers that may carry a LoRA, whether they do already or not."""
    return {
        f"{part}.{path.replace('.base_layer', '')}": _shape(module)
        for part, root in parts.items()
        for path, module in root.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and ".lora_" not in path
    }


def _shape(module: nn.Linear | nn.Conv2d) -> torch.Size:
    """Of its weight, which is not looked at: a layer in few bits would have to make it."""
    if isinstance(module, nn.Linear):
        return torch.Size((module.out_features, module.in_features))
    return module.weight.shape


def add_new(parts: Parts, family: Family, settings: TrainSettings, name: str) -> list[nn.Parameter]:
    """Add an untrained LoRA to all layers that learn, and return its weights, fp32; nothing else has gradients.

    Its first values follow from `settings.seed` alone: down as in a fresh layer (Kaiming uniform), up zero.
    Raises UserError where no layer is called as `settings.only_layers` asks.
    """
    for part, root in parts.items():
        root.requires_grad_(False)
        targets = _learning(family.targets(part, settings.layers), settings.only_layers)
        if any(re.fullmatch(targets, path) for path, _ in root.named_modules()):
            config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=targets)
            inject_adapter_in_model(config, root, name)
    generator = torch.Generator().manual_seed(settings.seed)
    weights = []
    for _, layer in carriers(parts, name):
        down, up = layer.lora_A[name].float(), layer.lora_B[name].float()
        first = torch.empty(down.weight.shape)
        nn.init.kaiming_uniform_(first, a=math.sqrt(5), generator=generator)
        down.weight.data.copy_(first)
        weights += [down.weight, up.weight]
    if not weights:
        raise UserError(
            f"None of the layers that learn has {' or '.join(settings.only_layers)} in its name.",
            "Leave 'Only layers named' empty, or name a part this base has, such as up_blocks.",
        )
    return weights


def _learning(targets: str, only: tuple[str, ...]) -> str:
    """A regular expression over module paths: of `targets` those that have one of `only` in their path, or all."""
    return f"(?=.*({'|'.join(map(re.escape, only))}))(?:{targets})"


def add(parts: Parts, layers: Layers, name: str) -> None:
    """Add a finished LoRA under `name`, its weights in fp32; it has no effect before `use` names it."""
    for part, root in parts.items():
        own = {key.partition(".")[2]: layer for key, layer in layers.items() if key.partition(".")[0] == part}
        if own:
            inject_adapter_in_model(_config(own), root, name)
    put(parts, layers, name)


def put(parts: Parts, layers: Layers, name: str) -> None:
    """Set the weights of the LoRA called `name`. Raises UserError where it has not exactly these layers."""
    found = dict(carriers(parts, name))
    if found.keys() != layers.keys():
        raise UserError("This LoRA has other layers than expected.", "Start again from the beginning.")
    for key, layer in found.items():
        new = layers[key]
        layer.lora_A[name].float().weight.data.copy_(new.down)
        layer.lora_B[name].float().weight.data.copy_(new.up)
        if new.magnitude is not None:
            magnitude = layer.lora_magnitude_vector[name].weight
            magnitude.data.copy_(new.magnitude.view(magnitude.shape))


def take(parts: Parts, name: str) -> Layers:
    """The weights of the LoRA called `name` as they are now, copied to the computer's own memory."""
    return {
        key: Layer(
            down=layer.lora_A[name].weight.detach().float().cpu().clone(),
            up=layer.lora_B[name].weight.detach().float().cpu().clone(),
            alpha=float(layer.lora_alpha[name]),
        )
        for key, layer in carriers(parts, name)
    }


def use(parts: Parts, strengths: dict[str, float]) -> None:
    """Let exactly these LoRAs count, each with its strength; those at 0 are left out, so that 0 is the base itself."""
    active = {name: strength for name, strength in strengths.items() if strength}
    for root in parts.values():
        set_weights_and_activate_adapters(root, list(active), list(active.values()))
        _enable(root, bool(active))


def _enable(root: nn.Module, enabled: bool) -> None:
    for module in root.modules():
        if isinstance(module, BaseTunerLayer):
            module.enable_adapters(enabled)


def merge(parts: Parts) -> Originals:
    """Add what the LoRAs in use change to the base's own weights, which spares each step a pass through every LoRA.

    Returns the weights as they were, which `restore` needs; nothing where a DoRA is in use, which is more than a sum.
    Not for a base that is held in few bits or streamed. After it `use` must come again before a strength counts.
    """
    carrying = [
        (module, names)
        for root in parts.values()
        for module in root.modules()
        if isinstance(module, BaseTunerLayer) and not module.disable_adapters
        if (names := [name for name in module.active_adapters if name in module.lora_A])
    ]
    if any(name in module.lora_magnitude_vector for module, names in carrying for name in names):
        return []
    originals = []
    for module, names in carrying:
        weight = module.base_layer.weight
        originals.append((weight, weight.detach().clone()))
        for name in names:
            weight.data += module.get_delta_weight(name)
    for root in parts.values():
        _enable(root, False)
    return originals


def restore(originals: Originals) -> None:
    """Undo `merge`, bit for bit."""
    for weight, original in originals:
        weight.data.copy_(original)


def remove(parts: Parts, name: str) -> None:
    """Take a LoRA out of the base and out of memory."""
    for root in parts.values():
        delete_adapter_layers(root, name)
        getattr(root, "peft_config", {}).pop(name, None)


def _config(layers: Layers) -> LoraConfig:
    """peft's settings for layers by their path within one part."""
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


def carriers(parts: Parts, name: str) -> Iterator[tuple[str, BaseTunerLayer]]:
    """The layers that carry the LoRA called `name`, as peft has them, each with its name."""
    for part, root in parts.items():
        for path, module in root.named_modules():
            if isinstance(module, BaseTunerLayer) and name in module.lora_A:
                yield f"{part}.{path}", module
