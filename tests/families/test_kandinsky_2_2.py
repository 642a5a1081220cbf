"""Kandinsky 2.2 against diffusers' own two pipelines, schedulers and architectures."""

import json
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import (
    DDPMScheduler,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    UNet2DConditionModel,
)
from PIL import Image

import lora_gui.families
from lora_gui.engine.load import lora
from lora_gui.engine.train.step import TrainState
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests.families import contract
from tests.families.contract import CPU, PROMPT, batch_of, loss_of, pipeline_of, same, settings
from tests.tiny_kandinsky_2_2 import kandinsky_2_2

FAMILY = family("kandinsky22")
CLASSES = {"prior": PriorTransformer, "unet": UNet2DConditionModel}


def plainly(base, seed=7, guidance=4.0, **said):
    """The prior's pipeline, then the decoder's, as the model card has it."""
    prior = KandinskyV22PriorPipeline.from_pretrained(base / "prior")
    decoder = KandinskyV22Pipeline.from_pretrained(base)
    generator = torch.Generator().manual_seed(seed)
    imagined = prior(PROMPT, num_inference_steps=25, guidance_scale=guidance, generator=generator, **said)
    return decoder(
        **imagined, width=64, height=64, num_inference_steps=3, guidance_scale=guidance, generator=generator
    ).images[0]


class TestContract(contract.Contract):
    key = "kandinsky22"

    def plain_drawing(self, base, wanted):
        return plainly(base)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return kandinsky_2_2(tmp_path_factory.mktemp("kandinsky"))


@pytest.fixture(scope="module")
def plain_prior(base):
    return KandinskyV22PriorPipeline.from_pretrained(base / "prior")


@pytest.fixture(scope="module")
def encoders(base):
    return FAMILY.encoders(base, CPU, torch.float32)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does(plain_prior, encoders):
    ours = FAMILY.encode_captions(encoders, [PROMPT])
    pooled, text, mask = plain_prior._encode_prompt([PROMPT], CPU, 1, False)
    assert torch.equal(ours["pooled"], pooled)
    assert torch.equal(ours["text"], text)
    assert torch.equal(ours["mask"], mask)
    assert not mask.all()
    assert torch.equal(ours["zero_image"], plain_prior.get_zero_embed())


@torch.no_grad()
def test_pictures_are_encoded_as_the_pipelines_do_with_those_they_are_shown(base, plain_prior, encoders):
    image = Image.radial_gradient("L").convert("RGB").resize((96, 64))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(1, 64, 96, 3)
    pixels = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    ours = FAMILY.encode_pictures(encoders, pixels)
    looks = plain_prior.image_processor(image, return_tensors="pt").pixel_values
    torch.testing.assert_close(ours["embeds"], plain_prior.image_encoder(looks).image_embeds)
    movq = KandinskyV22Pipeline.from_pretrained(base).movq
    assert ours["latents"].shape == (1, 4, 8, 12)
    assert torch.equal(ours["latents"], movq.encode(pixels).latents)


def test_the_loss_is_the_sum_of_those_of_both_training_scripts_of_diffusers(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    batch = batch_of("kandinsky22", base)
    with torch.no_grad():
        ours = loss_of("kandinsky22", base, parts, batch, TrainSettings(caption_dropout=0), seed=9)
        generator = torch.Generator().manual_seed(9)
        prior, unet, said = parts["prior"], parts["unet"], batch.captions
        target = (batch.pictures["embeds"] - prior.clip_mean) / prior.clip_std
        noise, timesteps = torch.randn(2, 16, generator=generator), torch.randint(1000, (2,), generator=generator)
        scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample")
        predicted = prior(
            scheduler.add_noise(target, noise, timesteps), timestep=timesteps, proj_embedding=said["pooled"],
            encoder_hidden_states=said["text"], attention_mask=said["mask"],
        ).predicted_image_embedding  # fmt: skip
        expected = (predicted - target).pow(2).mean(1)
        noise, timesteps = torch.randn(2, 4, 8, 8, generator=generator), torch.randint(1000, (2,), generator=generator)
        scheduler = DDPMScheduler.from_pretrained(base / "scheduler")
        noisy = scheduler.add_noise(batch.pictures["latents"], noise, timesteps)
        shown = {"image_embeds": batch.pictures["embeds"]}
        predicted = unet(noisy, timesteps, None, added_cond_kwargs=shown).sample[:, :4]
        expected += (predicted - noise).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(ours, expected)


@torch.no_grad()
def test_the_decoder_is_told_nothing_as_often_as_captions_are_left_out(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    batch = batch_of("kandinsky22", base)
    told = []
    parts["unet"].register_forward_pre_hook(
        lambda unet, positional, named: told.append(named["added_cond_kwargs"]["image_embeds"]), with_kwargs=True
    )
    for share in (0, 1):
        loss_of("kandinsky22", base, parts, batch, TrainSettings(caption_dropout=share), seed=9)
    assert torch.equal(told[0], batch.pictures["embeds"])
    assert torch.equal(told[1], batch.captions["zero_image"])
    job = SimpleNamespace(settings=TrainSettings(caption_dropout=1))
    run = SimpleNamespace(job=job, family=FAMILY, parts=parts, noising=FAMILY.noising(base, CPU))
    run.loss = partial(TrainState.loss, run)
    TrainState._measured(run, batch, torch.Generator().manual_seed(9))
    assert torch.equal(told[2], batch.pictures["embeds"])  # what is measured is always told


@torch.no_grad()
def test_min_snr_weighs_both_parts(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    batch = batch_of("kandinsky22", base)
    plain, weighed = (
        loss_of("kandinsky22", base, parts, batch, TrainSettings(min_snr_gamma=gamma), seed=9)
        for gamma in (0, 5)
    )
    assert not torch.equal(plain, weighed)


def test_a_negative_prompt_is_imagined_too(base):
    pipeline = pipeline_of("kandinsky22", base)
    ours = pipeline.draw(settings(negative_prompt="grey"), 7)
    theirs = plainly(base, negative_prompt="grey")
    assert np.abs(np.array(ours, int) - np.array(theirs, int)).max() <= 1  # other batches round otherwise
    assert not same(ours, plainly(base))


def test_without_guidance_only_the_prompt_counts(base):
    ours = pipeline_of("kandinsky22", base).draw(settings(guidance=1), 7)
    assert same(ours, plainly(base, guidance=1.0))


def test_what_looks_at_pictures_is_not_kept_for_drawing(base):
    drawing = pipeline_of("kandinsky22", base)
    assert drawing.kit.encoders.image_encoder is None
    training = pipeline_of("kandinsky22", base, FAMILY.denoisers(base, CPU, torch.float32))
    assert training.kit.encoders is None


def test_a_run_in_bf16_ends_with_one_file_for_both_parts_that_diffusers_reads(base, tmp_path):
    file = contract.lora_of_a_run(Base(key="kandinsky22", title="Tiny", family="kandinsky22", path=str(base)), tmp_path)
    header = read_header(file)
    assert {name.partition(".")[0] for name in header.tensors} == {"prior", "unet"}
    for part, module in FAMILY.denoisers(base, CPU, torch.float32).items():
        folder, name = file.parent, file.name
        module.load_lora_adapter(folder, weight_name=name, prefix=part, adapter_name="ours", use_safetensors=True)
        assert list(module.peft_config) == ["ours"]
        assert any(weight.any() for name, weight in module.named_parameters() if "lora_B" in name)


def test_a_base_without_the_prior_in_it_is_not_whole_and_the_remedy_names_its_repository(base, tmp_path):
    studio = Studio(tmp_path / "studio")
    assert bases.find(studio, str(base)).family == "kandinsky22"
    shutil.copytree(base, tmp_path / "half", ignore=shutil.ignore_patterns("prior"))
    half = str(tmp_path / "half")
    for name, told in ((half, "kandinsky-community/kandinsky-2-2-prior"), ("kandinsky22", "download kandinsky22")):
        with pytest.raises(UserError) as caught:
            bases.find(studio, name)
        assert told in caught.value.remedy


def test_a_file_that_does_not_say_what_it_is_for_is_known_by_its_layers(base, tmp_path):
    layers = contract.random_layers("kandinsky22", base, seed=1)
    file = tmp_path / "nameless.safetensors"
    known = list(lora_gui.families.facts().values())
    for chosen in (layers, {n: v for n, v in layers.items() if n.startswith("unet.")}):
        file.write_bytes(safetensors.torch.save(dialects.build(chosen, FAMILY.facts)))
        assert identify(read_header(file), known) == ("kandinsky22", "diffusers")


@pytest.mark.parametrize(
    ("part", "layers", "count", "millions"),
    [
        ("prior", "attention", 80, 5.24),
        ("prior", "linear", 120, None),
        ("unet", "attention", 132, 4.66),
        ("unet", "linear", 132 + 36, None),
    ],
)
def test_the_right_layers_of_the_full_size_architecture_learn(part, layers, count, millions):
    configuration = json.loads(lora_gui.families.configuration("kandinsky22").read_text())["components"]
    configuration = configuration["prior/prior" if part == "prior" else part]
    with torch.device("meta"):
        root = CLASSES[part].from_config(configuration["config"])
    assert sum(p.numel() for p in root.parameters()) == configuration["params"]
    lora.add_new({part: root}, FAMILY, TrainSettings(layers=layers, rank=16), "new")
    learning = [p for p in root.parameters() if p.requires_grad]
    assert len(learning) == 2 * count
    if millions:
        assert round(sum(p.numel() for p in learning) / 1e6, 2) == millions


def test_the_noise_of_the_prior_is_that_of_its_training_script(base):
    reference = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample")
    ours = FAMILY.noising(base, CPU)["prior"]
    torch.testing.assert_close(ours.alphas_cumprod, reference.alphas_cumprod)
    assert ours.prediction == "sample"
