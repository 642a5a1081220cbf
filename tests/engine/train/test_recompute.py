"""Recomputing changes no gradient by a bit, and each way keeps less than the one before, in reality and in the plan."""


from typing import get_args

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel

from lora_gui.engine.load import lora
from lora_gui.engine.memory import tracker
from lora_gui.engine.train import activations, adapter, recompute
from lora_gui.families import family
from lora_gui.settings import Recomputing, TrainSettings

CPU, WAYS = torch.device("cpu"), get_args(Recomputing)


def flux():
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return model.requires_grad_(False).eval()


def unet():
    torch.manual_seed(0)
    model = UNet2DConditionModel(
        sample_size=16, block_out_channels=(32, 32), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1, cross_attention_dim=32,
        attention_head_dim=4,
    )  # fmt: skip
    return model.requires_grad_(False).eval()


def flux_inputs(seed, device=CPU):
    torch.manual_seed(seed)
    made = {
        "hidden_states": torch.randn(2, 16, 16), "encoder_hidden_states": torch.randn(2, 8, 32),
        "pooled_projections": torch.randn(2, 16), "timestep": torch.rand(2),
        "img_ids": torch.randn(16, 3), "txt_ids": torch.zeros(8, 3),
    }  # fmt: skip
    return {name: one.to(device) for name, one in made.items()}


def unet_inputs(seed, device=CPU):
    torch.manual_seed(seed)
    made = {"sample": torch.randn(2, 4, 16, 16), "timestep": torch.rand(2)}
    made["encoder_hidden_states"] = torch.randn(2, 7, 32)
    return {name: one.to(device) for name, one in made.items()}


KINDS = {"flux1": (flux, flux_inputs, "transformer"), "sd1": (unet, unet_inputs, "unet")}


@pytest.fixture(autouse=True)
def all_of_it_moves(monkeypatch):
    """The tensors of such networks are far smaller than those that are worth a copy."""
    monkeypatch.setattr(activations, "_SMALLEST", 1024)


def learning(kind, device=CPU):
    """A network with an adapter that learns fused, and its flat weights."""
    make, _, part = KINDS[kind]
    network = make().to(device)
    settings = TrainSettings(rank=4, alpha=4, layers="linear")
    with torch.device(device):
        lora.add_new({part: network}, family(kind), settings, "ours")
        masters = adapter.fuse({part: network}, "ours", torch.float32)[0]
    if device == CPU:
        torch.manual_seed(3)
        masters.flat.data.normal_(std=0.1)
    return network, masters


def gradients(kind, how):
    """Of two steps, the network drawn with between them; and what kept activations in RAM."""
    network, masters = learning(kind)
    kept, found = recompute.apply(network, how, CPU), []
    for seed in range(2):
        network(**KINDS[kind][1](seed)).sample.pow(2).mean().backward()
        masters.gather()
        found.append(masters.flat.grad.clone())
        masters.flat.data -= 0.1 * masters.flat.grad
        masters.zero()
        with torch.no_grad():
            found.append(network(**KINDS[kind][1](9)).sample)
    return found, kept


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learnt_is_the_same_bit_for_bit(kind):
    plain, _ = gradients(kind, "none")
    assert all(one.abs().sum() > 0 for one in plain)
    for how in WAYS[1:]:
        found, kept = gradients(kind, how)
        assert all(map(torch.equal, found, plain)), how
        assert (kept is not None and kept.moved > 0) == (how == "blocks_in_ram")


@pytest.mark.parametrize("kind", KINDS)
def test_each_way_keeps_less_than_the_one_before(kind):
    network, masters = learning(kind, torch.device("meta"))
    call = lambda: network(**KINDS[kind][1](0, "meta")).sample  # noqa: E731
    traces = []
    for how in WAYS:
        recompute.apply(network, how, torch.device("meta"))
        traces.append(tracker.training([network], [call], masters.buffers()))
    saved = [trace.saved for trace in traces]
    assert saved == sorted(saved, reverse=True) and len(set(saved)) == len(WAYS)
    assert traces[0].flop < traces[1].flop < traces[2].flop == traces[3].flop


def test_a_network_can_be_told_otherwise_at_any_time():
    network, _ = learning("flux1")
    for how in ("blocks_in_ram", "feed_forward", "none"):
        recompute.apply(network, how, CPU)
    assert not network.is_gradient_checkpointing and "forward" not in vars(network)
    assert "forward" not in vars(network.transformer_blocks[0].ff)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_what_comes_back_from_ram_lies_in_memory_as_it_lay(shape):
    weight = torch.randn(24)
    layer = torch.nn.Identity()
    layer.forward = lambda x: x.exp()
    waiting = activations.InRam(layer, CPU)
    x = torch.randn(64, *shape).permute(2, 0, 1).requires_grad_()
    y = waiting.forward(x)
    kept = y.grad_fn._saved_result
    assert kept.stride() == y.stride() and torch.equal(kept, y) and waiting.moved == y.nbytes
    y.sum().backward()
    assert torch.equal(x.grad, x.exp()) and weight.numel() == 24


def test_blocks_that_are_offloaded_are_recomputed_whole():
    asked = [TrainSettings(streamed_blocks=2, gradient_checkpointing=how) for how in WAYS]
    found = [recompute.wanted(one, torch.device("meta")) for one in asked]
    assert found == ["blocks", "blocks", "blocks", "blocks_in_ram"]


def test_a_processor_keeps_activations_where_they_are():
    assert recompute.wanted(TrainSettings(gradient_checkpointing="blocks_in_ram"), CPU) == "blocks"
