"""Whether a base fits this computer. Sparse files stand for a large one."""

import json
import os
import platform
import shutil
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from lora_gui.errors import UserError
from lora_gui.formats import cache_names
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu
from lora_gui.studio.paths import Studio


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


@pytest.fixture
def large(studio):
    """A base of twelve billion numbers, by what its files say."""
    folder = studio.bases / "large"
    for part, count in (("transformer", 12), ("text_encoder_2", 5)):
        (folder / part).mkdir(parents=True)
        places = [[2 * n * 10**9, 2 * (n + 1) * 10**9] for n in range(count)]
        tensors = [{"dtype": "BF16", "shape": [50_000, 20_000], "data_offsets": place} for place in places]
        text = json.dumps({f"w{n}": tensor for n, tensor in enumerate(tensors)}).encode()
        (folder / part / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        os.truncate(folder / part / "model.safetensors", 8 + len(text) + count * 2 * 10**9)
    return Base(key="flux1-dev", title="A large base", family="flux1", path=str(folder))


def test_too_little_memory_for_a_base_is_said_before_anything_begins(studio, large, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: 0.0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=24 * 2**30))
    with pytest.raises(UserError, match="A large base takes about 46 GB of the computer's own memory"):
        fit.require(studio, large, TrainSettings(precision="fp32"))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * 2**30))
    with pytest.raises(UserError, match="takes about 11 GB") as caught:
        fit.require(studio, large, TrainSettings(precision="nf4"))
    assert caught.value.remedy == "Close other programs. Or choose a smaller base."
    monkeypatch.setattr(gpu, "memory", lambda: 12.0)
    with pytest.raises(UserError, match="fills 22.4 GB in this precision; your card has 12 GB") as caught:
        fit.require(studio, large, TrainSettings(precision="bf16"))
    assert "NF4" in caught.value.remedy


@pytest.mark.parametrize("quick, card, gib", [(True, 0.0, 24), (False, 0.0, 46), (False, 48.0, 24)])
def test_without_16_bits_a_processor_learns_in_32_and_needs_as_much(studio, large, quick, card, gib, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: card)
    monkeypatch.setattr(fit, "computes_in_16_bits", lambda: quick)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * 2**30))
    for precision in ("bf16", "fp16"):
        with pytest.raises(UserError, match=f"takes about {gib} GB of the computer's own memory; 20 GB are free"):
            fit.require(studio, large, TrainSettings(precision=precision))


def test_what_the_processor_computes_in_16_bits_is_known_without_torch():
    import torch

    fit.computes_in_16_bits.cache_clear()
    found = fit.computes_in_16_bits()
    assert found <= torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if platform.machine() in ("x86_64", "AMD64"):  # numpy calls it so
        assert any("X86_V4" in names for names in np.show_config(mode="dicts")["SIMD Extensions"].values())


def test_a_damaged_part_is_said_before_anything_begins(studio, large):
    os.truncate(studio.bases / "large" / "transformer" / "model.safetensors", 10_000)
    with pytest.raises(UserError, match="model.safetensors is cut short"):
        fit.require(studio, large, TrainSettings(precision="nf4"))


def test_a_base_that_the_card_does_not_hold_whole_is_drawn_with_as_it_is_trained(studio, large, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=99 * 2**30))
    held = {}
    for gib in (0.0, 6.0, 12.0, 24.0, 48.0):
        monkeypatch.setattr(gpu, "memory", lambda gib=gib: gib)
        held[gib] = fit.held(studio, large)
    assert held[0.0] == held[48.0] == {}
    assert held[12.0] == {"precision": "nf4", "streamed_blocks": 0} and held[24.0]["precision"] == "int8"
    assert held[6.0]["streamed_blocks"] > 0


def test_without_a_card_a_base_is_drawn_with_in_as_many_bits_as_the_memory_has_room_for(studio, large, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: 0.0)
    for quick, gib, precision, told in (
        (True, 99, "", ""), (True, 48, "bf16", ""), (False, 48, "int8", "in 8 bits"), (False, 16, "nf4", "in 4 bits"),
    ):  # fmt: skip
        monkeypatch.setattr(fit, "computes_in_16_bits", lambda quick=quick: quick)
        monkeypatch.setattr(psutil, "virtual_memory", lambda gib=gib: SimpleNamespace(total=gib * 2**30))
        held = fit.held(studio, large)
        assert held.get("precision", "") == precision
        assert told in fit.said(large, held) and bool(fit.said(large, held)) == bool(told)


@pytest.fixture
def free(monkeypatch):
    """`free(gib)`: so much of the disk is free, and there is plenty of memory."""
    monkeypatch.setattr(gpu, "memory", lambda: 0.0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=99 * 2**30))
    return lambda gib: monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=gib * 2**30))


def keep(studio, source, precision):
    """As the engine leaves a quantised network; tests/engine hold it to these names."""
    folder = studio.cache / "quantised" / cache_names.quantised(source, precision)
    folder.mkdir(parents=True)
    (folder / cache_names.INDEX).write_text("[]")


def test_room_on_the_disk_is_asked_for_unless_this_very_base_is_kept_in_that_precision(studio, large, free):
    transformer = studio.bases / "large" / "transformer"
    settings = TrainSettings(precision="nf4")
    keep(studio, studio.bases / "large" / "text_encoder_2", "nf4")  # another network
    keep(studio, transformer, "int8")  # another precision
    free(5)
    with pytest.raises(UserError, match="Keeping A large base in few bits takes 6.7 GB .*; 5.0 GB are free"):
        fit.require(studio, large, settings)
    free(7)
    fit.require(studio, large, settings)
    free(5)
    keep(studio, transformer, "nf4")
    fit.require(studio, large, settings)
    os.utime(transformer / "model.safetensors", (1, 1))  # another base has come in its place
    with pytest.raises(UserError, match="Keeping A large base"):
        fit.require(studio, large, settings)


def test_a_base_that_is_one_file_is_looked_for_where_it_is_unpacked(studio, free):
    path = studio.bases / "one.safetensors"
    path.parent.mkdir(parents=True)
    shapes = {
        "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": [77, 768],
        "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3],
        "model.diffusion_model.middle_block.0.weight": [30_000, 30_000],
    }
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * (shape[0] * shape[1] * (9 if len(shape) == 4 else 1))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)
    base = Base(key="one", title="One file", family="sd1", path=str(path))
    free(0.2)
    with pytest.raises(UserError, match="Keeping One file in few bits takes 0.5 GB"):
        fit.require(studio, base, TrainSettings(precision="nf4"))
    keep(studio, studio.cache / "unpacked" / cache_names.unpacked(path) / "unet", "nf4")
    fit.require(studio, base, TrainSettings(precision="nf4"))


def test_the_engine_keeps_a_quantised_network_where_it_is_looked_for(tmp_path):
    import torch
    from diffusers import UNet2DConditionModel

    from lora_gui.engine.load import loading
    from tests import tiny

    source = tiny.stable_diffusion_1(tmp_path) / "unet"
    assert not cache_names.is_quantised(tmp_path / "cache", source, "int8")
    for dtype in (torch.bfloat16, torch.float16):  # the second on older cards
        cache = tmp_path / str(dtype)
        load = loading.denoiser(TrainSettings(precision="int8"), str(cache))
        load(UNet2DConditionModel, source, torch.device("cpu"), dtype)
        assert cache_names.is_quantised(cache, source, "int8")
        assert not cache_names.is_quantised(cache, source, "nf4")
