"""Stable Diffusion XL against diffusers' own pipeline, scheduler and architecture."""

import dataclasses
import json
import random
import re

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import lora_gui.families
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.engine.train import cache
from lora_gui.families import family
from lora_gui.families.shared import autoencoder
from lora_gui.framing import Framing
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from tests import tiny
from tests.families import contract
from tests.families.contract import CPU, batch_of, loss_of, pipeline_of, settings
from tests.tiny_stable_diffusion_xl import stable_diffusion_xl

FAMILY = family("sdxl")
CONFIGURATION = json.loads(lora_gui.families.configuration("sdxl").read_text())


class TestContract(contract.Contract):
    key = "sdxl"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return stable_diffusion_xl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def plain(base):
    return DiffusionPipeline.from_pretrained(base)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does_and_none_is_zeros(base, plain):
    ours = FAMILY.encode_captions(FAMILY.encoders(base, CPU, torch.float32), ["a thing"])
    none = FAMILY.encode_captions(FAMILY.encoders(base, CPU, torch.float32), [""])
    text, no_text, pooled, no_pooled = plain.encode_prompt("a thing", device=CPU)
    assert torch.equal(ours["text"], text)
    assert torch.equal(ours["pooled"], pooled)
    assert torch.equal(none["text"], no_text)
    assert torch.equal(none["pooled"], no_pooled)
    assert not none["text"].any()


@torch.no_grad()
def test_what_is_not_wanted_is_encoded_as_the_pipeline_does(base, plain):
    pipeline = pipeline_of("sdxl", base)
    expected = plain(
        "a thing", negative_prompt="grey", width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert contract.same(pipeline.draw(settings(negative_prompt="grey"), 7), expected)


def test_the_denoiser_is_told_noise_text_and_size_as_when_it_draws(base, plain):
    batch, heard = batch_of("sdxl", base, size=(48, 64)), {}
    parts = FAMILY.denoisers(base, CPU, torch.float32)

    def listen(module, arguments, named, output):
        heard.update(noisy=arguments[0], timesteps=arguments[1], text=arguments[2], predicted=output.sample)
        heard.update(named["added_cond_kwargs"])

    parts["unet"].register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        loss = loss_of("sdxl", base, parts, batch, TrainSettings(), seed=9)
    generator = torch.Generator().manual_seed(9)
    mean, std = batch.pictures["mean"], batch.pictures["std"]
    latents = mean + std * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    timesteps = torch.randint(1000, (2,), generator=generator)
    scheduler = diffusers.DDPMScheduler.from_config(plain.scheduler.config)
    torch.testing.assert_close(heard["noisy"], scheduler.add_noise(latents, noise, timesteps))
    assert torch.equal(heard["timesteps"], timesteps)
    assert torch.equal(heard["text"], batch.captions["text"])
    assert torch.equal(heard["text_embeds"], batch.captions["pooled"])
    drawn = plain._get_add_time_ids((48, 64), (0, 0), (48, 64), torch.float32, 24)
    assert torch.equal(heard["time_ids"].float(), drawn.repeat(2, 1))
    torch.testing.assert_close(loss, (heard["predicted"] - noise).pow(2).mean((1, 2, 3)))


def test_the_denoiser_is_told_how_large_a_picture_was_and_what_of_it_was_cropped(base):
    batch, heard = batch_of("sdxl", base, size=(48, 64)), {}
    own = Framing((300, 150), (64, 48))  # scaled to 96 x 48, then 16 px cropped left and right
    batch = dataclasses.replace(batch, framings=[own, batch.framings[1]])
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    parts["unet"].register_forward_hook(
        lambda module, arguments, named, output: heard.update(named["added_cond_kwargs"]), with_kwargs=True
    )
    with torch.no_grad():
        loss_of("sdxl", base, parts, batch, TrainSettings(), seed=9)
    assert heard["time_ids"].tolist() == [[150, 300, 0, 16, 48, 64], [48, 64, 0, 0, 48, 64]]


def test_a_run_tells_each_picture_its_own_size_and_a_drawing_its_own(base, tmp_path):
    wide = tiny.pictures(tmp_path / "wide", 1, (200, 90))
    job = tiny.job(tmp_path, base).model_copy(update={"pictures": wide})
    encoded, _ = tiny.outcome(cache.build(job, FAMILY, [], CPU, torch.float32))
    batch = encoded.batch([0], 0.0, random.Random(1))
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    told = FAMILY.conditions("unet", parts, batch, job.settings, torch.Generator())["sizes"].tolist()
    ((height, width),) = batch.sizes
    scale = max(width / 200, height / 90)
    corner = [(round(90 * scale) - height) // 2, (round(200 * scale) - width) // 2]
    assert told == [[90, 200, *corner, height, width]]
    drawn = FAMILY.conditions_of(parts["unet"], batch.captions, [(64, 96)], 4.0)["sizes"].tolist()
    assert drawn == [[64, 96, 0, 0, 64, 96]]


def test_the_text_encoders_learn_where_wished_and_no_caption_stays_zeros(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32) | FAMILY.text_encoders(base, CPU, torch.float32)
    lora.add_new(parts, FAMILY, TrainSettings(), "new")
    batch = batch_of("sdxl", base)
    loss = loss_of("sdxl", base, parts, batch, TrainSettings(), seed=1)
    loss.mean().backward()
    for part in ("text_encoder", "text_encoder_2"):
        reached = [name for name, weight in parts[part].named_parameters() if weight.grad is not None]
        assert reached
        assert all(".lora_" in name for name in reached)
    with torch.no_grad():
        encoders = FAMILY.encoders(base, CPU, torch.float32)
        parts["unet"].register_forward_pre_hook(lambda module, arguments: heard.append(arguments[2]))
        heard: list[torch.Tensor] = []
        silent = contract.Batch(batch.pictures, FAMILY.encode_captions(encoders, ["", "a thing"]), batch.framings)
        loss_of("sdxl", base, parts, silent, TrainSettings(), seed=1)
    assert not heard[0][0].any()
    assert heard[0][1].any()


def test_a_run_that_teaches_the_text_encoders_too_ends_with_a_lora_of_all_three(base, tmp_path):
    named = Base(key="sdxl", title="Tiny", family="sdxl", path=str(base))
    file = contract.lora_of_a_run(named, tmp_path, precision="fp32", train_text_encoder=True)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(file, adapter_name="ours")  # as other programs read it
    listed = pipeline.get_list_adapters()
    assert {part for part, names in listed.items() if names == ["ours"]} == {"unet", "text_encoder", "text_encoder_2"}


def test_the_autoencoder_never_works_in_half_precision_where_it_overflows(base):
    assert autoencoder.load(base, CPU, torch.float16).dtype == torch.float32
    assert autoencoder.load(base, CPU, torch.bfloat16).dtype == torch.bfloat16
    pipeline = Pipeline(FAMILY, base, CPU, torch.float16)
    assert pipeline.parts["unet"].dtype == torch.float16
    assert pipeline.draw(settings(steps=1), 1).getextrema() != ((0, 0),) * 3


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(CONFIGURATION["components"]["unet"]["config"])


@pytest.mark.parametrize("layers", ["attention", "linear", "all"])
def test_a_file_that_does_not_say_what_it_is_is_told_from_one_of_1_x_by_its_layers(full_size, layers):
    with torch.device("meta"):
        small = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    for unet, own, other in ((full_size, "sdxl", "sd1"), (small, "sd1", "sdxl")):
        learning = re.compile(family(own).targets("unet", layers))
        names = [f"unet.{name}" for name, _ in unet.named_modules() if learning.fullmatch(name)]
        for spelt in (names, [f"lora_{name.replace('.', '_')}" for name in names]):
            assert all(re.fullmatch(family(own).facts.layer_names, name) for name in spelt)
            assert not all(re.fullmatch(family(other).facts.layer_names, name) for name in spelt)


def test_the_right_layers_of_the_full_size_architecture_learn(full_size):
    assert sum(p.numel() for p in full_size.parameters()) == CONFIGURATION["components"]["unet"]["params"]
    parts = {"unet": full_size}
    counts = [contract.count(FAMILY, parts, layers) for layers in ("attention", "linear", "all")]
    assert counts == [560, 722, 788]
    lora.add_new(parts, FAMILY, TrainSettings(rank=16), "new")
    assert round(sum(p.numel() for p in full_size.parameters() if p.requires_grad) / 1e6, 1) == 23.2


def test_the_layers_of_the_text_encoders_are_their_attention():
    with torch.device("meta"):
        encoder = CLIPTextModel(CLIPTextConfig(**CONFIGURATION["components"]["text_encoder"]["config"]))
    lora.add_new({"text_encoder": encoder}, FAMILY, TrainSettings(), "new")
    assert len([p for p in encoder.parameters() if p.requires_grad]) == 2 * 4 * 12
