"""What LoRAs do to a base: nothing at strength 0, and together exactly the sum of each."""

import pytest
import torch

from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats.lora_file import Layer
from lora_gui.settings import TrainSettings

CPU = torch.device("cpu")
FAMILY = family("sd1")


@pytest.fixture
def parts(base):
    return FAMILY.denoisers(base, CPU, torch.float32)


def random_layers(parts, seed, suffixes=("to_q", "conv1", "ff.net.2"), dora=False):
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for n, (name, weight) in enumerate(lora.shapes(parts).items()):
        if name.endswith(suffixes):
            rank = 2 + n % 2
            layers[name] = Layer(
                torch.randn(rank, *weight[1:], generator=generator) / 10,
                torch.randn(weight[0], rank, *[1] * (len(weight) - 2), generator=generator),
                alpha=1.0 + n % 3,
                magnitude=torch.rand(weight[0], generator=generator) + 1 if dora else None,
            )
    return layers


@torch.no_grad()
def predict(parts):
    generator = torch.Generator().manual_seed(0)
    noisy, text = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 16, 16, generator=generator)
    return parts["unet"](noisy, 500, text).sample


def with_deltas(base, *stack):
    """A fresh base with alpha / rank * up @ down added to its weights by hand."""
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    for layers, strength in stack:
        for name, layer in layers.items():
            parts["unet"].get_submodule(name.removeprefix("unet.")).weight.data += strength * layer.delta()
    return parts


def test_a_stack_is_the_sum_of_its_deltas(base, parts):
    one, two = random_layers(parts, 1), random_layers(parts, 2, ("to_q", "to_v", "proj_in"))
    lora.add(parts, one, "one")
    lora.add(parts, two, "two")
    for strengths in ((0.7, -0.5), (1.0, 1.0)):
        lora.activate(parts, dict(zip(("one", "two"), strengths, strict=True)))
        by_hand = with_deltas(base, (one, strengths[0]), (two, strengths[1]))
        torch.testing.assert_close(predict(parts), predict(by_hand), rtol=1e-3, atol=1e-4)


def test_strength_0_is_the_base_bit_for_bit(base, parts):
    before = predict(parts)
    lora.add(parts, random_layers(parts, 1), "one")
    lora.activate(parts, {"one": 1.0})
    assert not torch.equal(predict(parts), before)
    lora.activate(parts, {"one": 0.0})
    assert torch.equal(predict(parts), before)
    lora.activate(parts, {})
    assert torch.equal(predict(parts), before)


def test_a_lora_that_was_taken_out_is_gone(parts):
    before = predict(parts)
    for _ in range(2):  # its name is free again
        lora.add(parts, random_layers(parts, 1), "one")
        lora.activate(parts, {"one": 1.0})
        lora.remove(parts, "one")
        lora.activate(parts, {})
        assert torch.equal(predict(parts), before)
        assert not list(lora.adapter_layers(parts, "one"))


def test_weights_come_out_as_they_went_in(parts):
    layers = random_layers(parts, 1)
    lora.add(parts, layers, "one")
    back = lora.get_weights(parts, "one")
    assert back.keys() == layers.keys()
    for name, layer in layers.items():
        assert torch.equal(back[name].up, layer.up) and torch.equal(back[name].down, layer.down)
        assert back[name].alpha == layer.alpha


def test_a_dora_scales_each_output_to_its_magnitude(base, parts):
    layers = random_layers(parts, 1, ("to_q", "to_k"), dora=True)
    lora.add(parts, layers, "one")
    lora.activate(parts, {"one": 1.0})
    by_hand = FAMILY.denoisers(base, CPU, torch.float32)
    for name, layer in layers.items():
        module = by_hand["unet"].get_submodule(name.removeprefix("unet."))
        direction = module.weight.data + layer.delta()
        module.weight.data = layer.magnitude[:, None] * direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(predict(parts), predict(by_hand), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_new_lora_is_fp32_follows_from_the_seed_and_alone_has_gradients(base, dtype):
    def weights(seed):
        parts = FAMILY.denoisers(base, CPU, dtype)
        torch.rand(seed)  # the global random numbers have no part in it
        made = lora.add_new(parts, FAMILY, TrainSettings(rank=4, seed=seed), "new")
        learning = [p for p in parts["unet"].parameters() if p.requires_grad]
        assert {id(p) for p in learning} == {id(p) for p in made}
        return made

    one, again, other = weights(1), weights(1), weights(2)
    assert all(w.dtype == torch.float32 for w in one)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(not up.any() and down.any() for down, up in zip(one[::2], one[1::2], strict=True))


def test_weights_of_other_layers_are_refused(parts):
    layers = random_layers(parts, 1)
    lora.add(parts, layers, "one")
    with pytest.raises(UserError, match="other layers"):
        lora.set_weights(parts, dict(list(layers.items())[1:]), "one")


def test_only_the_layers_that_are_named_learn(base, parts):
    lora.add_new(parts, FAMILY, TrainSettings(layers="all", only_layers=("up_blocks.1", "conv_shortcut")), "some")
    learning = [key for key, _ in lora.adapter_layers(parts, "some")]
    lora.add_new(whole := FAMILY.denoisers(base, CPU, torch.float32), FAMILY, TrainSettings(layers="all"), "whole")
    everything = [key for key, _ in lora.adapter_layers(whole, "whole")]
    assert learning == [key for key in everything if ".up_blocks.1." in key or "conv_shortcut" in key] != []
    assert len(learning) < len(everything)


def test_a_name_that_no_layer_has_is_refused_in_a_sentence(parts):
    with pytest.raises(UserError, match=r"has up_blocks\.9 or down_blocks\.7 in its name") as refused:
        lora.add_new(parts, FAMILY, TrainSettings(only_layers=("up_blocks.9", "down_blocks.7")), "none")
    assert "such as up_blocks" in refused.value.remedy
