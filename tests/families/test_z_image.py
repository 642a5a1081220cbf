"""Z-Image against diffusers' own pipeline, scheduler and architecture."""

import json
import re

import pytest
import safetensors.torch
import torch
from diffusers import DiffusionPipeline, ZImagePipeline, ZImageTransformer2DModel
from diffusers.loaders import single_file_utils

import lora_gui.families
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.header import Header, Tensor
from lora_gui.formats.identify import identify
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from tests.families import contract
from tests.families.contract import CPU, batch_of, loss_of, pipeline_of, settings
from tests.tiny_z_image import z_image

FAMILY = family("zimage")


def plainly(plain, seed=7, guidance=4.0, **further):
    return plain(
        prompt=contract.PROMPT, width=64, height=64, num_inference_steps=3, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed), **further,
    ).images  # fmt: skip


class TestContract(contract.Contract):
    key = "zimage"
    unguided = 0
    spelt = 3  # "user" is one token of Qwen3


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return z_image(tmp_path_factory.mktemp("zimage"))


@pytest.fixture(scope="module")
def plain(base):
    return DiffusionPipeline.from_pretrained(base)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does_without_the_last_layer(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    assert len(encoders.texts["text_encoder"].layers) == 35 < plain.text_encoder.config.num_hidden_layers
    for caption in ("a thing", ""):
        (text,), _ = plain.encode_prompt(caption, device=CPU, do_classifier_free_guidance=False)
        ours = FAMILY.encode_captions(encoders, [caption])
        assert ours["length"].tolist() == [len(text)]
        assert torch.equal(ours["text"][0, : len(text)], text)
        assert not ours["text"][0, len(text) :].any()


@torch.no_grad()
def test_pictures_are_shifted_and_scaled_as_the_pipeline_undoes_it(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    ours, posterior = FAMILY.encode_pictures(encoders, pixels), plain.vae.encode(pixels).latent_dist
    torch.testing.assert_close(ours["mean"], (posterior.mean - 0.1159) * 0.3611)
    torch.testing.assert_close(ours["std"], posterior.std * 0.3611)


def test_the_loss_is_that_of_the_training_script_of_diffusers_over_the_noise_levels_of_musubi_tuner(base):
    batch, heard = batch_of("zimage", base, size=(48, 64)), {}
    parts = FAMILY.denoisers(base, CPU, torch.float32)

    def listen(module, arguments, named, output):
        heard.update(zip(("noisy", "time", "text"), arguments, strict=True))
        heard["predicted"] = torch.stack(output[0]).squeeze(2)

    parts["transformer"].register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        loss = loss_of("zimage", base, parts, batch, TrainSettings(), seed=9)
    generator = torch.Generator().manual_seed(9)
    mean, std = batch.pictures["mean"], batch.pictures["std"]
    latents = mean + std * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    even = torch.sigmoid(torch.randn(2, generator=generator))
    sigma = 2 * even / (1 + even)  # musubi-tuner's --timestep_sampling shift --discrete_flow_shift 2.0
    torch.testing.assert_close(heard["time"], 1 - sigma)
    moved = sigma.view(-1, 1, 1, 1)
    torch.testing.assert_close(torch.stack(heard["noisy"]).squeeze(2), (1 - moved) * latents + moved * noise)
    assert [len(text) for text in heard["text"]] == batch.captions["length"].tolist()
    torch.testing.assert_close(loss, (-heard["predicted"] - (noise - latents)).pow(2).mean((1, 2, 3)))


def test_turbo_draws_without_guidance_and_does_not_learn(tmp_path):
    turbo = z_image(tmp_path, distilled=True)
    ours = pipeline_of("zimage", turbo).draw(settings(guidance=0), 7)
    assert contract.same(ours, plainly(DiffusionPipeline.from_pretrained(turbo), guidance=0.0)[0])
    with pytest.raises(UserError, match="Train with Z-Image"):
        FAMILY.require_learning(turbo)


def test_a_negative_prompt_stands_in_for_the_empty_one(base, plain):
    ours = pipeline_of("zimage", base).draw(settings(negative_prompt="grey and long"), 7)
    assert contract.same(ours, plainly(plain, negative_prompt="grey and long")[0])
    assert not contract.same(ours, plainly(plain)[0])


def test_the_predicted_x0_after_the_last_step_is_the_finished_drawing(base, plain):
    seen = []
    pipeline_of("zimage", base).draw(settings(), 1, progress=lambda step, of, x0: seen.append(x0))
    torch.testing.assert_close(seen[-1], plainly(plain, seed=1, output_type="latent"))


def test_fp16_becomes_bf16(base):
    parts = FAMILY.denoisers(base, CPU, torch.float16)
    assert {weight.dtype for weight in parts["transformer"].parameters()} == {torch.bfloat16}
    pipeline = Pipeline(FAMILY, base, CPU, torch.float16)
    assert pipeline.kit.vae.dtype == pipeline.kit.encoders.texts["text_encoder"].dtype == torch.bfloat16


def test_a_run_in_bf16_ends_with_a_lora_that_diffusers_reads(base, tmp_path):
    file = contract.lora_of_a_run(Base(key="z-image", title="Tiny", family="zimage", path=str(base)), tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(file, adapter_name="ours")
    assert pipeline.get_list_adapters()["transformer"] == ["ours"]


@pytest.mark.parametrize("rank", [2, 64], ids=["product", "whole"])
def test_diffusers_reads_our_lokr_to_the_same_changes(base, tmp_path, rank):
    contract.diffusers_reads_a_lokr("zimage", base, tmp_path / "a.safetensors", rank)


def random_layers(base, layers="all"):
    """On every layer that can learn."""
    parts, generator = FAMILY.denoisers(base, CPU, torch.float32), torch.Generator().manual_seed(1)
    lora.add_new(parts, FAMILY, TrainSettings(rank=4, alpha=2, layers=layers), "new")
    return {
        name: contract.Layer(layer.down, torch.randn(layer.up.shape, generator=generator) * 0.1, layer.alpha)
        for name, layer in lora.get_weights(parts, "new").items()
    }


@pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
def test_diffusers_loads_our_file_to_the_same_changes(base, tmp_path, dialect):
    layers, path = random_layers(base), tmp_path / "a.safetensors"
    tensors = {name: value.contiguous() for name, value in dialects.build(layers, FAMILY.facts, dialect).items()}
    safetensors.torch.save_file(tensors, path)
    theirs = ZImagePipeline.from_pretrained(base)
    theirs.load_lora_weights(path, adapter_name="a")
    found = dict(lora.adapter_layers({"transformer": theirs.transformer}, "a"))
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(found[name].get_delta_weight("a"), layer.delta(), msg=name)


def test_the_names_of_the_checkpoint_are_those_that_diffusers_brings_home(base):
    layers = random_layers(base)
    tensors = dialects.build(layers, FAMILY.facts, "comfy")
    changed = {}
    for name in {name.rpartition(".lora_")[0] for name in tensors if ".lora_" in name}:
        down, up = tensors[f"{name}.lora_down.weight"], tensors[f"{name}.lora_up.weight"]
        changed[f"model.{name}.weight"] = tensors[f"{name}.alpha"] / len(down) * up @ down
    assert any(name.endswith("layers.0.attention.qkv.weight") for name in changed)
    converted = single_file_utils.convert_z_image_transformer_checkpoint_to_diffusers(changed)
    assert converted.keys() == {f"{name.removeprefix('transformer.')}.weight" for name in layers}
    for name, layer in layers.items():
        torch.testing.assert_close(converted[f"{name.removeprefix('transformer.')}.weight"], layer.delta(), msg=name)


@pytest.mark.parametrize("prefix", ["diffusion_model.", "transformer.", "lora_unet_"])
def test_a_file_with_query_key_and_value_apart_is_read_whatever_its_prefix(base, tmp_path, prefix):
    """As other trainers write them."""
    layers, file = random_layers(base, "attention"), tmp_path / "theirs.safetensors"
    flat, tensors = prefix.endswith("_"), {}
    for name, layer in layers.items():
        path = name.removeprefix("transformer.")
        key = prefix + (path.replace(".", "_") if flat else path)
        down, up = ("lora_down", "lora_up") if flat else ("lora_A", "lora_B")
        tensors |= {f"{key}.{down}.weight": layer.down, f"{key}.{up}.weight": layer.up}
        tensors[f"{key}.alpha"] = torch.tensor(layer.alpha)
    safetensors.torch.save_file(tensors, file, {"ss_base_model_version": "zimage"})
    shapes = lora.shapes(FAMILY.denoisers(base, CPU, torch.float32))
    read = dialects.read(file, shapes, FAMILY.facts, list(lora_gui.families.facts().values()))
    assert read.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(read[name].delta(), layer.delta())


@pytest.mark.parametrize(
    "layer",
    [
        "diffusion_model.layers.29.attention.to_q", "diffusion_model.layers.0.attention.qkv",
        "lora_unet_layers_0_feed_forward_w1", "transformer.noise_refiner.1.attention.to_out.0",
        "lora_transformer_context_refiner_0_attention_to_k",
    ],
)  # fmt: skip
def test_a_lora_that_names_no_base_is_known_by_its_layers(layer):
    pieces = ("lora_down", "lora_up") if layer.startswith("lora_") else ("lora_A", "lora_B")
    header = Header({f"{layer}.{piece}.weight": Tensor("F32", (4, 4), 0, 64) for piece in pieces}, {})
    assert identify(header, list(lora_gui.families.facts().values()))[0] == "zimage"


def full_size(key):
    configuration = json.loads(lora_gui.families.configuration(key).read_text())["components"]["transformer"]
    with torch.device("meta"):
        transformer = ZImageTransformer2DModel.from_config(configuration["config"])
    assert sum(p.numel() for p in transformer.parameters()) == configuration["params"]
    return transformer


def test_the_right_layers_of_the_full_size_architecture_learn():
    transformer = full_size("z-image")
    names = [name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)]
    counts = {layers: sum(bool(re.fullmatch(FAMILY.targets("transformer", layers), name)) for name in names)
              for layers in ("linear", "all")}  # fmt: skip
    assert counts == {"linear": 34 * 7, "all": 34 * 7 + 32}
    lora.add_new({"transformer": transformer}, FAMILY, TrainSettings(rank=16), "new")
    learning = [p for p in transformer.parameters() if p.requires_grad]
    assert len(learning) == 2 * 4 * 30
    assert round(sum(p.numel() for p in learning) / 1e6, 1) == 14.7


def test_every_known_base_has_its_configuration_and_nothing_but_its_folder_presets_and_tests_name_it():
    for known in FAMILY.facts.bases:
        configuration = json.loads(lora_gui.families.configuration(known.key).read_text())
        assert configuration["pipeline"]["class"] == FAMILY.facts.pipeline
    package = lora_gui.families.configuration("z-image").parents[3]
    others = [path for path in package.rglob("*.py") if "z_image" not in path.parts]
    assert not [path for path in others if re.search(r"z[-_]?image", path.read_text(), re.IGNORECASE)]
