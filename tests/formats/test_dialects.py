"""LoRA files: what is written is read back exactly, diffusers reads the same, and what does not fit is refused."""

import json

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline

from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.dialects import diffusers
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.naming import Translation
from lora_gui.studio.things import loras
from tests import tiny

SD1 = family("sd1").facts
KNOWN = list(families.facts().values())
HEADER = {"modelspec.architecture": SD1.architecture}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("formats"))


@pytest.fixture(scope="module")
def shapes(base):
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    return lora.shapes({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})


NAMES = ("attn1.to_q", "attn1.to_out.0", "conv1", "proj_in", "downsamplers.0.conv", "self_attn.k_proj", "out_proj")


def test_a_pattern_takes_any_numbers_but_its_own_and_nothing_else():
    names = Translation([("blocks.#.1.to_#", ("b.#.#", "c.#")), ("blocks.#.2.to_#", ("d.#.#",)), ("last", ("e",))])
    assert names.of("blocks.12.1.to_3") == ("b.12.3", "c.12") and names.of("blocks.0.2.to_3") == ("d.0.3",)
    assert names.of("last") == ("e",)
    assert not any(map(names.of, ("blocks.1.3.to_3", "blocks.#.1.to_#", "blocks.1.1.to_3x", "blocks.1.01.to_3")))


def layers_for(shapes, names=NAMES, dora=False, alpha=None):
    """Random layers with unequal ranks, and alphas unless one is given."""
    generator = torch.Generator().manual_seed(1)
    chosen = [name for name in shapes if name.endswith(tuple(names))]
    layers = {}
    for n, name in enumerate(chosen):
        weight, rank = shapes[name], 2 + n % 3
        layers[name] = Layer(
            down=torch.randn(rank, *weight[1:], generator=generator),
            up=torch.randn(weight[0], rank, *[1] * (len(weight) - 2), generator=generator),
            alpha=alpha or 1.5 * (n + 1),
            magnitude=torch.rand(weight[0], generator=generator) if dora else None,
        )
    return layers


def save(path, tensors, header=HEADER):
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, path, header)
    return path


@pytest.mark.parametrize("dora", [False, True])
def test_kohya_comes_back_exactly(tmp_path, shapes, dora):
    layers = layers_for(shapes, dora=dora)
    back = dialects.read(save(tmp_path / "a.safetensors", dialects.build(layers, SD1, "kohya")), shapes, SD1, KNOWN)
    assert back.keys() == layers.keys()
    for name, layer in layers.items():
        assert torch.equal(back[name].down, layer.down) and torch.equal(back[name].up, layer.up)
        assert back[name].alpha == layer.alpha
        assert not dora or torch.equal(back[name].magnitude, layer.magnitude)


def test_diffusers_comes_back_with_alpha_folded_in(tmp_path, shapes):
    layers = layers_for(shapes)
    tensors = dialects.build(layers, SD1, "diffusers")
    back = dialects.read(save(tmp_path / "a.safetensors", tensors), shapes, SD1, KNOWN)
    for name, layer in layers.items():
        assert back[name].alpha == back[name].rank
        torch.testing.assert_close(back[name].delta(), layer.delta())


def test_a_checkpoint_keeps_every_bit(tmp_path, shapes):
    layers = layers_for(shapes)
    back = dialects.read(save(tmp_path / "a.safetensors", diffusers.build_exact(layers)), shapes, SD1, KNOWN)
    for name, layer in layers.items():
        assert torch.equal(back[name].up, layer.up) and back[name].alpha == layer.alpha


@pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
def test_diffusers_reads_the_same_changes(tmp_path, base, shapes, dialect):
    layers = layers_for(shapes, alpha=3.0)  # of unequal ones in a kohya file diffusers 0.42.1 drops those of attention
    path = save(tmp_path / "a.safetensors", dialects.build(layers, SD1, dialect))
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(path, adapter_name="a")
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    found = dict(lora.adapter_layers(parts, "a"))
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(found[name].get_delta_weight("a"), layer.delta())


def test_diffusers_reads_a_dora_of_convolutions_too(tmp_path, base, shapes):
    layers = layers_for(shapes, dora=True)
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    path = save(tmp_path / "a.safetensors", dialects.build(layers, SD1, "diffusers"))
    pipeline.load_lora_weights(path, adapter_name="a")
    found = dict(lora.adapter_layers({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}, "a"))
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        assert torch.equal(found[name].lora_magnitude_vector["a"].weight.flatten(), layer.magnitude)


def test_text_encoder_keys_have_the_level_that_files_expect(shapes):
    layers = layers_for(shapes, ["self_attn.k_proj"])
    assert all("lora_te_text_model_encoder" in key for key in dialects.build(layers, SD1, "kohya"))
    assert all(key.startswith("text_encoder.text_model.") for key in dialects.build(layers, SD1, "diffusers"))


@pytest.mark.parametrize("lost", ["text_encoder.", "text_encoder.text_model."])
def test_text_encoder_keys_are_read_with_that_level_and_without(shapes, lost):
    layers = layers_for(shapes, ["self_attn.k_proj"])
    tensors = dialects.build(layers, SD1, "diffusers")
    tensors = {key.replace("text_encoder.text_model.", lost): value for key, value in tensors.items()}
    assert dialects.parse(tensors, {}, "diffusers", shapes, SD1).keys() == layers.keys()


def test_alpha_of_a_peft_file_is_read_from_its_header(shapes):
    layers = layers_for(shapes, ["attn1.to_q", "attn1.to_k"])
    tensors = {key: value for key, value in diffusers.build_exact(layers).items() if not key.endswith(".alpha")}
    settings = {"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn1.to_q": 3}}
    back = dialects.parse(tensors, {"lora_adapter_metadata": json.dumps(settings)}, "diffusers", shapes, SD1)
    assert {name[-4:]: layer.alpha for name, layer in back.items()} == {"to_q": 3, "to_k": 8}


@pytest.mark.parametrize("part", ["unet.", ""])  # a network that is saved by itself has no part in its settings
@pytest.mark.parametrize("dialect", ["diffusers", "comfy"])
def test_the_alpha_of_a_rank_stabilised_lora_is_that_of_a_plain_one_that_does_the_same(shapes, part, dialect):
    tensors = dialects.build(layers_for(shapes, ["attn1.to_q"]), SD1, dialect)
    tensors = {key: value for key, value in tensors.items() if not key.endswith(".alpha")}
    settings = {f"{part}lora_alpha": 8, f"{part}use_rslora": True}
    back = dialects.parse(tensors, {"lora_adapter_metadata": json.dumps(settings)}, dialect, shapes, SD1)
    assert len({layer.rank for layer in back.values()}) > 1
    for layer in back.values():
        assert layer.alpha / layer.rank == pytest.approx(8 / layer.rank**0.5)


@pytest.mark.parametrize("alpha", ["9" * 400, '"8"', "null", "true", "[8]"])
def test_an_alpha_of_peft_that_is_no_number_counts_for_nothing_or_is_refused(tmp_path, shapes, alpha):
    tensors = dialects.build(layers_for(shapes, ["attn1.to_q"]), SD1, "diffusers")
    path = save(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": f'{{"lora_alpha": {alpha}}}'})
    if alpha.startswith("9"):
        with pytest.raises(UserError, match="is not a number"):
            loras.describe(path)
    else:
        assert loras.describe(path).alpha == loras.describe(path).rank


def test_a_missing_alpha_means_the_rank(shapes):
    layers = layers_for(shapes)
    tensors = {k: v for k, v in dialects.build(layers, SD1, "kohya").items() if not k.endswith(".alpha")}
    back = dialects.parse(tensors, {}, "kohya", shapes, SD1)
    assert all(layer.alpha == layer.rank for layer in back.values())


@pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
def test_tensors_without_a_place_are_an_error_that_counts_them(tmp_path, shapes, dialect):
    layers = layers_for(shapes, ["attn1.to_q"])
    tensors = dialects.build(layers, SD1, dialect)
    more = {key.replace("attn1", "attn9"): value.clone() for key, value in tensors.items()}
    with pytest.raises(UserError, match=f"{len(more)} of the {len(more) + len(tensors)} tensors"):
        dialects.read(save(tmp_path / "a.safetensors", tensors | more), shapes, SD1, KNOWN)


def test_a_lora_of_another_family_is_refused_by_name(tmp_path, shapes):
    tensors = dialects.build(layers_for(shapes, ["self_attn.k_proj"]), SD1, "diffusers")  # which both families have
    other = next(one for one in KNOWN if one.key == "flux1")
    path = save(tmp_path / "mine.safetensors", tensors, {"modelspec.architecture": other.architecture})
    with pytest.raises(UserError, match=f"mine was made for {other.title}"):
        dialects.read(path, shapes, SD1, KNOWN)


def test_a_lora_of_a_larger_base_is_refused(tmp_path, shapes):
    layers = layers_for(shapes, ["attn1.to_q"])
    wider = {k: Layer(torch.cat([v.down, v.down], 1), v.up, v.alpha) for k, v in layers.items()}
    path = save(tmp_path / "wide.safetensors", dialects.build(wider, SD1))
    with pytest.raises(UserError, match="wide: This LoRA was made for another base"):
        dialects.read(path, shapes, SD1, KNOWN)


def test_values_that_are_no_numbers_are_refused(tmp_path, shapes):
    tensors = dialects.build(layers_for(shapes), SD1)
    next(iter(tensors.values()))[0, 0] = float("nan")
    with pytest.raises(UserError, match="not numbers"):
        dialects.read(save(tmp_path / "a.safetensors", tensors), shapes, SD1, KNOWN)


def test_an_unknown_dialect_is_refused(shapes):
    with pytest.raises(UserError, match="Did you mean 'kohya'"):
        dialects.build(layers_for(shapes), SD1, "koya")
