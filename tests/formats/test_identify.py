"""The family and the dialect of a LoRA file are told by its header alone."""

import numpy as np
import pytest
from safetensors.numpy import save

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats import summary
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from tests.formats.test_header import FACTS, tensors


@pytest.mark.parametrize(
    ("layer", "down", "up", "dialect"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "lora_down", "lora_up", "kohya"),
        ("unet.down_blocks.0.attentions.0.to_q", "lora_A", "lora_B", "diffusers"),
        ("diffusion_model.double_blocks.0.img_attn.qkv", "lora_A", "lora_B", "comfy"),
        ("lora_transformer_transformer_blocks_0_attn_to_q", "lora_down", "lora_up", "onetrainer"),
    ],
)
def test_each_dialect_is_told_from_the_others(tmp_path, layer, down, up, dialect):
    path = tmp_path / "a.safetensors"
    halves = {
        f"{layer}.{down}.weight": np.ones((2, 8), np.float32),
        f"{layer}.{up}.weight": np.ones((8, 2), np.float32),
    }
    path.write_bytes(save(halves, {"ss_base_model_version": "toy_v1"}))
    header = read_header(path)
    assert identify(header, [FACTS]) == ("toy", dialect)
    assert header.rank == 2 and summary.alphas(path, header) == {}


def test_a_file_that_says_nothing_is_known_by_its_layers(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors()))
    assert identify(read_header(path), list(families.facts().values())) == ("sd1", "kohya")


def test_a_lora_of_another_kind_of_base_is_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {"modelspec.architecture": "flux-1-dev/lora"}))
    with pytest.raises(UserError, match="flux-1-dev/lora"):
        identify(read_header(path), [FACTS])


def test_unknown_layer_names_beside_known_ones_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(
        save(tensors() | {"something.else": np.ones(1, np.float16)}, {"modelspec.architecture": "toy-v1/lora"})
    )
    with pytest.raises(UserError, match="not known"):
        identify(read_header(path), [FACTS])
