"""Does a bias of the noise levels harm what the starter learns? Losses of unseen pictures by noise level, as one table.

python tests/bench/timestep_bias.py [STEPS]
A quarter of the pictures is not learnt; after STEPS steps what is predicted of them at fixed noise is compared with
what the base predicts, over all noise levels alike, and over the clear and the noisy third alone: 0.90 is a tenth
nearer. Style should be nearer where it is clear, content where it is noisy, and neither much farther over all.
"""

import random
import sys
from pathlib import Path
from statistics import mean
from typing import get_args

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from lora_gui.engine.train import buckets, cache, losses
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
from lora_gui.few_pictures import TimestepBias
from tests import tiny
from tests.bench.layers import APART, CPU, job_of

PRESETS, SEEDS, STEPS, DRAWS = ("style", "character"), (1, 2), 150, 4
THIRDS = {"all": (0, 1), "clear": (0, 1 / 3), "noisy": (2 / 3, 1)}


def unseen(state: TrainState, apart: list[int]) -> dict[str, float]:
    """Mean loss of the pictures apart within each range of noise levels, at noise that stays the same."""
    found = {}
    batch = state.cache.batch(apart, 0.0, random.Random(0))
    for name, (low, high) in THIRDS.items():
        of_draws = []
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(draw)
            given = losses.drawn(state.family, state.parts, batch, state.noising, state.job.settings, generator)
            share = (torch.arange(len(apart)) + (draw + 0.5) / DRAWS) / len(apart)
            timesteps = ((low + (high - low) * share) * 1000).long()
            given = {part: one._replace(timesteps=timesteps) for part, one in given.items()}
            with torch.no_grad():
                of_draws.append(float(state.loss(given).mean()))
        found[name] = mean(of_draws)
    return found


def learnt(job, encoded: cache.Cache, bias: str, seed: int) -> dict[str, float]:
    """The losses after learning over those before."""
    own, update = family("sd1"), {"timestep_bias": bias, "seed": seed}
    job = job.model_copy(update={"settings": job.settings.model_copy(update=update)})
    parts = own.denoisers(Path(job.base.path), CPU, torch.float32)
    state = TrainState(job, own, parts, encoded, CPU, torch.float32, Path("."))
    apart = list(range(seed % APART, len(job.pictures), APART))
    kept = [n for n in range(len(job.pictures)) if n not in apart]
    order = buckets.batches([encoded.sizes[n] for n in kept], job.settings.batch_size, seed)
    batches = ([kept[n] for n in batch] for batch in order)
    before = unseen(state, apart)
    for _ in range(job.settings.steps):
        state.one_step(batches)
    return {name: loss / before[name] for name, loss in unseen(state, apart).items()}


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    torch.set_num_threads(1)
    print(f"{'':12}{'bias':10}" + "".join(f"{name:>8}" for name in THIRDS))
    for preset in PRESETS:
        job = job_of(preset, steps)
        encoded, _ = tiny.outcome(cache.build(job, family("sd1"), [], CPU, torch.float32))
        for bias in get_args(TimestepBias):
            found = [learnt(job, encoded, bias, seed) for seed in SEEDS]
            row = "".join(f"{mean(one[name] for one in found):8.3f}" for name in THIRDS)
            print(f"{preset:12}{bias:10}{row}", flush=True)


if __name__ == "__main__":
    main()
