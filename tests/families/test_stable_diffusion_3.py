"""Stable Diffusion 3.5 against diffusers' own pipeline, scheduler and architecture."""

import json

import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel

import lora_gui.families
from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.engine.load import lora
from lora_gui.families import family
from lora_gui.formats import metadata
from lora_gui.formats.header import Header, Tensor
from lora_gui.formats.identify import identify
from lora_gui.protocol.events import Done
from lora_gui.protocol.jobs import Base, ConvertJob
from lora_gui.settings import TrainSettings
from tests import tiny
from tests.families import contract
from tests.families.contract import CPU, batch_of, loss_of, pipeline_of, settings
from tests.tiny_stable_diffusion_3 import stable_diffusion_3

FAMILY = family("sd3")


class TestContract(contract.Contract):
    key = "sd3"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return stable_diffusion_3(tmp_path_factory.mktemp("sd3"))


@pytest.mark.parametrize("t5", [True, False])
@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does(tmp_path, t5):
    base = stable_diffusion_3(tmp_path, t5=t5)
    absent = {} if t5 else {"text_encoder_3": None, "tokenizer_3": None}
    plain, encoders = DiffusionPipeline.from_pretrained(base, **absent), FAMILY.encoders(base, CPU, torch.float32)
    text, no_text, pooled, no_pooled = plain.encode_prompt("a thing", None, None, device=CPU)
    for caption, states, vector in (("a thing", text, pooled), ("", no_text, no_pooled)):
        ours = FAMILY.encode_captions(encoders, [caption])
        assert torch.equal(ours["text"], states)
        assert torch.equal(ours["pooled"], vector)
        assert bool(ours["text"][:, 16:].any()) == t5


def test_t5_may_be_missing_from_a_base_that_names_it(tmp_path):
    base = stable_diffusion_3(tmp_path)
    for folder in ("text_encoder_3", "tokenizer_3"):
        (base / folder).rename(base.parent / folder)
    with_zeros = pipeline_of("sd3", base).draw(settings(), 7)
    without = DiffusionPipeline.from_pretrained(base, text_encoder_3=None, tokenizer_3=None)
    expected = without(
        contract.PROMPT, width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert contract.same(with_zeros, expected)


@torch.no_grad()
def test_pictures_are_shifted_and_scaled_as_the_pipeline_undoes_it(base):
    plain, encoders = DiffusionPipeline.from_pretrained(base), FAMILY.encoders(base, CPU, torch.float32)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    ours, posterior = FAMILY.encode_pictures(encoders, pixels), plain.vae.encode(pixels).latent_dist
    torch.testing.assert_close(ours["mean"], (posterior.mean - 0.0609) * 1.5305)
    torch.testing.assert_close(ours["std"], posterior.std * 1.5305)


def test_noise_levels_and_loss_are_those_of_the_training_script_of_diffusers(base):
    batch, heard = batch_of("sd3", base, size=(48, 64)), {}
    parts = FAMILY.denoisers(base, CPU, torch.float32)

    def listen(module, arguments, named, output):
        heard.update(named, predicted=output.sample)

    parts["transformer"].register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        loss = loss_of("sd3", base, parts, batch, TrainSettings(), seed=9)
    generator = torch.Generator().manual_seed(9)
    mean, std = batch.pictures["mean"], batch.pictures["std"]
    latents = mean + std * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    density = torch.sigmoid(torch.randn(2, generator=generator))  # of which the script makes an index into the table
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(base / "scheduler")
    nearest = scheduler.sigmas[((1 - density) * 1000).long()]
    sigma = heard["timestep"] / 1000
    assert (sigma - nearest).abs().max() < 3e-3  # one step of the table
    moved = sigma.view(-1, 1, 1, 1)
    torch.testing.assert_close(heard["hidden_states"], (1 - moved) * latents + moved * noise)
    assert torch.equal(heard["pooled_projections"], batch.captions["pooled"])
    # preconditioned as the script does it, the error is sigma^2 times ours
    preconditioned = (heard["hidden_states"] - moved * heard["predicted"] - latents).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(preconditioned, sigma**2 * loss)


def test_the_predicted_x0_after_the_last_step_is_the_finished_drawing(base):
    pipeline, seen = pipeline_of("sd3", base), []
    pipeline.draw(settings(), 1, progress=lambda step, of, x0: seen.append(x0))
    finished = DiffusionPipeline.from_pretrained(base)(
        contract.PROMPT, width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(seen[-1], finished)


def test_a_run_in_bf16_ends_with_a_lora_that_diffusers_reads_once_it_is_converted(base, tmp_path):
    file = contract.lora_of_a_run(Base(key="sd35-large", title="Tiny", family="sd3", path=str(base)), tmp_path)
    *_, last = convert(ConvertJob(file=str(file), to="diffusers", out=str(tmp_path / "diffusers.safetensors")))
    assert isinstance(last, Done)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(last.lora, adapter_name="ours")
    assert pipeline.get_list_adapters()["transformer"] == ["ours"]


@pytest.mark.parametrize(("key", "size"), [("sd35-medium", "medium"), ("sd35-large", "large")])
def test_a_lora_says_which_of_the_two_bases_it_is_for_and_is_known_by_it(tmp_path, key, size):
    base = Base(key=key, title="Tiny", family="sd3", path=str(tmp_path))
    job = tiny.job(tmp_path, tmp_path).model_copy(update={"base": base})
    said = metadata.lora_metadata(job, FAMILY.facts, 10)
    assert said["modelspec.architecture"] == f"stable-diffusion-3-5-{size}/lora"
    assert said["ss_base_model_version"] == f"5-{size}"
    name = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
    tensors = {name: Tensor("F16", (4, 16), 0, 128)}
    for kept in ("modelspec.architecture", "ss_base_model_version"):
        header = Header(tensors, {kept: said[kept]})
        assert identify(header, list(families.facts().values())) == ("sd3", "diffusers")


@pytest.mark.parametrize(
    ("key", "attention", "linear", "all_layers", "millions"),
    [("sd35-medium", 191, 191 + 13 * 4 + 47 * 2, 191 + 13 * 4 + 47 * 2 + 48, 9.4), ("sd35-large", 303, 453, 529, 23.6)],
)
def test_the_right_layers_of_the_full_size_architecture_learn(key, attention, linear, all_layers, millions):
    configuration = json.loads(lora_gui.families.configuration(key).read_text())["components"]["transformer"]
    with torch.device("meta"):
        transformer = SD3Transformer2DModel.from_config(configuration["config"])
    assert sum(p.numel() for p in transformer.parameters()) == configuration["params"]
    parts = {"transformer": transformer}
    counts = [contract.count(FAMILY, parts, layers) for layers in ("attention", "linear", "all")]
    assert counts == [attention, linear, all_layers]
    lora.add_new(parts, FAMILY, TrainSettings(rank=16), "new")
    assert round(sum(p.numel() for p in transformer.parameters() if p.requires_grad) / 1e6, 1) == millions
