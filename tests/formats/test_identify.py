"""The family and the dialect of a LoRA file are told by its header alone."""

import numpy as np
import pytest
from safetensors.numpy import save

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats import summary
from lora_gui.formats.header import Header, Tensor, read_header
from lora_gui.formats.identify import identify
from tests.formats.test_header import FACTS, tensors

KNOWN = list(families.facts().values())


def header_of(layers, halves=("lora_down", "lora_up"), **says):
    """A header of layers with these inputs and outputs."""
    found = {}
    for layer, (inputs, outputs) in layers.items():
        found[f"{layer}.{halves[0]}.weight"] = Tensor("F16", (4, inputs), 0, 8)
        found[f"{layer}.{halves[1]}.weight"] = Tensor("F16", (outputs, 4), 8, 16)
    return Header(found, says)


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
    path.write_bytes(save(tensors(), {"modelspec.architecture": "hunyuan-video/lora"}))
    with pytest.raises(UserError, match="hunyuan-video/lora"):
        identify(read_header(path), [FACTS])


def test_a_file_most_of_which_nobody_knows_is_refused(tmp_path):
    path, strange = tmp_path / "a.safetensors", {f"something.{n}": np.ones(1, np.float16) for n in range(3)}
    path.write_bytes(save(tensors() | strange, {"modelspec.architecture": "toy-v1/lora"}))
    with pytest.raises(UserError, match="not known"):
        identify(read_header(path), [FACTS])


SAME = {"lora_te1_text_model_encoder_layers_0_mlp_fc1": (768, 3072)}  # names of four families
SAID = {
    "flux1": "flux.1|Flux.1-dev/lora|flux-1-schnell/lora|flux-1/lora|flux|FLUX.1 [dev]|flux1"
    "|black-forest-labs/FLUX.1-dev"
    "|flux-1-kontext-dev/lora",
    "sdxl": "sdxl_1.0|sdxl|SDXL 1.0|stable-diffusion-xl-v1-base|sdxl_base_v1-0|sdxl_base_v0-9|pony|Illustrious"
    "|stable-diffusion-xl-v1-base/dora",
    "sd3": "stable-diffusion-v3.5/lora|sd3.5_large|sd3|sd_3|sd3.5m|5-large",
    "sd1": "sd_1.5|sd15|SD 1.5|stable-diffusion-v1|stable-diffusion-v1-5|sd_v1|sd1",
}


@pytest.mark.parametrize(("family", "values"), SAID.items())
@pytest.mark.parametrize("field", ["modelspec.architecture", "ss_base_model_version"])
def test_every_trainers_spelling_of_a_base_is_understood(family, values, field):
    for value in values.split("|"):
        header = Header(header_of(SAME).tensors, {field: value})
        assert identify(header, KNOWN)[0] == family, value


@pytest.mark.parametrize("value", ["None", "custom", "no-such-thing/lora", "my merge v7", "", "flux2", "Flux.2/lora"])
def test_a_base_that_nobody_knows_is_no_reason_to_refuse_and_the_layers_decide(value):
    layers = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (2048, 640)}
    header = Header(header_of(layers).tensors, {"modelspec.architecture": value, "ss_base_model_version": value})
    assert identify(header, KNOWN)[0] == "sdxl"
    header = Header(header_of(SAME).tensors, {"modelspec.architecture": value, "ss_base_model_version": "flux1"})
    assert identify(header, KNOWN)[0] == "flux1"


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("sd_v2", "Stable Diffusion 2"), ("sd_v2_768_v", "Stable Diffusion 2"), ("sd_2.1", "Stable Diffusion 2"),
        ("stable-diffusion-v2-768-v/lora", "Stable Diffusion 2"), ("hunyuan-video/lora", "hunyuan"),
        ("wan2.1-t2v-14b", "Wan"), ("Qwen-Image/lora", "Qwen-Image"), ("flux-2-dev/lora", "FLUX.2 dev"),
        ("stable-diffusion-xl-v1-refiner/lora", "refiner"), ("chroma", "chroma"), ("lumina2", "Lumina"),
        ("stable-diffusion-3-medium/lora", "before 3.5"), ("stable-diffusion-v3-medium/lora", "before 3.5"),
        ("ssd", "SSD"), ("vega", "Vega"), ("ssd-1b", "SSD"), ("kandinsky-3", "Kandinsky"),
    ],
)  # fmt: skip
def test_what_is_known_to_be_for_another_kind_of_base_is_refused_by_name(value, title):
    with pytest.raises(UserError, match=f"another kind of base .*{title}"):
        identify(header_of(SAME, **{"ss_base_model_version": value}), KNOWN)


def test_layers_of_another_family_outweigh_what_the_header_says():
    layers = {f"lora_unet_double_blocks_{n}_img_attn_qkv": (3072, 9216) for n in range(19)}
    assert identify(header_of(layers, **{"modelspec.architecture": "sdxl"}), KNOWN)[0] == "flux1"


BLOCK = "transformer.transformer_blocks"
CLIP = "text_model_encoder_layers_0_mlp_fc1"


@pytest.mark.parametrize(
    ("family", "layers"),
    [
        ("sdxl", {f"lora_te1_{CLIP}": (768, 3072), f"lora_te2_{CLIP}": (1280, 5120)}),
        ("sdxl", {f"lora_te1_{CLIP}": (768, 3072)}),
        ("sd1", {f"lora_te_{CLIP}": (768, 3072)}),
        ("flux1", {f"{BLOCK}.3.attn.to_q": (3072, 3072), f"{BLOCK}.3.attn.add_k_proj": (3072, 3072)}),
        ("flux1", {f"{BLOCK}.{n}.attn.to_q": (3072, 3072) for n in range(19)}),
        ("flux1", {f"{BLOCK}.3.ff.net.0.proj": (3072, 12288)}),
        ("flux1", {"lora_unet_double_blocks_0_img_attn_qkv": (3072, 9216)}),
        ("klein", {f"{BLOCK}.{n}.attn.to_q": (3072, 3072) for n in range(5)}),
        ("klein", {"lora_unet_double_blocks_0_img_attn_qkv": (4096, 12288)}),
        ("klein", {"lora_unet_single_blocks_0_linear1": (3072, 27648)}),
        ("flux1", {"lora_unet_single_blocks_0_linear1": (3072, 21504)}),
        ("sd3", {f"{BLOCK}.3.attn.to_q": (1536, 1536)}),
        ("sd3", {f"{BLOCK}.3.attn.to_q": (2432, 2432)}),
        ("sd1", {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (768, 1280)}),
        ("sdxl", {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (2048, 1280)}),
        ("sdxl", {"lora_unet_input_blocks_4_0_in_layers_2": (320, 640)}),
        ("sdxl", {"lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q": (1280, 1280)}),
        ("sd1", {"diffusion_model.input_blocks.4.0.in_layers.2": (320, 640)}),
    ],
)
def test_sizes_tell_the_family_where_names_do_not(family, layers):
    assert identify(header_of(layers, ("lora_A", "lora_B") if BLOCK in str(layers) else ("lora_down", "lora_up")),
                    KNOWN)[0] == family  # fmt: skip


@pytest.mark.parametrize(
    ("title", "layers"),
    [
        ("Stable Diffusion 2", {"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (1024, 1280)}),
        ("Stable Diffusion 2", {f"lora_te_{CLIP}": (1024, 4096)}),
        ("Qwen-Image", {f"lora_transformer_transformer_blocks_{n}_attn_to_q": (3072, 3072) for n in range(60)}),
        ("FLUX.2 dev", {"lora_unet_double_blocks_0_img_attn_qkv": (6144, 18432)}),
        ("FLUX.2 dev", {"lora_unet_single_blocks_0_linear1": (6144, 55296)}),
        ("Hunyuan", {f"lora_unet_double_blocks_{n}_img_attn_qkv": (3072, 9216) for n in range(20)}),
        ("Hunyuan", {f"lora_transformer_single_transformer_blocks_{n}_attn_to_q": (3072, 3072) for n in range(40)}),
        ("Sana", {"lora_transformer_transformer_blocks_0_attn1_to_q": (1152, 1152)}),
        ("Chroma", {"diffusion_model.distilled_guidance_layer.layers.0.in_layer": (5120, 5120),
                    "diffusion_model.double_blocks.0.img_attn.qkv": (3072, 9216)}),
        ("AnimateDiff", {"lora_unet_down_blocks_0_motion_modules_0_transformer_blocks_0_attn1_to_q": (320, 320)}),
        ("Lumina", {"lora_unet_layers_0_attention_qkv": (2304, 6912)}),
        ("refiner", {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (1280, 768)}),
    ],
)
def test_sizes_of_a_kind_that_is_not_known_here_are_refused_by_name(title, layers):
    with pytest.raises(UserError, match=title):
        identify(header_of(layers), KNOWN)
