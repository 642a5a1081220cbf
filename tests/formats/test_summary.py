"""What is told of a LoRA file by its header and its alphas."""

import itertools

import pytest
import torch

from lora_gui.studio.things import loras
from tests.formats.test_foreign_files import save


@pytest.mark.parametrize(
    ("ranks", "dim", "told"),
    [
        ({"img_attn_qkv": 12, "txt_mlp_0": 12}, "", 12),  # sd-scripts: one rank for what is fused
        ({"img_attn_qkv": 12, "txt_mlp_0": 4}, "", 4),  # side by side, as it is written here
        ({"img_attn_qkv": 12}, "", 4),
        ({"img_attn_qkv": 12}, "12", 12),
        ({"img_attn_qkv": 12}, "4", 4),
    ],
)
def test_the_rank_of_fused_layers_is_told_in_the_way_that_makes_them_alike(tmp_path, ranks, dim, told):
    sizes = {"img_attn_qkv": (9216, 3072), "txt_mlp_0": (12288, 3072)}
    tensors = {}
    for (kind, rank), n in itertools.product(ranks.items(), range(19)):
        module, (outs, inputs) = f"lora_unet_double_blocks_{n}_{kind}", sizes[kind]
        tensors[f"{module}.lora_down.weight"] = torch.zeros(rank, inputs, dtype=torch.float16)
        tensors[f"{module}.lora_up.weight"] = torch.zeros(outs, rank, dtype=torch.float16)
        tensors[f"{module}.alpha"] = torch.tensor(float(rank))
    info = loras.describe(save(tmp_path / "a.safetensors", tensors, **({"ss_network_dim": dim} if dim else {})))
    assert (info.rank, info.alpha) == (told, told) and not any("different" in one for one in info.odd)
