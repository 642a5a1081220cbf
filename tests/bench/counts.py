"""The steps that are counted, see counting.py: this app's and the plain one of peft, on small and full-size networks.

The plain step: peft's own LoRA in fp32 in a base in bf16, gradients clipped by their norm, AdamW weight by weight; and
the same with AdamW over lists of weights, which is torch's default on a card.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from lora_gui import families
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.phases import Planner
from lora_gui.engine.train.cache import Cache
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
from lora_gui.families.base import Family
from lora_gui.framing import Framing
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.settings import TrainSettings
from tests.bench.counting import CARD, Counted, count, pretended

Calls = dict[str, Callable[[nn.Module], torch.Tensor]]  # by part: what the network predicts of a batch
NATIVE = {"kandinsky22": 512, "wuerstchen": 1024}  # px; others are the family's own


def full_size(key: str, kinds: tuple[str, ...] = ("app", "peft", "peft_lists"), rank: int = 16) -> dict[str, Counted]:
    """One step on a known base's networks, batch 1, bf16, in each of these ways; noise and loss are a stand-in."""
    facts = next(one for one in families.facts().values() if key in [base.key for base in one.bases])
    own = family(facts.key)
    settings = TrainSettings(rank=rank, alpha=rank, precision="bf16", resolution=NATIVE.get(key, facts.resolution))
    components = networks.components(Base(key=key, title="", family=facts.key, path=""))
    with tempfile.TemporaryDirectory() as folder:
        denoisers = Planner(components, own, Path(folder)).denoisers
    load = (settings.batch_size, settings.resolution, torch.bfloat16)
    calls: Calls = {name: partial(_predicted, run, load) for name, (_, run) in denoisers.items()}
    made = lambda: {name: networks.build(one, torch.bfloat16) for name, (one, _) in denoisers.items()}  # noqa: E731
    return {kind: STEPS[kind](own, made(), calls, settings) for kind in kinds}


def small(own: Family, base: Path) -> Counted:
    """One whole step of the app on a tiny base, noise, conditions and loss included."""
    from tests.families.contract import batch_of

    settings = TrainSettings(rank=4, alpha=4, precision="fp32", batch_size=2, resolution=64)
    batch = batch_of(own.facts.key, base)
    parts = {name: part.to(CARD) for name, part in own.denoisers(base, torch.device("cpu"), torch.float32).items()}
    pictures = [[{key: value[n] for key, value in batch.pictures.items()}] for n in range(2)]
    cache = Cache(batch.framings, pictures, batch.captions, [[0], [1]], [], CARD)
    return _counted(_state(TrainState, own, parts, cache, settings, torch.float32, base), parts)


def app_step(own: Family, parts: dict[str, nn.Module], calls: Calls, settings: TrainSettings) -> Counted:
    """The app's own step, with what `calls` predict in place of its loss."""

    class Predicting(TrainState):
        def loss(self, given: Any) -> torch.Tensor:
            return _loss(self.parts, calls)

    bare = type(own.__class__.__name__, (own.__class__,), {"noising": lambda *_: {}})()
    cache = Cache([Framing((64, 64), (64, 64))], [[{}]], {}, [[0]], [], CARD)
    return _counted(_state(Predicting, bare, parts, cache, settings, torch.bfloat16, Path()), parts)


def peft_step(
    own: Family, parts: dict[str, nn.Module], calls: Calls, settings: TrainSettings, lists: bool = False
) -> Counted:
    """The plain step, as training scripts write it."""
    weights: list[nn.Parameter] = []
    with torch.device(CARD):
        for part, root in parts.items():
            root.requires_grad_(False)
            targets = own.targets(part, settings.layers)
            inject_adapter_in_model(LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=targets), root)
            weights += [one for name, one in root.named_parameters() if ".lora_" in name]
    for weight in weights:
        weight.data = weight.data.float()
    optimizer = torch.optim.AdamW(weights, lr=1e-4, foreach=lists)

    def step() -> None:
        _loss(parts, calls).mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return count(step, parts.values(), warm_up=1)


STEPS: dict[str, Callable[..., Counted]] = {
    "app": app_step, "peft": peft_step, "peft_lists": partial(peft_step, lists=True),
}  # fmt: skip


def _predicted(run: Callable[..., Any], load: tuple[Any, ...], network: nn.Module) -> torch.Tensor:
    out = run(network, *load)
    return out if isinstance(out, torch.Tensor) else out[0]


def _loss(parts: dict[str, nn.Module], calls: Calls) -> torch.Tensor:
    """(1,), a stand-in that is as quick as the real one."""
    return torch.stack([call(parts[name]).float().pow(2).mean() for name, call in calls.items()]).sum(0, keepdim=True)


def _state(
    kind: type[TrainState], own: Family, parts: dict[str, nn.Module], cache: Cache, settings: TrainSettings,
    dtype: torch.dtype, base: Path,
) -> TrainState:  # fmt: skip
    job = TrainJob(
        name="counted", trigger="zxy", preset="style", pictures=(), settings=settings,
        base=Base(key="counted", title="", family=own.facts.key, path=str(base)),
    )  # fmt: skip
    given = {"job": job, "family": own, "parts": parts, "encoded": cache, "where": CARD, "dtype": dtype, "folder": base}
    asked = inspect.signature(kind).parameters
    with pretended(), torch.device(CARD):
        return kind(**{name: value for name, value in given.items() if name in asked})


def _counted(state: TrainState, parts: dict[str, nn.Module]) -> Counted:
    batches = itertools.repeat([*range(len(state.cache.pictures))])
    return count(partial(state.one_step, batches), parts.values(), warm_up=1)


def told(bases: list[str]) -> list[dict[str, Any]]:
    """What is counted on each of these known bases, then on each family's tiny one."""
    rows: list[dict[str, Any]] = []
    for key in bases:
        found = full_size(key)
        own = found["app"].launches.total()
        shares = {f"launches_of_{name}": round(own / one.launches.total(), 3) for name, one in found.items()}
        rows.append({"base": key, **_as_json(found), **shares})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    for package in families.folders():
        tiny = importlib.import_module("tests.tiny" if package == "stable_diffusion_1" else f"tests.tiny_{package}")
        facts = importlib.import_module(f"lora_gui.families.{package}.facts").FACTS
        with tempfile.TemporaryDirectory() as folder:
            counted = small(family(facts.key), getattr(tiny, package)(Path(folder)))
        rows.append({"tiny": facts.key, **_as_json({"app": counted}), "waiting_for": dict(counted.waits)})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def _as_json(found: dict[str, Counted]) -> dict[str, Any]:
    return {name: one.to_json() for name, one in found.items()}


def known() -> list[str]:
    """The first base of each family whose configuration the app knows."""
    there = {one.key: [base.key for base in one.bases if families.configuration(base.key)]
             for one in families.facts().values()}  # fmt: skip
    return [keys[0] for keys in there.values() if keys]
