"""Streamed blocks give exactly what resident ones give, forward and backward, and take the memory of a few buffers."""

import copy

import pytest
import torch
from diffusers import FluxTransformer2DModel
from peft import LoraConfig, inject_adapter_in_model

from lora_gui.engine.load import offload, quantize
from lora_gui.errors import UserError

CPU = torch.device("cpu")


def flux() -> FluxTransformer2DModel:
    """Two double and four single blocks of the real class."""
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=4, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return model.requires_grad_(False)


def inputs(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {
        "hidden_states": torch.randn(1, 16, 16), "encoder_hidden_states": torch.randn(1, 8, 32),
        "pooled_projections": torch.randn(1, 16), "timestep": torch.rand(1),
        "img_ids": torch.randn(16, 3), "txt_ids": torch.zeros(8, 3),
    }  # fmt: skip


def with_lora(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(2)
    config = LoraConfig(r=4, target_modules=["to_q", "to_v", "proj_mlp"], init_lora_weights=False)
    inject_adapter_in_model(config, model, "ours")
    return model


def gradients(model: torch.nn.Module, steps: int = 3) -> list[torch.Tensor]:
    """All gradients of some steps, each with a small change of the LoRA between them."""
    found = []
    for seed in range(steps):
        model(**inputs(seed)).sample.pow(2).mean().backward()
        for weight in (p for p in model.parameters() if p.requires_grad):
            found.append(weight.grad.clone())
            weight.data -= 0.1 * weight.grad
            weight.grad = None
    return found


@pytest.mark.parametrize("count", [2, 6])
def test_gradients_are_bit_identical_to_those_of_resident_blocks(count):
    resident = flux()
    streamed = copy.deepcopy(resident)
    streamer = offload.BlockOffloader(streamed, CPU, count)
    for model in (resident, streamed):
        with_lora(model).enable_gradient_checkpointing()
    for ours, theirs in zip(gradients(streamed), gradients(resident), strict=True):
        assert torch.equal(ours, theirs)
    assert streamer.copied > 0


def test_quantised_blocks_can_be_streamed_too():
    resident = flux()
    for precision in ("int8", "nf4"):
        model = copy.deepcopy(resident)
        whole = dict(model.named_modules())
        held = {path: module.weight for path, module in whole.items() if isinstance(module, torch.nn.Linear)}
        quantize_all(model, precision, held)
        streamed = copy.deepcopy(model)
        offload.BlockOffloader(streamed, CPU, 6)
        for one in (model, streamed):
            with_lora(one).enable_gradient_checkpointing()
        for ours, theirs in zip(gradients(streamed, 2), gradients(model, 2), strict=True):
            assert torch.equal(ours, theirs)


def quantize_all(model: torch.nn.Module, precision: str, held: dict[str, torch.Tensor]) -> None:
    """Every linear layer inside a block, however small."""
    kind = quantize.KINDS[precision]
    for path, weight in held.items():
        if "blocks." in path and weight.numel() % 64 == 0:
            above, _, name = path.rpartition(".")
            old = model.get_submodule(path)
            new = kind(old.in_features, old.out_features, old.bias, CPU)
            for buffer, value in kind.quantise(weight).items():
                new._buffers[buffer] = value
            setattr(model.get_submodule(above), name, new)


def test_drawing_gives_the_same_and_each_block_is_copied_once_a_pass():
    resident = flux()
    streamed = copy.deepcopy(resident)
    streamer = offload.BlockOffloader(streamed, CPU, 6)
    with torch.no_grad():
        for seed in range(4):
            assert torch.equal(streamed(**inputs(seed)).sample, resident(**inputs(seed)).sample)
    assert 4 * streamer.ram <= streamer.copied <= 5 * streamer.ram


def test_a_training_step_copies_each_block_twice_at_most():
    model = flux()
    streamer = offload.BlockOffloader(model, CPU, 6)
    with_lora(model).enable_gradient_checkpointing()
    gradients(model, 2)
    before = streamer.copied
    gradients(model, 3)
    assert streamer.copied - before <= 3 * 2 * streamer.ram


def test_only_the_buffers_stay_on_the_device_and_shapes_can_still_be_read():
    model = flux()
    shapes = {name: p.shape for name, p in model.named_parameters()}
    largest = max(offload.size(block) for _, block in offload.blocks(model))
    streamer = offload.BlockOffloader(model, CPU, 6)
    assert sum(buffer.nbytes for buffer in streamer._buffers) == offload.RING * largest
    assert {name: p.shape for name, p in model.named_parameters()} == shapes
    inside = [p for name, p in model.named_parameters() if "transformer_blocks." in name]
    assert sum(p.untyped_storage().nbytes() for p in inside) < 0.01 * streamer.ram


def test_training_without_recomputing_is_refused_in_a_sentence():
    model = flux()
    offload.BlockOffloader(model, CPU, 6)
    with pytest.raises(UserError, match="without recomputing"):
        with_lora(model)(**inputs(0))
