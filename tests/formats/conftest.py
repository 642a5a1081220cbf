"""The networks of one tiny base, for LoRA files that are read for it."""

import pytest
import torch
from diffusers import StableDiffusionPipeline

from lora_gui.engine.load import lora
from lora_gui.formats.lora_file import Layer
from tests import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    pipeline = StableDiffusionPipeline.from_pretrained(tiny.stable_diffusion_1(tmp_path_factory.mktemp("parts")))
    return {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}


@pytest.fixture(scope="module")
def shapes(parts):
    return lora.shapes(parts)


@pytest.fixture(scope="module")
def layers(shapes):
    chosen = [
        n for n in shapes if n.endswith(("attn1.to_q", "attn1.to_out.0", "self_attn.q_proj", "self_attn.out_proj"))
    ]
    return {
        name: Layer(torch.randn(2, shapes[name][1]).half().float(), torch.randn(shapes[name][0], 2).half().float(), 2.0)
        for name in chosen
    }
