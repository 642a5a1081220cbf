"""Hold the memory plan of a training step against a real one on the processor, every living tensor counted.

python tests/bench/plan_and_step.py [sd15] [sdxl] [flux1-dev] [--recompute HOW ...] [--resolution PX]

Stable Diffusion 1.5 and XL at their full size, FLUX.1 at its full width with four of its 57 blocks; random weights, the
settings that the preset Style has for a card of 12 GB. Each row is held to the plan without the runtime's own share,
which is that of a card's driver, part by part in GiB; the exit code is 0 only if every sum is within 5 %.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from lora_gui.engine.load import loading, quantize
from lora_gui.engine.load.device import dtype_of
from lora_gui.engine.memory import networks
from lora_gui.engine.memory.phases import GIB, Planner
from lora_gui.engine.memory.tracker import Live
from lora_gui.engine.train import recompute, spared
from lora_gui.engine.train.cache import Cache
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
from lora_gui.framing import Framing
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import Recomputing, TrainSettings
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets

WITHIN = 0.05
CUT = {"flux1-dev": {"num_layers": 2, "num_single_layers": 2}}
CAPTIONS: dict[str, dict[str, tuple[int, ...]]] = {  # what is cached of one
    "sd1": {"text": (77, 768)},
    "sdxl": {"text": (77, 2048), "pooled": (1280,)},
    "flux1": {"text": (512, 4096), "pooled": (768,)},
}
SCHEDULERS = {"flux1": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)}


class Counting(Live):
    """Counts a real step: what is alive when the backward begins, and at the most."""

    def __init__(self, *held: Any) -> None:
        super().__init__(*held)
        self.saved = 0
        self._backward = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        backward = torch._C._current_graph_task_id() != -1
        if backward and not self._backward:
            self.saved = max(self.saved, self.now)
        self._backward = backward
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _result(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)


def settings_of(key: str, how: str, side: int) -> TrainSettings:
    filled = presets.fill(Studio(Path("none")), "style", plans.base_of(Studio(Path("none")), key), 20, card=12)
    told = {"gradient_checkpointing": how, "resolution": side or filled.resolution, "record_steps": False}
    return filled.model_copy(update=told)  # a processor records nothing


def planned(planner: Planner, settings: TrainSettings) -> dict[str, float]:
    phase = planner.training(settings)
    return {"weights": phase.weights, "lora": phase.lora, "saved": phase.saved, "working": phase.working}


def made(planner: Planner, settings: TrainSettings) -> dict[str, Any]:
    """The parts that are trained, each weight drawn at random, in the precision that is asked for."""
    parts = {}
    for name, (component, _) in planner.denoisers.items():
        network = networks.build(component, dtype_of(settings.precision)).to_empty(device="cpu")
        with torch.no_grad():
            for weight in network.parameters():
                weight.normal_(std=0.02)
        if settings.precision in quantize.PRECISIONS:
            whole = {path: one for path, one in network.named_modules() if isinstance(one, torch.nn.Linear)}
            quantise(network, settings.precision, {path: one.weight for path, one in whole.items()})
        parts[name] = network.requires_grad_(False)
    return parts


def quantise(network: torch.nn.Module, precision: str, weights: dict[str, torch.Tensor]) -> None:
    """As loading does it, layer by layer."""
    quantize.replace(network, precision, torch.device("cpu"))
    for path, module in network.named_modules():
        if isinstance(module, quantize.QuantizedLinear):
            module._buffers.update(module.quantise(weights.pop(path)))


def measured(key: str, planner: Planner, settings: TrainSettings, folder: Path) -> dict[str, float]:
    """The app's own step, with the averages of its optimizer there already."""
    own, parts = planner.family, made(planner, settings)
    SCHEDULERS.get(own.facts.key, DDPMScheduler(beta_schedule="scaled_linear")).save_pretrained(folder / "scheduler")
    weights = sum(map(loading.nbytes, parts.values()))
    for part in parts.values():
        recompute.apply(part, settings.gradient_checkpointing, torch.device("cpu"))
    cells, side = settings.resolution // 8, settings.resolution
    channels = 16 if own.facts.key == "flux1" else 4
    picture = {name: torch.randn(channels, cells, cells) for name in ("mean", "std")}
    dtype, told = dtype_of(settings.precision), CAPTIONS[own.facts.key]
    captions = {name: torch.randn(2, *shape).to(dtype) for name, shape in told.items()}
    cache = Cache([Framing((side, side), (side, side))], [[picture]], captions, [[0]], [], torch.device("cpu"))
    base = plans.base_of(Studio(folder), key).model_copy(update={"path": str(folder)})
    job = TrainJob(name="counted", trigger="zxy", preset="style", pictures=(), settings=settings, base=base)
    spared._FEW = 0  # a processor alone takes plain products for attention, which keep their scores
    state = TrainState(job, own, parts, cache, torch.device("cpu"), dtype, folder)
    for masters in state.masters:
        masters.gather()
    state._improve()  # without any gradient
    buffers = [one for masters in state.masters for one in masters.buffers()]
    kept = [one for held in state.optimizer.state.values() for one in held.values()]
    averages = [one for one in kept if isinstance(one, torch.Tensor)]
    waiting = [*picture.values(), *captions.values()]  # in the computer's own memory, beside a card
    counting = Counting(parts.values(), [*buffers, *averages, *waiting])
    with counting:
        state.one_step(itertools.repeat([0]))
    lora = {one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in (*buffers, *averages)}
    peak = counting.total()[1]
    return {"weights": weights, "lora": sum(lora.values()), "saved": counting.saved, "working": peak - counting.saved}


def compared(key: str, how: str, side: int) -> dict[str, Any]:
    base = plans.base_of(Studio(Path("none")), key)
    components = networks.components(base)
    for name, changed in (("transformer", CUT.get(key, {})),):
        if name in components:
            components[name] = components[name] | {"config": components[name]["config"] | changed}
    settings, began = settings_of(key, how, side), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        planner = Planner(components, family(base.family), Path(folder) / "plans")
        expected, found = planned(planner, settings), measured(key, planner, settings, Path(folder))
    row = {part: [round(expected[part] / GIB, 3), round(found[part] / GIB, 3)] for part in expected}
    ratio = sum(found.values()) / sum(expected.values())
    share = (found["saved"] + found["working"]) / (expected["saved"] + expected["working"])
    told = {"ratio": round(ratio, 3), "of_activations": round(share, 3)}
    asked = {"base": key, "recompute": how, "px": settings.resolution}
    return asked | row | told | {"seconds": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="*", default=["sd15", "sdxl", "flux1-dev"])
    parser.add_argument("--recompute", nargs="+", choices=get_args(Recomputing), default=["blocks"])
    parser.add_argument("--resolution", type=int, default=0, metavar="PX", help="default: the preset's")
    options = parser.parse_args()
    off = False
    for key, how in itertools.product(options.base, options.recompute):
        row = compared(key, how, options.resolution)
        off |= abs(row["ratio"] - 1) > WITHIN
        print(json.dumps(row), flush=True)
    sys.exit(off)


if __name__ == "__main__":
    main()
