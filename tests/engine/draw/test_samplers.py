"""Samplers by their names, each against the pipeline of diffusers with the scheduler that its documentation names."""

import functools
import inspect
import json
from pathlib import Path
from typing import get_args

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from lora_gui import families
from lora_gui.engine.draw.picture import Beginning
from lora_gui.engine.draw.pipeline import Pipeline, encoded
from lora_gui.engine.draw.samplers import _config
from lora_gui.engine.draw.sampling import sample
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.base import Stage
from lora_gui.families.kandinsky_2_2 import prior
from lora_gui.families.shared import samplers
from lora_gui.families.shared.flow import set_timesteps as flow_timesteps
from lora_gui.families.shared.noising import Diffusion, RectifiedFlow
from lora_gui.families.shared.schedulers import set_timesteps
from lora_gui.settings import DrawSettings, Sampler, Schedule
from tests import (
    tiny,
    tiny_flux_1,
    tiny_flux_2_klein,
    tiny_kandinsky_2_2,
    tiny_stable_diffusion_3,
    tiny_z_image,
)

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]
QUICK = {"prompt": "a thing", "negative_prompt": "grey", "width": 64, "height": 64, "guidance": 4.0}


@pytest.fixture(autouse=True)
def made_at_once(monkeypatch):
    """Some classes work out every training timestep when they are made, a tenth of a second, and forget it when told
    how many steps to take."""
    for kind in (diffusers.KDPM2DiscreteScheduler, diffusers.KDPM2AncestralDiscreteScheduler):
        own = kind.set_timesteps
        few = lambda self, steps, *told, own=own, **more: own(self, min(steps, 100), *told, **more)  # noqa: E731
        monkeypatch.setattr(kind, "set_timesteps", few)


@pytest.fixture(scope="module")
def discrete(tmp_path_factory):
    """A tiny base of discrete diffusion: its folder, ours and the pipeline of diffusers."""
    base = tiny.stable_diffusion_1(tmp_path_factory.mktemp("discrete"))
    return Pipeline(family("sd1"), base, CPU, torch.float32), diffusers.StableDiffusionPipeline.from_pretrained(base)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The same of rectified flow."""
    base = tiny_stable_diffusion_3.stable_diffusion_3(tmp_path_factory.mktemp("flow"))
    plain = diffusers.StableDiffusion3Pipeline.from_pretrained(base)
    return Pipeline(family("sd3"), base, CPU, torch.float32), plain


def both(pair, settings, kind, **told):
    """Our drawing, and that of a pipeline whose scheduler a user has changed."""
    ours, plain = pair
    own = plain.scheduler
    plain.scheduler = kind.from_config(own.config, **told)
    plain.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(7)
    if "generator" in inspect.signature(plain.scheduler.step).parameters:  # which some pipelines do not pass on
        plain.scheduler.step = functools.partial(plain.scheduler.step, generator=generator)
    try:
        theirs = plain(
            settings.prompt, negative_prompt=settings.negative_prompt, width=64, height=64,
            num_inference_steps=settings.steps, guidance_scale=settings.guidance,
            generator=generator,
        ).images[0]  # fmt: skip
    finally:
        plain.scheduler = own
    return np.array(ours.draw(settings, 7)), np.array(theirs)


# As https://huggingface.co/docs/diffusers/api/schedulers/overview maps the names of A1111.
@pytest.mark.parametrize(
    ("sampler", "schedule", "kind", "told"),
    [
        ("Euler", "Karras", "EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        ("Euler", "SGM Uniform", "EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
        ("Euler a", "base", "EulerAncestralDiscreteScheduler", {}),
        ("Heun", "Normal", "HeunDiscreteScheduler", {"timestep_spacing": "linspace"}),
        ("DPM2", "Exponential", "KDPM2DiscreteScheduler", {"use_exponential_sigmas": True}),
        ("DPM2 a", "Karras", "KDPM2AncestralDiscreteScheduler", {"use_karras_sigmas": True}),
        ("DPM++ 2M", "base", "DPMSolverMultistepScheduler", {}),
        ("DPM++ 2M", "Karras", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        ("DPM++ 2M SDE", "Karras", "DPMSolverMultistepScheduler",
         {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}),
        ("DPM++ 2S", "Karras", "DPMSolverSinglestepScheduler", {"use_karras_sigmas": True, "lower_order_final": True}),
        ("DPM++ SDE", "base", "DPMSolverSinglestepScheduler",
         {"algorithm_type": "sde-dpmsolver++", "lower_order_final": True}),
        ("UniPC", "base", "UniPCMultistepScheduler", {}),
        ("DEIS", "base", "DEISMultistepScheduler", {}),
        ("DDIM", "base", "DDIMScheduler", {}),
        ("DDPM", "base", "DDPMScheduler", {}),
        ("PLMS", "base", "PNDMScheduler", {"skip_prk_steps": True}),
        ("LCM", "base", "LCMScheduler", {}),
    ],
)  # fmt: skip
def test_a_sampler_of_discrete_diffusion_draws_what_diffusers_does(discrete, sampler, schedule, kind, told):
    settings = DrawSettings(**QUICK, steps=5, sampler=sampler, schedule=schedule)
    ours, theirs = both(discrete, settings, getattr(diffusers, kind), **told)
    assert np.array_equal(ours, theirs)
    assert discrete[0].sampler(settings) == (sampler, "" if schedule == "base" else schedule)


@pytest.mark.parametrize(
    ("sampler", "kind", "told"),
    [
        ("Euler", "FlowMatchEulerDiscreteScheduler", {}),
        ("Heun", "FlowMatchHeunDiscreteScheduler", {}),
        ("LCM", "FlowMatchLCMScheduler", {}),
        ("DPM++ 2M", "DPMSolverMultistepScheduler", {}),
        ("DPM++ 2M SDE", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("UniPC", "UniPCMultistepScheduler", {}),
    ],
)
def test_a_sampler_of_rectified_flow_draws_what_diffusers_does(flow, sampler, kind, told):
    if not kind.startswith("FlowMatch"):
        shift = flow[1].scheduler.config.shift
        told = told | {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    ours, theirs = both(flow, DrawSettings(**QUICK, steps=4, sampler=sampler), getattr(diffusers, kind), **told)
    assert np.array_equal(ours, theirs)


MAKERS = {
    "flux1": tiny_flux_1.flux_1,
    "klein": tiny_flux_2_klein.flux_2_klein,
    "zimage": tiny_z_image.z_image,
    "kandinsky22": tiny_kandinsky_2_2.kandinsky_2_2,
}


@pytest.mark.parametrize("key", MAKERS)
def test_a_family_draws_over_a_picture_with_every_sampler_that_it_lists(key, tmp_path, monkeypatch):
    monkeypatch.setattr(prior, "_STEPS", 2)
    pipeline = Pipeline(family(key), MAKERS[key](tmp_path), CPU, torch.float32)
    captions = encoded(pipeline.family, pipeline.kit.encoders, (QUICK["prompt"], QUICK["negative_prompt"]))
    begin = Beginning(Image.radial_gradient("L").resize((64, 64)), 0.5)
    seen = []
    for name in ("base", *families.samplers(key)):
        settings = DrawSettings(**QUICK, steps=3, sampler=name)
        seen.append(np.array(pipeline.draw(settings, 1, captions, begin=begin)))
        assert seen[-1].std() > 0, name
    assert not np.array_equal(seen[0], np.array(pipeline.draw(DrawSettings(**QUICK, steps=3), 1, captions)))
    assert np.array_equal(seen[0], np.array(pipeline.draw(DrawSettings(**QUICK, steps=3), 1, captions, begin=begin)))


def test_a_base_that_begins_at_noise_alone_is_drawn_with_by_those_that_know_it(tmp_path):
    base = tiny.stable_diffusion_1(tmp_path)
    config = json.loads((base / "scheduler" / "scheduler_config.json").read_text())
    (base / "scheduler" / "scheduler_config.json").write_text(json.dumps(config | {"rescale_betas_zero_snr": True}))
    pipeline = Pipeline(family("sd1"), base, CPU, torch.float32)
    for name in ("Euler", "DDIM", "DPM++ 2M"):
        assert np.array(pipeline.draw(DrawSettings(**QUICK, steps=3, sampler=name), 1)).std() > 0
    with pytest.raises(UserError, match="noise without any signal.*Choose Euler, DDIM"):
        pipeline.draw(DrawSettings(**QUICK, steps=3, sampler="PLMS"), 1)


@pytest.mark.parametrize(
    ("sampler", "schedule", "steps", "said"),
    [
        ("DPM2 a", "Normal", 2, "over 2 steps. Choose more steps"),
        ("LCM", "base", 51, "50 steps at most. Choose fewer steps"),
    ],
)
def test_steps_that_a_sampler_cannot_share_the_noise_out_over_are_a_sentence(discrete, sampler, schedule, steps, said):
    with pytest.raises(UserError, match=said):
        discrete[0].draw(DrawSettings(**QUICK, steps=steps, sampler=sampler, schedule=schedule), 1)


def test_what_a_base_is_not_drawn_with_is_refused_naming_what_it_is_drawn_with(discrete, flow):
    with pytest.raises(UserError, match="DDIM does not draw with this kind of base. Choose one of Euler, Heun"):
        flow[0].draw(DrawSettings(**QUICK, sampler="DDIM"), 1)
    with pytest.raises(UserError, match="does not take the noise schedule Karras .* It takes SGM Uniform, Normal"):
        discrete[0].draw(DrawSettings(**QUICK, sampler="Euler a", schedule="Karras"), 1)
    assert families.samplers("wuerstchen") == {}


def schedulers(table, own):
    """Each sampler of a table on each schedule that it takes, made of a base's own scheduler."""
    for name, one in table.items():
        for schedule in ("base", *one.schedules):
            told = one.told | samplers.SCHEDULES.get(schedule, {})
            yield name, schedule, getattr(diffusers, one.kind).from_config(_config(own, one), **told)


def missed(scheduler, timesteps, noising, predict, x0):
    """How far a drawing by a network that is never wrong ends from the picture: the deviation of the difference."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(x0.shape, generator=generator) * getattr(scheduler, "init_noise_sigma", 1.0)
    stage = Stage(predict, scheduler, timesteps, noise, noising, conditions=({},))
    return float((sample(stage, generator) - x0).std())


@pytest.mark.parametrize("steps", [8, pytest.param(25, marks=pytest.mark.soak)])
@pytest.mark.parametrize("config", [{}, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}])
def test_with_a_perfect_network_every_sampler_of_discrete_diffusion_ends_at_the_picture(config, steps):
    """Made of the configuration of single files, which says little."""
    said = json.loads((ROOT / "lora_gui/families/stable_diffusion_xl/configs/sdxl.json").read_text())["scheduler"]
    own = getattr(diffusers, said["class"]).from_config(said["config"] | config)
    noising = Diffusion.of(diffusers.DDPMScheduler.from_config(own.config), CPU)
    x0 = 0.9 * torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    levels = noising.alphas_cumprod

    def predict(noisy, timesteps, conditions):
        low = timesteps.float().clamp(0, 999).floor().long()
        abar = torch.lerp(levels[low], levels[(low + 1).clamp(max=999)], timesteps.float() - low).view(-1, 1, 1, 1)
        noise = (noisy - abar.sqrt() * x0) / (1 - abar).sqrt()
        is_velocity = own.config.prediction_type == "v_prediction"
        return abar.sqrt() * noise - (1 - abar).sqrt() * x0 if is_velocity else noise

    for name, schedule, scheduler in schedulers(samplers.DIFFUSION, own):
        if config and "rescale_betas_zero_snr" not in getattr(diffusers, samplers.DIFFUSION[name].kind)().config:
            continue  # such a base is not drawn with it
        timesteps = set_timesteps(scheduler, steps, CPU)
        assert missed(scheduler, timesteps, noising, predict, x0) < 0.06, (name, schedule)


@pytest.mark.parametrize("steps", [8, 28])
@pytest.mark.parametrize("key", ["sd3", "flux1", "zimage"])
def test_with_a_perfect_network_every_sampler_of_rectified_flow_ends_at_the_picture(key, steps):
    own = diffusers.FlowMatchEulerDiscreteScheduler(
        shift=6.0 if key == "zimage" else 3.0, use_dynamic_shifting=key == "flux1"
    )
    x0 = torch.randn(1, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    for name, schedule, scheduler in schedulers(samplers.FLOW, own):
        timesteps = flow_timesteps(scheduler, steps, x0, even=key != "sd3")

        def predict(noisy, timesteps, conditions):
            return (noisy - x0) / (timesteps / 1000).view(-1, 1, 1, 1).clamp(min=1e-3)

        noising = RectifiedFlow(lambda cells: 1.0)
        assert missed(scheduler, timesteps, noising, predict, x0) < 0.02, (name, schedule)


def test_the_tables_are_those_of_the_settings_and_all_their_classes_are_of_diffusers():
    assert ("base", *samplers.DIFFUSION) == get_args(Sampler)
    assert set(samplers.FLOW) < set(samplers.DIFFUSION)
    assert ("base", *samplers.SCHEDULES) == get_args(Schedule)
    for one in (*samplers.DIFFUSION.values(), *samplers.FLOW.values()):
        assert hasattr(diffusers, one.kind)
        config = getattr(diffusers, one.kind)().config
        assert all(set(samplers.SCHEDULES[name]) <= set(config) for name in one.schedules), one


def test_a_base_is_named_by_the_scheduler_that_it_comes_with(discrete):
    assert discrete[0].sampler(DrawSettings()) == ("DDIM", "")
