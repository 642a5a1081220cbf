"""The networks of one tiny base, for LoRA files that are read for it."""

import pytest
from diffusers import StableDiffusionPipeline

from lora_gui.engine.load import lora
from tests import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny.stable_diffusion_1(tmp_path_factory.mktemp("parts")))
    return {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}


@pytest.fixture(scope="module")
def shapes(parts):
    return lora.shapes(parts)
