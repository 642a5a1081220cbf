"""Tiny captioners of every kind, made once, and pictures that they look at."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tiny_captioners


@pytest.fixture(scope="package")
def captioner(tmp_path_factory):
    """The folder of one, by its kind; the generation of Qwen-VL behind it."""
    home, made = tmp_path_factory.mktemp("captioners"), {}

    def folder(kind, *more):
        name = kind + "".join(more)
        if name not in made:
            torch.manual_seed(0)
            made[name] = tiny_captioners.ALL[kind](home / name, *more)
        return made[name]

    return folder


@pytest.fixture
def pictures(tmp_path):
    """Three of different sizes."""
    dice = np.random.default_rng(0)
    paths = []
    for number, (height, width) in enumerate(((60, 80), (90, 64), (64, 64))):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray((dice.random((height, width, 3)) * 255).astype("uint8")).save(paths[-1])
    return [str(path) for path in paths]
