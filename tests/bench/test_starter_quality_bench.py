"""The figures of the starter are those of drawings as the app makes them."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from starter_quality import MODEL, USUAL, draw, load

from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.families import family


def test_the_bench_draws_what_the_app_draws():
    prompts = ["red apple on a blue background", "owl on a white background"]
    ours = Pipeline(family("sd1"), MODEL, torch.device("cpu"), torch.float32)
    settings = [USUAL.model_copy(update={"prompt": prompt, "width": 128, "height": 128}) for prompt in prompts]
    expected = np.stack([np.array(ours.draw(one, seed), dtype=int) for seed, one in enumerate(settings)])
    drawn = (draw(load(MODEL), prompts) + 1).permute(0, 2, 3, 1).numpy() * 127.5
    assert np.abs(drawn.round() - expected).max() <= 2
