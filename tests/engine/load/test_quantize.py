"""Bases in int8 and NF4: near their originals, trainable under an adapter, quick to load at the second start."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from lora_gui.engine.load import quantize
from lora_gui.errors import UserError

PLACE = quantize.Placement(torch.device("cpu"), torch.float32, torch.device("cpu"))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Model(nn.Module):
    def __init__(self, width: int = 256, depth: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    state = Model().state_dict()
    (tmp_path / "base").mkdir()
    for n, names in enumerate((sorted(state)[:6], sorted(state)[6:])):
        safetensors.torch.save_file({k: state[k] for k in names}, tmp_path / "base" / f"model-{n}.safetensors")
    return tmp_path / "base"


def load(source: Path, precision: str) -> nn.Module:
    return quantize.load(Model, source, precision, PLACE, source.parent / "kept")


def original(source: Path) -> Model:
    model = Model()
    state = {}
    for file in source.glob("*.safetensors"):
        state |= safetensors.torch.load_file(file)
    model.load_state_dict(state)
    return model.requires_grad_(False)


@pytest.mark.parametrize(("precision", "error"), [("int8", 0.01), ("nf4", 0.12)])
def test_a_quantised_base_is_near_its_original_and_few_layers_stay_exact(source, precision, error):
    whole, small = original(source), load(source, precision)
    assert isinstance(small.blocks[0].up, quantize.KINDS[precision])
    assert type(small.first) is nn.Linear and torch.equal(small.first.weight, whole.first.weight)
    ours, theirs = small.blocks[1].down.weight, whole.blocks[1].down.weight
    assert (ours - theirs).norm() / theirs.norm() < error
    x = torch.randn(3, 256)
    assert (small(x) - whole(x)).norm() / whole(x).norm() < error


def test_nf4_is_what_bitsandbytes_makes_of_it(source):
    import bitsandbytes.functional as bnb

    weight = original(source).blocks[0].up.weight
    packed, state = bnb.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    theirs = bnb.dequantize_4bit(packed, state)
    assert torch.allclose(load(source, "nf4").blocks[0].up.weight, theirs, atol=1e-6)


@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_the_second_start_reads_the_small_files_and_gives_the_same(source, precision):
    first = load(source, precision)
    kept = list((source.parent / "kept").rglob("*.safetensors"))
    assert kept
    for file in source.glob("*.safetensors"):  # spoil the originals, which must not be read again
        stat = file.stat()
        file.write_bytes(b"\0" * stat.st_size)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = load(source, precision)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_a_lora_on_a_quantised_base_learns_and_nothing_else_does(source, precision):
    model = load(source, precision)
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["up", "down"]), model, "ours")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if "lora_" not in name}
    learning = [p for p in model.parameters() if p.requires_grad]
    assert {name.split(".")[-3] for name, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    assert all(p.dtype == torch.float32 for p in learning)
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    torch.manual_seed(1)
    x, target = torch.randn(8, 256), torch.randn(8, 256)
    losses = []
    for _ in range(12):
        loss = (model(x) - target).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items() if name in before)


@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_gradients_are_those_of_the_dequantised_weights_and_no_such_weight_is_kept(source, precision):
    layer = load(source, precision).blocks[0].up
    x = torch.randn(5, 256, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = layer(x)
    assert not kept
    y.pow(2).sum().backward()
    reference = x.detach().clone().requires_grad_()
    nn.functional.linear(reference, layer.weight, layer.bias).pow(2).sum().backward()
    assert torch.allclose(x.grad, reference.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_a_change_of_format_leaves_the_scales_alone(source, precision):
    layer = load(source, precision).blocks[0].up
    before = layer.dequantised(torch.float32)
    layer.to(torch.bfloat16)
    assert layer.bias.dtype == torch.bfloat16
    assert torch.equal(layer.dequantised(torch.float32), before)
    assert layer(torch.randn(2, 256, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_damaged_and_an_incomplete_base_are_refused_in_a_sentence(source):
    shards = sorted(source.glob("*.safetensors"))
    data = shards[0].read_bytes()
    shards[0].write_bytes(data[:-100])
    with pytest.raises(UserError, match="damaged"):
        load(source, "nf4")
    shards[0].unlink()
    with pytest.raises(UserError, match="not whole"):
        load(source, "nf4")


def test_the_files_that_the_index_lists_are_quantised_and_no_other_variant(tmp_path):
    name, original = "diffusion_pytorch_model", Model()
    shard = f"{name}-00001-of-00001.safetensors"
    safetensors.torch.save_file(original.state_dict(), tmp_path / shard)
    wrong = {key: torch.zeros_like(value) for key, value in original.state_dict().items()}
    safetensors.torch.save_file(wrong, tmp_path / f"{name}.non_ema.safetensors")
    (tmp_path / f"._{name}.safetensors").write_bytes(b"\0\5\x16\7")
    listed = {"weight_map": dict.fromkeys(wrong, shard)}
    (tmp_path / f"{name}.safetensors.index.json").write_text(json.dumps(listed))
    x = torch.ones(1, 256)
    assert torch.allclose(quantize.load(Model, tmp_path, "int8", PLACE)(x), original(x), atol=0.05)
