"""LoRA files as other trainers write them: old spellings, other dtypes, and tensors no layer here has."""

import itertools
import os

import pytest
import safetensors.torch
import torch
from diffusers.loaders.lora_conversion_utils import _convert_xlabs_flux_lora_to_diffusers

from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.engine.draw.stack import Stack
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.header import all_finite, read_header
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.magnitude import UNFIT
from lora_gui.formats.spelling import canonical
from lora_gui.formats.summary import summary
from lora_gui.protocol.events import Note
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.settings import StackEntry
from lora_gui.studio.things import loras

SD1, FLUX = family("sd1").facts, family("flux1").facts
KNOWN = list(families.facts().values())
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"


def save(path, tensors, **says):
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, path, says)
    return path


def same(one, two):
    assert one.keys() == two.keys()
    for name, layer in one.items():
        torch.testing.assert_close(layer.delta(), two[name].delta())


def old_attention(name):
    """As diffusers wrote it in 2023."""
    for new, old in (("q_proj", "to_q"), ("out_proj", "to_out"), ("to_q", "to_q"), ("to_out.0", "to_out")):
        processor = "" if name.startswith("text") else "processor."
        name = name.replace(f".{new}.lora_A.", f".{processor}{old}_lora.down.")
        name = name.replace(f".{new}.lora_B.", f".{processor}{old}_lora.up.")
    return name


SPELLINGS = {
    "lora.down": lambda name: name.replace("lora_A", "lora.down").replace("lora_B", "lora.up"),
    "lora_linear_layer": lambda n: n.replace("lora_A", "lora_linear_layer.down").replace(
        "lora_B", "lora_linear_layer.up"
    ),
    "processor": old_attention,
    "peft with its adapter's name": lambda name: name.replace(".weight", ".default.weight"),
    "peft with its wrapper": lambda name: f"base_model.model.{name}",
    "peft with both": lambda name: name.replace("unet.", "unet.base_model.model.").replace(".weight", ".x_1.weight"),
    "kohya's halves": lambda name: name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"),
    "no network": lambda name: name.removeprefix("unet.").removeprefix("text_encoder."),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_old_spellings_are_read_as_todays(tmp_path, shapes, layers, spelling):
    tensors = {SPELLINGS[spelling](key): value for key, value in dialects.build(layers, SD1, "diffusers").items()}
    assert not tensors.keys() & dialects.build(layers, SD1, "diffusers").keys()
    path = save(tmp_path / "a.safetensors", tensors)
    same(layers, dialects.read(path, shapes, SD1, KNOWN))
    assert (loras.describe(path).layers, loras.describe(path).rank) == (len(layers), 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("double_blocks.0.img_attn.qkv.lora_A.weight", "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight"),
        ("base_model.model.double_blocks.0.img_attn.qkv.lora_B.default.weight",
         "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight"),
        ("base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight",
         "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"),
        ("layers.0.attention.to_q.lora_A.default.weight", "diffusion_model.layers.0.attention.to_q.lora_A.weight"),
        ("lora_unet_mid_block_x.lora_A.weight", "lora_unet_mid_block_x.lora_down.weight"),
        ("model.diffusion_model.a.lora.up.weight", "diffusion_model.a.lora_up.weight"),
        ("transformer.a.lora_magnitude_vector.default.weight", "transformer.a.lora_magnitude_vector"),
        ("transformer.a.magnitude", "transformer.a.lora_magnitude_vector"),  # of ai-toolkit, as the next two
        ("diffusion_model.a.magnitude", "diffusion_model.a.dora_scale"),
        ("lora_unet_a.magnitude", "lora_unet_a.dora_scale"),
        ("transformer.a.attn.to_out.lora_A.weight", "transformer.a.attn.to_out.lora_A.weight"),
        ("diffusion_model.single_transformer_blocks.0.attn.to_out.lora_A.weight",
         "transformer.single_transformer_blocks.0.attn.to_out.lora_A.weight"),
        ("transformer_blocks.0.attn1.processor.to_out_lora.down.weight",
         "prior.transformer_blocks.0.attn1.to_out.0.lora_A.weight"),
        ("lycoris_transformer_blocks_0_attn_to_q.lokr_w1", "lora_transformer_transformer_blocks_0_attn_to_q.lokr_w1"),
        ("lycoris_single_transformer_blocks_7_proj_mlp.lora_up.weight",
         "lora_transformer_single_transformer_blocks_7_proj_mlp.lora_up.weight"),
        ("lycoris_mid_block_attentions_0_proj_in.alpha", "lora_unet_mid_block_attentions_0_proj_in.alpha"),
        ("lycoris_conv_in.lokr_w2_a", "lora_unet_conv_in.lokr_w2_a"),
        ("double_blocks.0.processor.qkv_lora2.down.weight",
         "diffusion_model.double_blocks.0.txt_attn.qkv.lora_down.weight"),
        ("single_blocks.37.processor.proj_lora.up.weight", "diffusion_model.single_blocks.37.linear2.lora_up.weight"),
        ("single_blocks.37.processor.qkv_lora1.up.weight",
         "diffusion_model.single_blocks.37.processor.qkv_lora1.up.weight"),
    ],
)  # fmt: skip
def test_names_are_brought_to_todays_spelling_once(old, new):
    assert canonical(old) == canonical(new) == new


def test_a_layer_in_two_spellings_is_refused(tmp_path, layers):
    tensors = dialects.build(layers, SD1, "diffusers")
    old = {SPELLINGS["lora.down"](key): value.clone() for key, value in tensors.items()}
    with pytest.raises(UserError, match="twice"):
        loras.describe(save(tmp_path / "a.safetensors", tensors | old))


@pytest.mark.parametrize(
    ("dialect", "layer", "prefix"),
    [
        ("kohya", "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", "lora_unet_"),
        ("onetrainer", "transformer.transformer_blocks.3.attn.to_q", "lora_transformer_"),
        ("onetrainer", "transformer.single_transformer_blocks.3.proj_mlp", "lora_transformer_"),
    ],
)
def test_lycoris_of_simpletuner_is_read_as_the_same_tensors_of_others(tmp_path, dialect, layer, prefix):
    kind, module = layer.partition(".")[0], layer.partition(".")[2].replace(".", "_")
    facts, outs = (SD1, 320) if kind == "unet" else (FLUX, 12288 if "mlp" in layer else 3072)
    factors = {"lokr_w1": torch.randn(16, 16), "lokr_w2_a": torch.randn(outs // 16, 2), "alpha": torch.tensor(1.0),
               "lokr_w2_b": torch.randn(2, (320 if kind == "unet" else 3072) // 16)}  # fmt: skip
    read = []
    for name, begins in (("a", "lycoris_"), ("b", prefix)):
        tensors = {f"{begins}{module}.{role}": value for role, value in factors.items()}
        path = save(tmp_path / f"{name}.safetensors", tensors)
        assert (loras.describe(path).family, loras.describe(path).dialect) == (facts.key, dialect)
        read.append(dialects.read(path, None, facts, KNOWN))
    assert layer in read[0]
    same(*read)


def test_flux_loras_of_xlabs_are_read_as_diffusers_reads_them(tmp_path):
    tensors = {}
    for block, count, kinds in (
        ("double_blocks", 19, {"qkv_lora1": (36, 12), "qkv_lora2": (36, 12), "proj_lora1": (12, 12),
                               "proj_lora2": (12, 12)}),
        ("single_blocks", 2, {"qkv_lora": (36, 12), "proj_lora": (12, 60)}),
    ):  # fmt: skip
        for n, (kind, (outs, inputs)) in itertools.product(range(count), kinds.items()):
            tensors[f"{block}.{n}.processor.{kind}.down.weight"] = torch.randn(2, inputs)
            tensors[f"{block}.{n}.processor.{kind}.up.weight"] = torch.randn(outs, 2)
    path, out = save(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors"
    assert (loras.describe(path).family, loras.describe(path).rank) == ("flux1", 2)
    theirs = _convert_xlabs_flux_lora_to_diffusers(dict(tensors))
    found = dialects.read(path, None, FLUX, KNOWN)
    same(dialects.parse(theirs, {}, "diffusers", None, FLUX), found)
    list(convert(ConvertJob(file=str(path), to="kohya", out=str(out))))
    same(found, {name: layer for name, layer in dialects.read(out, None, FLUX, KNOWN).items() if layer.changes})


def test_query_key_and_value_may_stand_beside_what_fuses_them_where_they_are_the_same(tmp_path):
    block, facts = "lora_unet_layers_0_attention_", family("zimage").facts
    down, up = torch.randn(2, 8), torch.randn(24, 2)
    fused = {f"{block}qkv.lora_down.weight": down, f"{block}qkv.lora_up.weight": up}
    apart = {f"{block}to_{one}.lora_{half}.weight": tensor for one, rows in zip("qkv", up.chunk(3), strict=True)
             for half, tensor in (("down", down.clone()), ("up", rows.clone()))}  # fmt: skip
    found = dialects.read(save(tmp_path / "a.safetensors", fused | apart), None, facts, KNOWN)
    same(found, dialects.parse(dict(fused), {}, "kohya", None, facts))
    with pytest.raises(UserError, match="twice"):
        dialects.parse(fused | apart | {f"{block}to_k.lora_up.weight": -up[8:16]}, {}, "kohya", None, facts)


STRAYS = {
    "bundle_emb.me.clip_l": torch.ones(2, 768),
    "mystery": torch.ones(3),
    "lora_unet_made_up_layer.alpha": torch.tensor(1.0),
    "v_pred": torch.tensor([]),
    "scaled": torch.tensor([True, False]),
    "lora_unet_conv_in.reshape_weight": torch.tensor([64, 4, 3, 3]),  # of ComfyUI
    "video": torch.ones(1, 2, 1, 1, 1),
}


@pytest.mark.parametrize("name", STRAYS)
def test_a_stray_tensor_is_left_out_with_a_sentence(tmp_path, shapes, layers, name):
    tensors = dialects.build(layers, SD1)
    path = save(tmp_path / "a.safetensors", tensors | {name: STRAYS[name]})
    same(layers, dialects.read(path, shapes, SD1, KNOWN))
    said = f"Of its {len(tensors) + 1} tensors some are left out: 1 that no layer here has, such as {name}."
    assert dialects.left_out(path, shapes, SD1) == said
    assert name == "lora_unet_made_up_layer.alpha" or said in loras.describe(path).odd


@pytest.mark.parametrize(
    "block", ["lora_te3_encoder_block_{}_layer_0_SelfAttention_q", "lora_te2_encoder_block_{}_layer_0_X_q"]
)
def test_a_t5_encoder_beside_flux_is_left_out_with_a_sentence_however_large_it_is(tmp_path, block):
    own = {"transformer.transformer_blocks.3.attn.to_q": Layer(torch.ones(2, 3072), torch.ones(3072, 2), 2.0)}
    tensors = dialects.build(own, FLUX)
    for n in range(24):
        tensors |= {f"{block.format(n)}.lora_down.weight": torch.ones(2, 8),
                    f"{block.format(n)}.lora_up.weight": torch.ones(8, 2)}  # fmt: skip
    path = save(tmp_path / "a.safetensors", tensors, ss_base_model_version="flux1")
    same(own, dialects.read(path, None, FLUX, KNOWN))
    said = f"Of its {len(tensors)} tensors some are left out: 48 of a T5 text encoder that is not changed here."
    assert dialects.left_out(path, None, FLUX) == said and said in loras.describe(path).odd


def test_a_drawing_notes_what_is_left_out_each_time(tmp_path, parts, layers):
    tensors = dialects.build(layers, SD1)
    path = save(tmp_path / "mine.safetensors", tensors | {"mystery": torch.ones(3)})
    stack = Stack(SD1, parts, texts=True)
    for _ in range(2):
        said = [
            event.text for event in stack.use((StackEntry(lora=str(path)),), merged=False) if isinstance(event, Note)
        ]
        assert said == [f"mine: {dialects.left_out(path, lora.shapes(parts), SD1)}"] and "mystery" in said[0]


@pytest.mark.skipif(os.name == "nt", reason="a file has no such number there")
def test_a_lora_replaced_by_one_as_large_and_as_old_is_loaded_again(tmp_path, parts, layers):
    stack, path, new = Stack(SD1, parts, texts=True), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for file, factor in ((path, 1), (new, 2)):
        save(file, {key: value * factor for key, value in dialects.build(layers, SD1).items()})
        os.utime(file, (1, 1))
    list(stack.use((StackEntry(lora=str(path)),), merged=False))
    os.replace(new, path)
    list(stack.use((StackEntry(lora=str(path)),), merged=False))
    assert len(stack.loaded) == 2


def test_a_file_of_which_only_the_text_encoder_is_known_needs_no_place_when_that_has_left(tmp_path, shapes, layers):
    text = {name: layer for name, layer in layers.items() if name.startswith("text_encoder")}
    path = save(tmp_path / "a.safetensors", dialects.build(text, SD1))
    assert dialects.read(path, shapes, SD1, KNOWN, texts=False) == {}


def test_a_whole_file_says_nothing_of_the_kind(tmp_path, shapes, layers):
    path = save(tmp_path / "a.safetensors", dialects.build(layers, SD1))
    assert dialects.left_out(path, shapes, SD1) == "" and not any("left out" in one for one in loras.describe(path).odd)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16])
@pytest.mark.parametrize("alpha", [torch.int64, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint8])
def test_every_dtype_is_cast(tmp_path, shapes, layers, dtype, alpha):
    tensors = {key: value.to(alpha if key.endswith("alpha") else dtype)
               for key, value in dialects.build(layers, SD1).items()}  # fmt: skip
    path = save(tmp_path / "a.safetensors", tensors)
    found = dialects.read(path, shapes, SD1, KNOWN)
    name, layer = next(iter(layers.items()))
    assert torch.equal(found[name].down, layer.down.to(dtype).float()) and found[name].alpha == 2
    assert loras.describe(path).alpha == 2 and all_finite(path, read_header(path))
    key = next(key for key, value in tensors.items() if value.ndim > 1)
    tensors[key] = torch.full(tensors[key].shape, float("nan")).to(dtype)
    assert not all_finite(path, read_header(save(path, tensors)))
    with pytest.raises(UserError, match="not numbers"):
        dialects.read(path, shapes, SD1, KNOWN)


@pytest.mark.parametrize("value", [0.5, 1.0, 1.75, 16.0, 448.0, 2.0**-9, 0.015625, 0.0, -3.0])
def test_an_alpha_of_eight_bits_is_told_exactly(tmp_path, layers, value):
    tensors = dialects.build(layers, SD1)
    tensors = {k: torch.tensor(value).to(torch.float8_e4m3fn) if k.endswith("alpha") else v for k, v in tensors.items()}
    path = save(tmp_path / "a.safetensors", tensors)
    assert loras.describe(path).alpha == value


def test_inspect_and_reading_say_the_same_of_a_dora_that_cannot_be_applied(tmp_path, layers):
    name = next(iter(layers))
    tensors = dialects.build({name: layers[name]}, SD1)
    module = next(iter(tensors)).partition(".")[0]
    inputs = layers[name].down.shape[1]
    path = save(tmp_path / "a.safetensors", tensors | {f"{module}.dora_scale": torch.ones(1, inputs)})
    assert UNFIT not in summary(path, read_header(path), KNOWN).odd and dialects.read(path, None, SD1, KNOWN)
    save(path, tensors | {f"{module}.dora_scale": torch.ones(1, inputs, 2)})
    with pytest.raises(UserError) as caught:
        dialects.read(path, None, SD1, KNOWN)
    assert UNFIT in summary(path, read_header(path), KNOWN).odd and UNFIT in caught.value.what
