"""Attention alone, or every linear layer of the transformers? Held-out loss of both on the starter, as one table.

python tests/bench/layers.py [STEPS]
A quarter of the pictures is not learnt; what is predicted of them at fixed noise is asked now and then, the time not
counted. Both kinds are compared after as many steps, and after as many seconds as attention took; rank and rate are
the same. Negative figures: with linear layers, pictures that were not learnt are predicted better.

With 200 steps, two seeds: style -2.8 % after as many steps and -3.6 % after as much time, character -5.0 % and -5.4 %,
each pair with the same sign; a step costs a sixth more.
"""

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from lora_gui.engine.train import buckets, cache
from lora_gui.engine.train.step import TrainState
from lora_gui.families import family
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio.things import bases, pictures
from tests import tiny

CPU = torch.device("cpu")
PRESETS, SEEDS, KINDS = ("style", "character"), (1, 2), ("attention", "linear")
STEPS, LOOKS, DRAWS, APART = 200, 4, 12, 4  # one picture of APART is not learnt
Curve = list[tuple[float, float]]  # seconds of learning, and the loss of what is not learnt


def job_of(preset: str, steps: int) -> TrainJob:
    folder = pictures.examples()[preset]
    found = tuple(
        TrainPicture(path=str(one), caption=one.with_suffix(".txt").read_text("utf-8").strip())
        for one in sorted(folder.glob("*.png"))
    )
    settings = TrainSettings(
        rank=16, alpha=16, steps=steps, learning_rate=1e-3, scheduler="constant", resolution=128, precision="fp32",
        batch_size=4, caption_dropout=0,
    )  # fmt: skip
    base = Base(key="starter", title="Starter", family="sd1", path=str(bases.SHIPPED))
    return TrainJob(name="x", trigger="zxy", preset=preset, base=base, pictures=found, settings=settings)


def unseen(state: TrainState, apart: list[int]) -> float:
    """Mean loss of the pictures apart, at the same noise and timesteps whenever it is asked."""
    rng, generator = random.Random(0), torch.Generator()
    with torch.no_grad():
        return mean(
            float(state.loss(state.drawn(state.cache.batch(apart, 0.0, rng), generator.manual_seed(draw))).mean())
            for draw in range(DRAWS)
        )


def learn(job: TrainJob, encoded: cache.Cache, layers: str, seed: int) -> Curve:
    """The course of a training: at its beginning, and then after each quarter of its steps."""
    own, settings = family("sd1"), job.settings.model_copy(update={"layers": layers, "seed": seed})
    job = job.model_copy(update={"settings": settings})
    state = TrainState(job, own, own.denoisers(Path(job.base.path), CPU, torch.float32), encoded, CPU, Path("."))
    apart = list(range(seed % APART, len(job.pictures), APART))
    learnt = [n for n in range(len(job.pictures)) if n not in apart]
    order = buckets.batches([encoded.sizes[n] for n in learnt], settings.batch_size, seed)
    batches = ([learnt[n] for n in batch] for batch in order)
    seconds, curve = 0.0, [(0.0, unseen(state, apart))]
    for _ in range(LOOKS):
        began = time.thread_time()
        for _ in range(settings.steps // LOOKS):
            state.one_step(batches)
        seconds += time.thread_time() - began
        curve.append((seconds, unseen(state, apart)))
    return curve


def compared(attention: Curve, linear: Curve) -> tuple[float, float]:
    """By how many per cent the loss with linear layers is above the other: after as many steps, and as much time."""
    times, losses = zip(*linear, strict=True)
    in_time = float(np.interp(attention[-1][0], times, losses))
    return tuple(100 * (loss / attention[-1][1] - 1) for loss in (linear[-1][1], in_time))


def in_words(row: Sequence[float]) -> str:
    """After as many steps, after as much time, and what a step costs more."""
    return f"{row[0]:+12.2f} %{row[1]:+10.2f} %{row[2]:12.2f}"


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    torch.set_num_threads(1)
    print(f"{'':12} seed   before  attention  linear   equal steps  equal time   time of a step")
    for preset in PRESETS:
        job = job_of(preset, steps)
        encoded, _ = tiny.outcome(cache.build(job, family("sd1"), [], CPU, torch.float32))
        rows = []
        for seed in SEEDS:
            one, other = (learn(job, encoded, kind, seed) for kind in KINDS)
            rows.append((*compared(one, other), other[-1][0] / one[-1][0]))
            losses = f"{one[0][1]:9.4f}{one[-1][1]:9.4f}{other[-1][1]:9.4f}"
            print(f"{preset:12}{seed:4}{losses}{in_words(rows[-1])}", flush=True)
        print(f"{preset:12}mean{'':27}{in_words([mean(column) for column in zip(*rows, strict=True)])}", flush=True)


if __name__ == "__main__":
    main()
