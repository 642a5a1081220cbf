"""What ComfyUI, Forge and InvokeAI make of the names in our files, by the rules in their source, put down here anew.

ComfyUI and Forge (comfy/lora.py: model_lora_keys_unet, model_lora_keys_clip, load_lora) look each module up in a map
of all layers of the base, and only warn where it is not in it. InvokeAI first tells the kind of a file by its names.
"""

import json
import re
from functools import cache

import pytest
import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.programs import dialect_for

NETWORKS = {
    "sd1": (UNet2DConditionModel, "sd15", "unet"),
    "sdxl": (UNet2DConditionModel, "sdxl", "unet"),
    "flux1": (FluxTransformer2DModel, "flux1-dev", "transformer"),
}
CLIP = ("mlp.fc1", "mlp.fc2", "self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj")
TEXTS = {"sd1": (("text_encoder", 12, 768),), "sdxl": (("text_encoder", 12, 768), ("text_encoder_2", 32, 1280))}


@cache
def network(key):
    """The full-size denoiser, on no device."""
    kind, base, part = NETWORKS[key]
    config = json.loads(families.configuration(base).read_text())["components"][part]["config"]
    with torch.device("meta"):
        return kind.from_config(config)


@cache
def layers_of(key):
    """A LoRA of rank 1 over all that `all` trains and the text encoders; no update is like another."""
    own, part, found = family(key), NETWORKS[key][2], {}
    wanted = {
        name: weight
        for name, weight in lora.shapes({part: network(key)}).items()
        if re.fullmatch(own.targets(part, "all"), name.partition(".")[2])
    }
    for text, depth, width in TEXTS.get(key, ()):
        for number in range(depth):
            for one in CLIP:
                wide = 4 * width if one == "mlp.fc1" else width
                deep = 4 * width if one == "mlp.fc2" else width
                wanted[f"{text}.text_model.encoder.layers.{number}.{one}"] = torch.Size((wide, deep))
    for number, (name, weight) in enumerate(wanted.items(), start=1):
        down = torch.zeros(1, *weight[1:])
        down.flatten()[0] = 1
        found[name] = Layer(down, torch.full((weight[0], 1, *[1] * (len(weight) - 2)), number / 7), alpha=0.5)
    return found


def given(key, program):
    """The tensors of the file that `program` gets, by module: down, up, alpha."""
    facts = families.facts()[key]
    tensors = dialects.build(layers_of(key), facts, dialect_for(program, facts))
    modules = {}
    for name, tensor in tensors.items():
        module, _, role = name.partition(".")
        modules.setdefault(module, {})[role] = tensor
    return tensors, modules


def comfy_map(key):
    """Module in a file to the layer it changes, by ComfyUI's rules."""
    found = {}
    for name in lora.shapes({"unet": network(key)}):
        found[f"lora_unet_{name.partition('.')[2].replace('.', '_')}"] = name  # unet_to_diffusers
    for place, (text, depth, _) in enumerate(TEXTS[key], start=1):
        prefixes = [f"lora_te{place}"] + ["lora_te"] * (key == "sd1")
        for number in range(depth):
            for one in CLIP:
                path = f"text_model.encoder.layers.{number}.{one}"
                found |= {f"{prefix}_{path.replace('.', '_')}": f"{text}.{path}" for prefix in prefixes}
    return found


SGM = {"input_blocks": "down_blocks", "output_blocks": "up_blocks", "middle_block": "mid_block", "in_layers_2": "conv1",
       "emb_layers_1": "time_emb_proj", "out_layers_3": "conv2", "skip_connection": "conv_shortcut"}  # fmt: skip


def by_diffusers(tensors, config):
    """Modules under diffusers' names, where a file has those of the original checkpoint; the map is diffusers' own."""
    found = {}
    for name, tensor in _maybe_map_sgm_blocks_to_diffusers(dict(tensors), config).items():
        module, _, role = name.partition(".")
        for theirs, ours in SGM.items():
            module = module.replace(theirs, ours)
        module = re.sub(r"(down_blocks_\d)_downsamplers_0_op$", r"\1_downsamplers_0_conv", module)
        found.setdefault(module, {})[role] = tensor
    return found


@pytest.mark.parametrize("program", ["comfyui", "forge"])
@pytest.mark.parametrize("key", ["sd1", "sdxl"])
def test_comfyui_and_forge_load_every_module_to_the_layer_it_is_for_and_the_same_change(key, program):
    tensors, modules = given(key, program)
    modules = by_diffusers(tensors, network(key).config) if key == "sdxl" else modules
    known, layers = comfy_map(key), layers_of(key)
    assert not modules.keys() - known.keys()  # "lora key not loaded"
    assert {known[module] for module in modules} == layers.keys() and len(layers) > 300
    for module, roles in modules.items():
        assert roles.keys() == {"lora_down.weight", "lora_up.weight", "alpha"}
        down, up, layer = roles["lora_down.weight"], roles["lora_up.weight"], layers[known[module]]
        assert torch.equal(down, layer.down) and torch.equal(up, layer.up) and roles["alpha"].item() == 0.5, module


@pytest.mark.parametrize(("key", "inputs"), [("sd1", 768), ("sdxl", 2048)])
def test_invokeai_tells_the_base_of_a_u_nets_file_by_the_inputs_of_its_cross_attention(key, inputs):
    _, modules = given(key, "invokeai")
    cross = [roles["lora_down.weight"] for name, roles in modules.items() if name.endswith("attn2_to_k")]
    assert len(cross) > 10 and {tensor.shape[1] for tensor in cross} == {inputs}
    assert all(name.startswith(("lora_unet_", "lora_te")) for name in modules)


def test_invokeai_and_comfyui_take_every_name_of_a_flux_file_for_a_layer_of_the_original_transformer():
    tensors, modules = given("flux1", "invokeai")
    parts = ("attn_qkv", "attn_proj", "mlp_0", "mlp_2", "mod_lin")
    known = {f"double_blocks_{n}_{side}_{part}" for n in range(19) for side in ("img", "txt") for part in parts}
    known |= {f"single_blocks_{n}_{part}" for n in range(38) for part in ("linear1", "linear2", "modulation_lin")}
    assert {name.removeprefix("lora_unet_") for name in modules} <= known and len(modules) >= 19 * 8 + 38 * 2
    assert all(re.fullmatch(r"lora_unet_(\w+_blocks)_(\d+)_(\w+)\.(\w+\.weight|alpha)", name) for name in tensors)
    assert given("flux1", "comfyui")[0].keys() == tensors.keys()
