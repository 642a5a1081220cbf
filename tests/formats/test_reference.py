"""Our files in the hands of diffusers' own importers and converters, which know nothing of ours."""

import json
import re
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import DiffusionPipeline, FluxPipeline, UNet2DConditionModel
from diffusers.loaders import single_file_utils

from lora_gui import families
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.families import family
from lora_gui.families.shared import unet
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer
from lora_gui.settings import DrawSettings
from tests.tiny_flux_1 import flux_1
from tests.tiny_flux_2_klein import flux_2_klein
from tests.tiny_stable_diffusion_3 import stable_diffusion_3
from tests.tiny_stable_diffusion_xl import stable_diffusion_xl

CPU = torch.device("cpu")
MAKERS = {
    "sdxl": partial(stable_diffusion_xl, blocks=2),
    "sd3": stable_diffusion_3,
    "flux1": flux_1,
    "klein": flux_2_klein,
}
# diffusers cuts a single block of FLUX.1 as the full-size base has it only; that is tried by itself below
READ_BY_DIFFUSERS = [
    ("sdxl", "kohya", ""),
    ("sd3", "diffusers", ""),  # it reads no other of this family
    ("flux1", "kohya", r".*single.*(to_[qkv]|proj_mlp)"),
    ("flux1", "comfy", r".*single.*(to_[qkv]|proj_mlp)"),
    ("klein", "kohya", r".*modulation.*"),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {key: make(tmp_path_factory.mktemp(key)) for key, make in MAKERS.items()}


def layers_for(key, parts, without):
    own, generator = family(key), torch.Generator().manual_seed(1)
    layers = {}
    for name, weight in lora.shapes(parts).items():
        part, _, path = name.partition(".")
        if re.fullmatch(own.targets(part, "all"), path) and not re.fullmatch(without, name):
            down = torch.randn(4, *weight[1:], generator=generator)
            up = torch.randn(weight[0], 4, *[1] * (len(weight) - 2), generator=generator) * 0.1
            layers[name] = Layer(down, up, alpha=2.0)
    return layers


@pytest.mark.parametrize(("key", "dialect", "without"), READ_BY_DIFFUSERS)
def test_diffusers_loads_our_file_to_the_same_changes_and_the_same_drawing(tmp_path, bases, key, dialect, without):
    own, settings = family(key), DrawSettings(prompt="a thing", width=64, height=64, steps=2, guidance=4)
    ours, theirs = Pipeline(own, bases[key], CPU, torch.float32), DiffusionPipeline.from_pretrained(bases[key])
    layers = layers_for(key, ours.parts, without)
    path = tmp_path / "a.safetensors"
    tensors = {name: value.contiguous() for name, value in dialects.build(layers, own.facts, dialect).items()}
    safetensors.torch.save_file(tensors, path)
    theirs.load_lora_weights(path, adapter_name="a")
    found = dict(lora.adapter_layers({part: getattr(theirs, part) for part in ours.parts}, "a"))
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(found[name].get_delta_weight("a"), layer.delta(), msg=name)
    before = np.array(ours.draw(settings, 1), dtype=int)
    lora.add(ours.parts, layers, "a")
    lora.activate(ours.parts, {"a": 1.0})
    drawing = np.array(ours.draw(settings, 1), dtype=int)
    reference = theirs(
        prompt="a thing", width=64, height=64, num_inference_steps=2, guidance_scale=4,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip
    assert np.abs(drawing - np.array(reference, dtype=int)).max() <= 1 < np.abs(drawing - before).max()


@pytest.mark.parametrize("parts", [("to_q", "to_k", "to_v", "proj_mlp"), ("to_q", "to_k", "to_v")])
def test_diffusers_takes_a_full_size_single_block_of_flux_apart_into_the_layers_we_put_together(parts):
    width, facts = 3072, family("flux1").facts
    places = {"to_q": "attn.to_q", "to_k": "attn.to_k", "to_v": "attn.to_v", "proj_mlp": "proj_mlp"}
    layers = {}
    for part in parts:
        out = 4 * width if part == "proj_mlp" else width
        name = f"transformer.single_transformer_blocks.37.{places[part]}"
        layers[name] = Layer(torch.randn(2, width), torch.randn(out, 2), alpha=1.0)
    found = FluxPipeline.lora_state_dict(dialects.build(layers, facts, "kohya"))
    for name, layer in layers.items():
        down, up = found.pop(f"{name}.lora_A.weight"), found.pop(f"{name}.lora_B.weight")
        assert torch.equal(down, layer.down * 0.5) and torch.equal(up, layer.up)
    assert not any(value.any() for name, value in found.items() if "lora_B" in name)


class Checkpoint(dict):
    """Gives nothings for what a converter asks for besides: no LoRA changes it."""

    def pop(self, key, *default):
        return super().pop(key) if key in self else torch.zeros(6, 6)

    def __missing__(self, key):
        return torch.zeros(6, 6)


@pytest.mark.parametrize(
    ("key", "convert"),
    [
        ("sd3", single_file_utils.convert_sd3_transformer_checkpoint_to_diffusers),
        ("klein", single_file_utils.convert_flux2_transformer_checkpoint_to_diffusers),
    ],
)
def test_a_transformers_names_and_halves_are_those_of_the_original_checkpoint(bases, key, convert):
    """What our file does to weights under the original's names is, brought home, what the LoRA does to the base's."""
    own = family(key)
    layers = layers_for(key, own.denoisers(bases[key], CPU, torch.float32), "")
    tensors = dialects.build(layers, own.facts, "comfy")
    changed = Checkpoint()
    for name in {name.rpartition(".lora_")[0] for name in tensors if ".lora_" in name}:
        down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
        changed[f"{name.removeprefix('diffusion_model.')}.weight"] = tensors[f"{name}.alpha"] / len(down) * up @ down
    converted = convert(changed)
    assert len(layers) > 10
    for name, layer in layers.items():
        torch.testing.assert_close(converted[f"{name.removeprefix('transformer.')}.weight"], layer.delta(), msg=name)


@pytest.mark.parametrize(("key", "base"), [("sd1", "sd15"), ("sdxl", "sdxl")])
def test_every_layer_of_a_full_size_u_net_has_the_name_of_the_original_checkpoint(key, base):
    facts = family(key).facts
    config = json.loads(families.configuration(base).read_text())
    config = config["components"]["unet"]["config"]
    with torch.device("meta"):
        network = UNet2DConditionModel.from_config(config)
    layers = [name for name in lora.shapes({"unet": network}) if re.fullmatch(unet.TARGETS["all"], name)]
    one = {name: Layer(torch.zeros(1, 1), torch.full((1, 1), float(n)), 1.0) for n, name in enumerate(layers)}
    tensors = dialects.build(one, facts, "comfy")
    original = {f"model.{name.replace('lora_up.', '')}": up for name, up in tensors.items() if ".lora_up." in name}
    original |= {name.replace(".weight", ".bias"): up for name, up in original.items()}  # it wants to see these, too
    original["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(1)
    converted = single_file_utils.convert_ldm_unet_checkpoint(original, config | {"addition_embed_type": None})
    assert len(layers) > 250
    for n, name in enumerate(layers):
        assert converted[f"{name.removeprefix('unet.')}.weight"].item() == n
