"""Stable Diffusion 1.x against diffusers' own pipeline and architecture."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from lora_gui.engine.draw.pipeline import Pipeline, encoded
from lora_gui.engine.load import lora, prediction
from lora_gui.families import family
from lora_gui.families.base import Batch
from lora_gui.families.shared.noising import RectifiedFlow
from lora_gui.formats import metadata
from lora_gui.framing import Framing
from lora_gui.settings import DrawSettings, TrainSettings
from tests import tiny
from tests.families.contract import loss_of

CPU = torch.device("cpu")
FAMILY = family("sd1")
SETTINGS = DrawSettings(prompt="a thing", negative_prompt="grey", width=64, height=64, steps=3, guidance=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def plain(base):
    return StableDiffusionPipeline.from_pretrained(base)


@pytest.fixture(scope="module")
def encoders(base):
    return FAMILY.encoders(base, CPU, torch.float32)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does(plain, encoders):
    ours = FAMILY.encode_captions(encoders, ["a thing", ""])
    prompt, negative = plain.encode_prompt("a thing", CPU, 1, True, "")
    assert torch.equal(ours["text"][:1], prompt)
    assert torch.equal(ours["text"][1:], negative)


@torch.no_grad()
def test_pictures_are_encoded_to_the_posterior_of_the_autoencoder(plain, encoders):
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    ours = FAMILY.encode_pictures(encoders, pixels)
    posterior = plain.vae.encode(pixels).latent_dist
    torch.testing.assert_close(ours["mean"], posterior.mean * plain.vae.config.scaling_factor)
    torch.testing.assert_close(ours["std"], posterior.std * plain.vae.config.scaling_factor)


def test_a_drawing_is_the_one_the_plain_pipeline_makes(base, plain, encoders):
    plain_drawing = plain(
        "a thing", negative_prompt="grey", width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    ours = Pipeline(FAMILY, base, CPU, torch.float32).draw(SETTINGS, seed=7)
    assert np.array_equal(np.array(ours), np.array(plain_drawing))
    captions = encoded(FAMILY, encoders, ("a thing", "grey"))
    without_encoder = Pipeline(FAMILY, base, CPU, torch.float32, FAMILY.denoisers(base, CPU, torch.float32))
    assert without_encoder.kit.encoders is None
    cached = without_encoder.draw(SETTINGS, 7, captions)
    assert np.array_equal(np.array(cached), np.array(plain_drawing))


@pytest.mark.parametrize(
    ("scheduler", "settings", "named"),
    [
        ("PNDMScheduler", {"skip_prk_steps": True}, ("PLMS", "")),
        ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "timestep_spacing": "leading"}, ("Euler", "Karras")),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, ("DPM++ 2M SDE", "")),
    ],
)  # fmt: skip
def test_a_drawing_is_that_of_the_plain_pipeline_with_any_scheduler(base, tmp_path, scheduler, settings, named):
    own = shutil.copytree(base, tmp_path / "base")
    kind = getattr(diffusers, scheduler)
    old = diffusers.DDIMScheduler.load_config(own / "scheduler")
    StableDiffusionPipeline.from_pretrained(own, scheduler=kind.from_config(old, **settings)).save_pretrained(own)
    expected = StableDiffusionPipeline.from_pretrained(own)(
        "a thing", negative_prompt="grey", width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    pipeline, seen = Pipeline(FAMILY, own, CPU, torch.float32), []
    assert np.array_equal(np.array(pipeline.draw(SETTINGS, 7, progress=lambda step, of, x0: seen.append(x0))), expected)
    assert pipeline.sampler(SETTINGS) == named and all(x0.isfinite().all() for x0 in seen)


def test_progress_is_told_after_each_step_with_something_to_show(base):
    pipeline, seen = Pipeline(FAMILY, base, CPU, torch.float32), []
    pipeline.draw(SETTINGS, 1, progress=lambda step, of, x0: seen.append((step, x0)))
    assert [step for step, _ in seen] == [1, 2, 3]
    assert pipeline.preview(seen[0][1]).size == (64, 64)


def test_the_last_predicted_x0_is_the_finished_drawing(base, plain):
    seen = []
    Pipeline(FAMILY, base, CPU, torch.float32).draw(SETTINGS, 1, progress=lambda step, of, x0: seen.append(x0))
    finished = plain(
        "a thing", negative_prompt="grey", width=64, height=64, num_inference_steps=3, guidance_scale=4,
        generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(seen[-1], finished, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_loss_is_that_of_the_training_script_of_diffusers(tmp_path, prediction):
    base = tiny.stable_diffusion_1(tmp_path, prediction=prediction)
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    draws = torch.Generator().manual_seed(5)
    mean, std, text = (torch.randn(2, *shape, generator=draws) for shape in ((4, 8, 8), (4, 8, 8), (16, 16)))
    batch = Batch({"mean": mean, "std": std}, {"text": text}, [Framing((64, 64), (64, 64))] * 2)
    with torch.no_grad():
        ours = loss_of("sd1", base, parts, batch, TrainSettings(), seed=9)
        generator = torch.Generator().manual_seed(9)
        latents = mean + std * torch.randn(mean.shape, generator=generator)
        noise = torch.randn(mean.shape, generator=generator)
        timesteps = torch.randint(1000, (2,), generator=generator)
        scheduler = StableDiffusionPipeline.from_pretrained(base).scheduler
        noisy = scheduler.add_noise(latents, noise, timesteps)
        target = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
        predicted = parts["unet"](noisy, timesteps, text).sample
    torch.testing.assert_close(ours, (predicted - target).pow(2).mean((1, 2, 3)))


@pytest.mark.parametrize(("layers", "count"), [("attention", 128), ("linear", 192), ("all", 278)])
def test_the_right_layers_of_the_full_size_architecture_learn(layers, count):
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    lora.add_new({"unet": unet}, FAMILY, TrainSettings(layers=layers, rank=16), "new")
    learning = [p for p in unet.parameters() if p.requires_grad]
    assert len(learning) == 2 * count
    if layers == "attention":
        assert sum(p.numel() for p in learning) == 3_188_736


def test_weights_of_a_variant_or_with_another_name_are_loaded_as_the_default_ones(base, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    for part in ("unet", "text_encoder", "vae"):
        (file,) = (copy / part).glob("*.safetensors")
        file.rename(file.with_name("weights.SAFETENSORS" if part == "vae" else f"{file.stem}.fp16.safetensors"))
        safetensors.torch.save_file({"x": torch.zeros(2)}, copy / part / f"{file.stem}.non_ema.safetensors")
    one, other = (FAMILY.kit(path, CPU, torch.float32) for path in (base, copy))
    for name in ("unet", "text_encoder"):
        assert all(map(torch.equal, one.parts[name].state_dict().values(), other.parts[name].state_dict().values()))
    assert all(map(torch.equal, one.vae.state_dict().values(), other.vae.state_dict().values()))


def with_noise(base, folder, **changes):
    shutil.copytree(base, folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "PNDMScheduler"])
def test_noise_without_any_signal_is_begun_at_and_its_guidance_rescaled(base, tmp_path, kind):
    folder = with_noise(base, tmp_path / "zero", timestep_spacing="leading", rescale_betas_zero_snr=True)
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"scheduler": ["diffusers", kind]}))
    kit = FAMILY.kit(folder, CPU, torch.float32)
    kit.schedulers["unet"].set_timesteps(4)
    assert kit.schedulers["unet"].timesteps[0] == 999 and kit.schedulers["unet"].sigmas[0] > 4000
    one, other = torch.randn(2, 1, 4, 8, 8).unbind()
    guided = FAMILY.guide(kit, SETTINGS, one, other)
    plain = one + SETTINGS.guidance * (other - one)
    expected = rescale_noise_cfg(plain, other, guidance_rescale=0.7)
    assert torch.allclose(guided, expected, atol=1e-5) and not torch.allclose(guided, plain)
    usual = FAMILY.kit(base, CPU, torch.float32)
    assert torch.equal(FAMILY.guide(usual, SETTINGS, one, other), plain)


def test_what_a_base_predicts_can_be_set_by_hand_for_training_and_drawing(base):
    pipelines = {one: Pipeline(FAMILY, base, CPU, torch.float32, predicts=one) for one in ("base", "epsilon", "v")}
    kinds = {one: pipeline.kit.noising["unet"].prediction for one, pipeline in pipelines.items()}
    assert kinds == {"base": "v_prediction", "epsilon": "epsilon", "v": "v_prediction"}
    drawn = {one: np.asarray(pipeline.draw(SETTINGS, 1)) for one, pipeline in pipelines.items()}
    assert (drawn["base"] == drawn["v"]).all() and (drawn["base"] != drawn["epsilon"]).any()
    noising = FAMILY.noising(base, CPU)
    assert prediction.applied(noising, "epsilon")["unet"].prediction == "epsilon"
    assert prediction.unused(noising, "epsilon") == []
    flow = {"transformer": RectifiedFlow(lambda cells: 1.0)}
    assert prediction.applied(flow, "v") == flow and len(prediction.unused(flow, "v")) == 1
    job = tiny.job(base.parent, base, prediction="epsilon")
    assert metadata.lora_metadata(job, FAMILY.facts, 1)["modelspec.prediction_type"] == "epsilon"


def test_its_autoencoder_is_never_held_in_fp16_in_which_some_overflow(base):
    assert FAMILY.load_vae(base, CPU, torch.float16).dtype == torch.float32
