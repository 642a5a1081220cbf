"""Drawing over a picture, beside a mask, and enlarging, each against the pipelines of diffusers where they do it."""

import itertools

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from lora_gui.engine.draw import upscale
from lora_gui.engine.draw.picture import Beginning, beginning
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.protocol.events import Phase
from lora_gui.settings import DrawSettings
from tests import tiny, tiny_flux_1, tiny_kandinsky_2_2, tiny_stable_diffusion_3, tiny_z_image

CPU = torch.device("cpu")
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
MASK = Image.new("L", (64, 64))
MASK.paste(255, (16, 16, 48, 64))
MAKERS = {
    "sd1": tiny.stable_diffusion_1,
    "sd3": tiny_stable_diffusion_3.stable_diffusion_3,
    "flux1": tiny_flux_1.flux_1,
    "zimage": tiny_z_image.z_image,
    "kandinsky22": tiny_kandinsky_2_2.kandinsky_2_2,
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """`opened(key)` is a tiny base and our pipeline of it, made once."""
    made = {}

    def open_once(key):
        if key not in made:
            base = MAKERS[key](tmp_path_factory.mktemp(key))
            made[key] = base, Pipeline(family(key), base, CPU, torch.float32)
        return made[key]

    return open_once


def asked(**more):
    quick = {"prompt": "a thing", "negative_prompt": "grey", "width": 64, "height": 64, "steps": 4, "guidance": 4.0}
    return DrawSettings(**(quick | more))


class Whole(Beginning):
    """What the mask keeps comes from the latents alone, as in diffusers."""

    def kept(self, drawing):
        return drawing


def theirs(base, kind, settings, strength, scheduler=None, **more):
    plain = getattr(diffusers, kind).from_pretrained(base)
    if scheduler:
        plain.scheduler = getattr(diffusers, scheduler).from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    said = {"negative_prompt": settings.negative_prompt} if settings.negative_prompt else {}
    return np.array(
        plain(
            settings.prompt, image=PICTURE, strength=strength, num_inference_steps=settings.steps,
            guidance_scale=settings.guidance, generator=torch.Generator().manual_seed(7), **said, **more,
        ).images[0]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "kind", "strength", "more", "scheduler"),
    [
        ("sd1", "StableDiffusionImg2ImgPipeline", 0.6, {}, None),
        ("sd1", "StableDiffusionImg2ImgPipeline", 1.0, {"sampler": "Euler a"}, "EulerAncestralDiscreteScheduler"),
        ("sd1", "StableDiffusionImg2ImgPipeline", 0.5, {"sampler": "Heun"}, "HeunDiscreteScheduler"),
        ("sd1", "StableDiffusionImg2ImgPipeline", 0.7, {"sampler": "DPM++ 2M"}, "DPMSolverMultistepScheduler"),
        ("sd3", "StableDiffusion3Img2ImgPipeline", 0.6, {}, None),
        ("flux1", "FluxImg2ImgPipeline", 0.6, {"negative_prompt": ""}, None),
        ("zimage", "ZImageImg2ImgPipeline", 0.6, {}, None),
    ],
)
def test_a_picture_is_drawn_over_as_diffusers_does_it(opened, key, kind, strength, more, scheduler):
    base, ours = opened(key)
    settings = asked(**more)
    size = {} if key == "sd1" else {"height": 64, "width": 64}
    expected = theirs(base, kind, settings, strength, scheduler, **size)
    assert np.array_equal(np.array(ours.draw(settings, 7, begin=Beginning(PICTURE, strength))), expected)


@pytest.mark.parametrize(
    ("key", "kind", "strength", "more"),
    [
        ("sd1", "StableDiffusionInpaintPipeline", 0.6, {}),
        ("sd1", "StableDiffusionInpaintPipeline", 1.0, {}),
        ("flux1", "FluxInpaintPipeline", 0.8, {"negative_prompt": ""}),
    ],
)
def test_what_is_white_in_a_mask_is_drawn_anew_as_diffusers_does_it(opened, key, kind, strength, more):
    base, ours = opened(key)
    settings = asked(**more)
    expected = theirs(base, kind, settings, strength, mask_image=MASK, height=64, width=64)
    assert np.array_equal(np.array(ours.draw(settings, 7, begin=Whole(PICTURE, strength, MASK))), expected)


def test_the_latents_of_stable_diffusion_3_are_those_of_its_pipeline_which_decodes_them_without_their_shift(opened):
    base, ours = opened("sd3")
    plain = diffusers.StableDiffusion3InpaintPipeline.from_pretrained(base)
    latents = plain(
        "a thing", negative_prompt="grey", image=PICTURE, mask_image=MASK, strength=0.6, num_inference_steps=4,
        guidance_scale=4.0, height=64, width=64, generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    with torch.no_grad():
        pixels = ours.family.decode(ours.kit, latents)[0].permute(1, 2, 0).numpy()
    drawn = np.array(ours.draw(asked(), 7, begin=Whole(PICTURE, 0.6, MASK)))
    assert np.array_equal(drawn, (pixels * 255).round().astype(np.uint8))


def test_kandinsky_draws_over_a_picture_as_its_pipeline_does(opened):
    base, ours = opened("kandinsky22")
    settings = asked(negative_prompt="")
    generator = torch.Generator().manual_seed(7)
    prior = diffusers.KandinskyV22PriorPipeline.from_pretrained(base / "prior")
    imagined = prior("a thing", num_inference_steps=25, guidance_scale=4.0, generator=generator)
    expected = diffusers.KandinskyV22Img2ImgPipeline.from_pretrained(base)(
        **imagined, image=PICTURE, strength=0.6, width=64, height=64, num_inference_steps=4, guidance_scale=4.0,
        generator=generator,
    ).images[0]  # fmt: skip
    assert np.array_equal(np.array(ours.draw(settings, 7, begin=Beginning(PICTURE, 0.6))), np.array(expected))


def test_what_is_black_in_a_mask_stays_pixel_for_pixel_and_its_edge_is_as_soft_as_asked(opened):
    _, ours = opened("sd1")
    hard = np.array(ours.draw(asked(), 7, begin=Beginning(PICTURE, 1.0, MASK)))
    black = np.array(MASK) == 0
    assert np.array_equal(hard[black], np.array(PICTURE)[black]) and not np.array_equal(hard, np.array(PICTURE))
    soft = np.array(ours.draw(asked(), 7, begin=Beginning(PICTURE, 1.0, MASK, blur=4)))
    assert not np.array_equal(soft[black], np.array(PICTURE)[black])


def test_a_picture_that_is_gone_or_of_another_size_is_said(tmp_path):
    assert beginning(asked()) is None
    with pytest.raises(UserError, match="not there any more"):
        beginning(asked(picture=str(tmp_path / "gone.png")))
    PICTURE.save(tmp_path / "a.png")
    with pytest.raises(UserError, match="another size"):
        beginning(asked(picture=str(tmp_path / "a.png"), width=128))


@pytest.mark.parametrize(("side", "tile"), list(itertools.product((64, 100, 128, 1000, 4096), (64, 128, 512))))
def test_tiles_cover_a_side_and_overlap_by_an_eighth(side, tile):
    starts = upscale.starts(side, tile)
    assert starts[0] == 0 and (side <= tile or starts[-1] == side - tile)
    assert all(two - one <= tile - tile // 8 + 1 for one, two in itertools.pairwise(starts))


def test_tiles_of_one_colour_make_one_of_that_colour_and_a_picture_in_tiles_is_itself():
    corners = [(left, top) for top in upscale.starts(100, 64) for left in upscale.starts(150, 64)]
    large = PICTURE.resize((150, 100))
    tiles = [(corner, large.crop((*corner, corner[0] + 64, corner[1] + 64))) for corner in corners]
    assert np.array_equal(np.array(upscale.blended((150, 100), tiles)), np.array(large))


def test_an_enlarged_drawing_is_near_the_plainly_enlarged_one_and_says_how_far_it_is(opened):
    _, ours = opened("sd1")
    settings = asked(upscale=2, upscale_denoising=0.3)
    captions = ours.family.encode_prompts(ours.kit.encoders, ("a thing", "grey"))
    large, said = tiny.outcome(upscale.enlarged(ours, PICTURE, settings, captions, lambda *_: None, (64, 64)))
    assert large.size == (128, 128)
    assert said == [Phase("Enlarging", number, 9) for number in range(9)]
    again, _ = tiny.outcome(upscale.enlarged(ours, PICTURE, settings, captions, lambda *_: None, (64, 64)))
    assert np.array_equal(np.array(large), np.array(again))
    twice, said = tiny.outcome(upscale.enlarged(ours, large, settings, captions, lambda *_: None, (64, 64)))
    assert twice.size == (256, 256) and len(said) == 25  # in tiles that the base draws, not of the drawing's size
