"""Wuerstchen against diffusers' own two pipelines, scheduler and architecture."""

import json

import pytest
import safetensors.torch
import torch
from diffusers import DDPMWuerstchenScheduler, WuerstchenDecoderPipeline, WuerstchenPriorPipeline
from diffusers.models.attention_processor import AttnProcessor2_0
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel, WuerstchenDiffNeXt, WuerstchenPrior
from diffusers.pipelines.deprecated.wuerstchen.pipeline_wuerstchen_prior import DEFAULT_STAGE_C_TIMESTEPS
from transformers import CLIPTextModel, CLIPTokenizer

import lora_gui.families
from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.families import family
from lora_gui.families.wuerstchen import efficientnet, stages
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from tests.families import contract
from tests.families.contract import CPU, PROMPT, batch_of, loss_of, pipeline_of, same, settings
from tests.tiny_wuerstchen import wuerstchen

FAMILY = family("wuerstchen")


def pipelines(base):
    """Both pipelines of diffusers, put together by hand, as it looks for their classes where they no longer are; the
    prior's with the attention that we use."""
    prior = WuerstchenPrior.from_pretrained(base / "prior" / "prior")
    prior.set_attn_processor(AttnProcessor2_0())
    planning = WuerstchenPriorPipeline(
        prior=prior, **_common(base / "prior"), resolution_multiple=32.0, latent_mean=42.0, latent_std=1.0
    )
    decoder = WuerstchenDiffNeXt.from_pretrained(base / "decoder")
    vqgan = PaellaVQModel.from_pretrained(base / "vqgan")
    return planning, WuerstchenDecoderPipeline(decoder=decoder, vqgan=vqgan, **_common(base), latent_dim_scale=8.0)


def _common(folder):
    return {
        "tokenizer": CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        "text_encoder": CLIPTextModel.from_pretrained(folder / "text_encoder"),
        "scheduler": DDPMWuerstchenScheduler.from_pretrained(folder / "scheduler"),
    }


def plainly(base, seed=7, guidance=4.0, **said):
    prior, decoder = pipelines(base)
    generator = torch.Generator().manual_seed(seed)
    planned = prior(
        PROMPT, width=64, height=64, timesteps=stages.timesteps(3), guidance_scale=guidance,
        generator=generator, **said,
    ).image_embeddings  # fmt: skip
    return decoder(planned, PROMPT, num_inference_steps=12, guidance_scale=0.0, generator=generator).images[0]


class TestContract(contract.Contract):
    key = "wuerstchen"

    def plain_drawing(self, base, wanted):
        return plainly(base)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return wuerstchen(tmp_path_factory.mktemp("wuerstchen"))


@pytest.fixture(scope="module")
def parts(base):
    return FAMILY.denoisers(base, CPU, torch.float32)


@torch.no_grad()
def test_captions_are_encoded_as_both_pipelines_do(base):
    prior, decoder = pipelines(base)
    ours = FAMILY.encode_captions(FAMILY.encoders(base, CPU, torch.float32), [PROMPT])
    assert torch.equal(ours["text"], prior.encode_prompt(CPU, 1, False, [PROMPT])[0])
    assert torch.equal(ours["decoder_text"], decoder.encode_prompt([PROMPT], CPU, 1, False)[0])
    assert not torch.equal(ours["text"], ours["decoder_text"])


@torch.no_grad()
def test_pictures_become_latents_of_the_size_that_is_drawn(base):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    for width, height in ((128, 256), (384, 128)):
        latents = FAMILY.encode_pictures(encoders, torch.zeros(1, 3, height, width))["latents"]
        assert latents.shape == (1, 16, -(-height // 42.67), -(-width // 42.67))
        cells = efficientnet.encoded(encoders.image_encoder, torch.zeros(1, 3, height, width))
        torch.testing.assert_close(latents * 42 - 1, cells)


@torch.no_grad()
def test_the_loss_is_that_of_the_noise_weighted_as_the_base_was(base, parts):
    batch = batch_of("wuerstchen", base)
    ours = loss_of("wuerstchen", base, parts, batch, TrainSettings(), seed=9)
    generator, scheduler = torch.Generator().manual_seed(9), DDPMWuerstchenScheduler()
    noise = torch.randn(2, 16, 2, 2, generator=generator)
    levels = (1.08 * torch.rand(2, generator=generator) + 0.001).clamp(0.001, 1)
    noisy = scheduler.add_noise(batch.pictures["latents"], noise, levels)
    predicted = parts["prior"](noisy, levels, batch.captions["text"])
    weight = 1 - scheduler._alpha_cumprod(levels, CPU)  # 1 / (1 + snr)
    torch.testing.assert_close(ours, (predicted - noise).pow(2).mean((1, 2, 3)) * weight)
    asked = TrainSettings(min_snr_gamma=5)
    other = loss_of("wuerstchen", base, parts, batch, asked, seed=9)
    snr = 1 / weight - 1
    torch.testing.assert_close(other, ours / weight * snr.clamp(max=5) / snr)


def test_noise_levels_are_those_of_the_scheduler():
    levels = torch.linspace(0, 1, 101)
    expected = DDPMWuerstchenScheduler()._alpha_cumprod(levels, CPU)
    torch.testing.assert_close(stages.Cosine(0.008).abar(levels), expected)


def test_steps_are_spread_as_the_base_is_drawn_with_by_default():
    torch.testing.assert_close(stages.timesteps(29), DEFAULT_STAGE_C_TIMESTEPS)
    for steps in (1, 2, 3, 10, 60):
        spread = stages.timesteps(steps)
        assert len(spread) == steps + 1
        assert (spread[0], spread[-1]) == (1, 0)
        assert spread == sorted(spread, reverse=True)


@torch.no_grad()
def test_half_precision_keeps_the_noise_level_whole(base, parts):
    half = FAMILY.denoisers(base, CPU, torch.bfloat16)["prior"]
    level = torch.tensor([0.123456])
    exact = parts["prior"].gen_r_embedding(level)
    assert half.gen_r_embedding(level).dtype == torch.bfloat16
    torch.testing.assert_close(half.gen_r_embedding(level).float(), exact, atol=4e-3, rtol=0)


def test_a_negative_prompt_stands_in_for_the_empty_one_and_counts_only_with_guidance(base):
    pipeline = pipeline_of("wuerstchen", base)
    assert same(pipeline.draw(settings(negative_prompt="grey"), 7), plainly(base, negative_prompt="grey"))
    assert same(pipeline.draw(settings(negative_prompt="grey", guidance=1), 7), plainly(base, guidance=1.0))


def test_a_run_in_bf16_ends_with_a_lora_that_diffusers_reads(base, tmp_path):
    named = Base(key="wuerstchen", title="Tiny", family="wuerstchen", path=str(base))
    # at a higher rate, what a network of random weights divides by comes near 0
    file = contract.lora_of_a_run(named, tmp_path, side=128, learning_rate=1e-5)
    prior, _ = pipelines(base)
    prior.load_lora_weights(file, adapter_name="ours")
    assert prior.get_list_adapters() == {"prior": ["ours"]}


def test_a_file_that_does_not_say_what_it_is_for_is_known_by_its_layers(base, tmp_path):
    file = tmp_path / "nameless.safetensors"
    layers = contract.random_layers("wuerstchen", base, seed=1)
    file.write_bytes(safetensors.torch.save(dialects.build(layers, FAMILY.facts)))
    known = list(families.facts().values())
    assert identify(read_header(file), known) == ("wuerstchen", "diffusers")


@pytest.mark.parametrize(
    ("layers", "count"), [("attention", 128), ("linear", 128 + 32 * 3), ("all", 128 + 32 * 3 + 32 + 2)]
)
def test_the_right_layers_of_the_full_size_architecture_learn(layers, count):
    configuration = json.loads(lora_gui.families.configuration("wuerstchen").read_text())["components"]["prior/prior"]
    with torch.device("meta"):
        prior = WuerstchenPrior.from_config(configuration["config"])
    assert sum(p.numel() for p in prior.parameters()) == configuration["params"]
    lora.add_new({"prior": prior}, FAMILY, TrainSettings(layers=layers, rank=16), "new")
    learning = [p for p in prior.parameters() if p.requires_grad]
    assert len(learning) == 2 * count
    if layers == "attention":
        assert sum(p.numel() for p in learning) == 6_291_456
