"""A studio with two LoRAs of the starter, and the real child that draws with them."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from tests import making

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    found = Studio(tmp_path_factory.mktemp("studio"))
    found.prepare()
    for seed, name in enumerate(("ink", "owl")):
        lora(found, name, seed)
    return found


@pytest.fixture(scope="module")
def drawer(studio):
    found = Drawer(studio)
    yield found
    found.close()


def lora(studio, name, seed):
    """Of the starter's attention, strong enough to be seen in one step."""
    width, random = 192, np.random.default_rng(seed)
    tensors = {}
    for layer in "qkv":
        tensors[f"{LAYER}{layer}.lora_down.weight"] = random.normal(size=(4, width)).astype(np.float32)
        tensors[f"{LAYER}{layer}.lora_up.weight"] = random.normal(size=(width, 4)).astype(np.float32) / 4
    studio.loras.mkdir(parents=True, exist_ok=True)
    save_file(tensors, studio.loras / f"{name}.safetensors", making.SAYS)
