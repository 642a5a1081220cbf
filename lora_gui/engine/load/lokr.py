"""Adapters that are LoKrs, by way of peft, which factorises sides as LyCORIS does: their configurations and weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from peft import LoKrConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lora_gui.errors import UserError
from lora_gui.formats.lora_file import LOKR, Kronecker, Layer
from lora_gui.settings import TrainSettings


def new(settings: TrainSettings, targets: str) -> LoKrConfig:
    """Of a new one in the layers that match `targets`, its weights not initialised."""
    rank, factor = settings.rank, settings.lokr_factor or -1
    return LoKrConfig(
        r=rank, alpha=settings.alpha, target_modules=targets, decompose_factor=factor, init_weights=False
    )


def empty(paths: Iterable[str]) -> LoKrConfig:
    """In layers by their module path, for `write` to make it what it is."""
    return LoKrConfig(r=1, target_modules="|".join(map(re.escape, paths)), init_weights=False)


def weights(layer: BaseTunerLayer, name: str) -> dict[str, nn.Parameter]:
    """Of the adapter `name` in a layer by their names in LyCORIS, in the order of LOKR; empty where it is no LoKr."""
    return {role: getattr(layer, role)[name] for role in LOKR if name in getattr(layer, role, ())}


def initialise(own: dict[str, nn.Parameter], generator: torch.Generator) -> None:
    """As LyCORIS does, fp32: one half of the second factor zero, so that the adapter is the identity at first."""
    for role, weight in own.items():
        values = torch.zeros(weight.shape)
        if role not in ("lokr_w2", "lokr_w2_a"):
            nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
        weight.data = values.to(weight.device)


def read(layer: BaseTunerLayer, name: str) -> Kronecker:
    """The weights now, copied to host memory, fp32."""
    found = {role: weight.detach().float().cpu().clone() for role, weight in weights(layer, name).items()}
    made = Kronecker.of(found, float(layer.alpha[name]))
    assert made
    return made


def write(layer: BaseTunerLayer, name: str, given: Layer) -> None:
    """Set the weights, in place where their sizes are these. Raises UserError where they are of no LoKr."""
    if not isinstance(given, Kronecker):
        raise UserError("This LoRA is a LoKr in some layers only, which cannot be trained further.", "Begin anew.")
    own, values = weights(layer, name), given.tensors()
    if [(role, one.shape) for role, one in own.items()] == [(role, one.shape) for role, one in values.items()]:
        for role, weight in own.items():
            weight.data.copy_(values[role])
        return
    for role in own:
        del getattr(layer, role)[name]
    for role, value in values.items():
        getattr(layer, role)[name] = nn.Parameter(value.to(next(iter(own.values())).device, copy=True))
    layer.r[name], layer.alpha[name], layer.scaling[name] = given.rank, given.alpha, given.alpha / given.rank
