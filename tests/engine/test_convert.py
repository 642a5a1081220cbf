"""A LoRA written in another dialect: in one dtype, and known for what it was."""

import os
import shutil
import sys

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.engine import convert as conversion
from lora_gui.engine.convert import convert
from lora_gui.errors import UserError
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.formats.lora_file import Layer
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras
from tests import making
from tests.formats.test_foreign_files import FLUX, KNOWN, same, save


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_fused_layer_with_one_down_is_converted_to_one_dtype(tmp_path, dtype):
    module = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {f"{module}.lora_down.weight": torch.randn(4, 3072).to(dtype),
               f"{module}.lora_up.weight": torch.randn(9216, 4).to(dtype),
               f"{module}.alpha": torch.tensor(3.0, dtype=dtype)}  # fmt: skip
    path, out = save(tmp_path / "a.safetensors", tensors, ss_base_model_version="flux1"), tmp_path / "b.safetensors"
    list(convert(ConvertJob(file=str(path), to="diffusers", out=str(out))))
    assert len({value.dtype for value in safetensors.torch.load_file(out).values()}) == 1
    same(dialects.read(path, None, FLUX, KNOWN), dialects.read(out, None, FLUX, KNOWN))


@pytest.mark.parametrize(
    ("module", "size", "family", "to"),
    [
        ("lora_te1_text_model_encoder_layers_{}_mlp_fc1", (3072, 768), "sdxl", "diffusers"),
        ("lora_unet_down_blocks_{}_resnets_0_conv1", (32, 32, 3, 3), "sd1", "diffusers"),
        ("lora_unet_down_blocks_{}_resnets_0_conv1", (32, 32, 3, 3), "sd1", "comfy"),
    ],
)
def test_what_is_converted_is_known_for_the_same_family_again(tmp_path, module, size, family, to):
    tensors = {}
    for n in range(2):
        tensors[f"{module.format(n)}.lora_down.weight"] = torch.randn(2, *size[1:])
        tensors[f"{module.format(n)}.lora_up.weight"] = torch.randn(size[0], 2, *[1] * (len(size) - 2))
    path, out = save(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors"
    list(convert(ConvertJob(file=str(path), to=to, out=str(out))))
    assert loras.describe(path).family == loras.describe(out).family == family and loras.describe(out).dialect == to
    named = save(tmp_path / "c.safetensors", tensors, **{"modelspec.architecture": "my own"})
    again = tmp_path / "d.safetensors"
    list(convert(ConvertJob(file=str(named), to=to, out=str(again))))
    assert loras.describe(again).family == family


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_a_lora_at_a_path_whose_bytes_are_no_letters_is_read_as_any_other(tmp_path):
    folder = tmp_path / os.fsdecode(b"f\xfcchse")
    folder.mkdir()
    path = making.lora(Studio(tmp_path), "fox").rename(folder / "fox.safetensors")
    list(convert(ConvertJob(file=str(path), to="diffusers", out=str(folder / "out.safetensors"))))
    plain = shutil.copy(path, tmp_path / "plain.safetensors")
    facts = families.facts_of("sd1")
    same(dialects.read(plain, None, facts, KNOWN), dialects.read(folder / "out.safetensors", None, facts, KNOWN))


def test_what_would_be_taken_for_another_kind_is_not_written(tmp_path, monkeypatch):
    own = {"transformer.transformer_blocks.3.attn.to_out.0": Layer(torch.ones(2, 3072), torch.ones(3072, 2), 2.0)}
    path, out = save(tmp_path / "a.safetensors", dialects.build(own, FLUX)), tmp_path / "b.safetensors"
    monkeypatch.setattr(conversion, "checked", lambda *given: read_header(path))
    with pytest.raises(UserError, match="would not be the same"):
        list(convert(ConvertJob(file=str(path), to="diffusers", out=str(out))))
    assert not out.exists()
