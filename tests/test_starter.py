"""The starter that ships: it opens, it is small, any prompt can be typed, and its recipe works from end to end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from lora_gui.starter.recipe import autoencoder, build, denoiser
from lora_gui.starter.recipe.concepts import COLOURS, CONCEPTS, KEPT_OUT, caption
from lora_gui.starter.recipe.denoiser import TOKENS, make_tokenizer
from lora_gui.starter.recipe.examples import CHARACTER, CONCEPT, STYLE
from lora_gui.starter.recipe.lessons import Lessons, phrase
from lora_gui.starter.recipe.licences import ATTRIBUTIONS
from lora_gui.starter.recipe.looks import LOOKS, render_looks
from lora_gui.starter.recipe.pictures import BASE_SETS, INK, LOOK_SETS, OUTLINE, SIZE, ComicSet, IconSet, composite

STARTER = Path(build.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(STARTER / "model")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(pipe: StableDiffusionPipeline, prompts: list[str], steps: int = 8) -> np.ndarray:
    seeds = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    guided = {"guidance_scale": 4.0, "guidance_rescale": 0.7}
    return pipe(prompts, num_inference_steps=steps, **guided, generator=seeds, output_type="np").images


def test_the_model_folder_is_at_most_45_megabytes():
    assert sum(path.stat().st_size for path in (STARTER / "model").rglob("*") if path.is_file()) <= 45e6


def test_plain_diffusers_opens_it_in_full_precision_and_draws_at_its_own_size(pipe):
    assert pipe.text_encoder.dtype == pipe.unet.dtype == pipe.vae.dtype == torch.float32
    pictures = drawn(pipe, ["red apple on a blue background"], steps=2)
    assert pictures.shape == (1, SIZE, SIZE, 3)
    assert np.isfinite(pictures).all()


def test_the_background_is_the_one_that_was_asked_for(pipe):
    asked = ["white", "black", "red", "yellow", "green", "blue"]
    pictures = drawn(pipe, [caption(name, colour) for name, colour in zip(CONCEPTS[::40], asked, strict=False)])
    corners = pictures[:, [2, 2, -3, -3], [2, -3, 2, -3]].mean(1) * 255
    palette = np.array(list(COLOURS.values()))
    found = [list(COLOURS)[i] for i in ((corners[:, None] - palette) ** 2).sum(-1).argmin(1)]
    assert sum(a == b for a, b in zip(asked, found, strict=True)) >= 5


def test_any_prompt_can_be_typed():
    tokenizer = make_tokenizer()
    for prompt in ("", "zxy_style red apple", "ünïcode 日本語 🙂🏽", "a\tb\n\0", "x" * 5000, "<|endoftext|>"):
        ids = tokenizer(prompt, padding="max_length", truncation=True).input_ids
        assert len(ids) == TOKENS
        assert ids[0] == tokenizer.bos_token_id
        assert max(ids) < len(tokenizer)
    assert tokenizer.decode(tokenizer("smile 🙂 日本").input_ids, skip_special_tokens=True) == "smile 🙂 日本"


def test_the_shipped_tokenizer_is_the_recipes(pipe):
    text = "zxy_style smiling face with sunglasses on a grey background 🙂"
    assert pipe.tokenizer(text).input_ids == make_tokenizer()(text).input_ids
    assert pipe.tokenizer.model_max_length == TOKENS == pipe.text_encoder.config.max_position_embeddings


def test_what_is_kept_out_of_the_base_is_not_among_its_concepts():
    assert not set(CONCEPTS) & set(KEPT_OUT)
    assert len(set(CONCEPTS)) == len(CONCEPTS) >= 250
    assert len(set(KEPT_OUT)) >= 30
    assert CONCEPT in KEPT_OUT
    assert set(STYLE) <= set(CONCEPTS)


def test_captions_are_mostly_the_plain_one_and_a_tenth_are_empty():
    rng = np.random.default_rng(0)
    texts = [phrase("red-apple", "blue", rng) for _ in range(2000)]
    assert 0.07 < texts.count("") / 2000 < 0.13
    assert texts.count("red apple on a blue background") > 1200


def test_half_of_what_is_learnt_is_in_looks_asked_for_in_words_and_no_face_of_other_sets_is():
    names = ("red-apple", "cat-face")
    sets = {name: IconSet({"icons": dict.fromkeys((*names, "redapple"), {"body": '<circle cx="8" cy="8" r="5"/>'})})
            for name in (*BASE_SETS, *LOOK_SETS)}  # fmt: skip
    pictures, rows = render_looks(names, sets)
    faces = {LOOKS[look].set for name, look in rows if name == 1}
    assert len(pictures) == len(rows) == 2 * len(LOOKS) - len(LOOK_SETS) and not faces & set(LOOK_SETS)
    latents = np.zeros((2, 3, len(COLOURS), 8, 16, 16), np.float16)
    lessons = Lessons(names, latents, np.ones((len(rows), *latents.shape[2:]), np.float16), rows)
    chosen, texts = lessons.batch(1000, torch.Generator().manual_seed(0))
    in_looks = chosen[:, 0, 0, 0] == 1
    assert in_looks.sum() == 500
    asked = [text.endswith(tuple(look.words for look in LOOKS)) for text in texts]
    assert not any(np.array(asked)[~in_looks]) and np.array(asked)[in_looks].mean() > 0.85


@pytest.mark.parametrize(("kind", "count"), [("style", 24), ("character", len(CHARACTER)), ("concept", 12)])
def test_every_example_picture_has_a_caption_and_every_set_its_licence(kind, count):
    folder = STARTER / "examples" / kind
    pictures = sorted(folder.glob("*.png"))
    assert len(pictures) == count
    for path in pictures:
        assert Image.open(path).size == (SIZE, SIZE)
        assert path.with_suffix(".txt").read_text(encoding="utf-8").strip().endswith("background")
    assert "copyright" in (folder / "LICENSE.txt").read_text(encoding="utf-8").lower()


def test_the_licence_of_every_set_travels_with_the_weights():
    text = (STARTER / "LICENSES.md").read_text(encoding="utf-8")
    for line in ATTRIBUTIONS.values():
        assert line in text
    for words in ("apache.org/licenses/LICENSE-2.0", "creativecommons.org/licenses/by/4.0", "Permission is hereby"):
        assert words in text


def shapes(number: int) -> IconSet:
    """A made-up icon set: one shape for each of the first six concepts."""
    body = '<circle cx="8" cy="8" r="{}" fill="#{:02x}4080"/>'
    return IconSet({"icons": {n: {"body": body.format(2 + i, 40 * number)} for i, n in enumerate(CONCEPTS[:6])}})


@pytest.fixture
def few_pictures(monkeypatch):
    """The recipe with four pictures where it would take up to 256 at once."""
    real = autoencoder.batch
    for module in (autoencoder, build):
        monkeypatch.setattr(module, "batch", lambda pictures, count, *rest: real(pictures, min(count, 4), *rest))
    monkeypatch.setattr(denoiser, "BATCH", 4)


@pytest.mark.soak
def test_the_recipe_runs_from_pictures_to_a_model_and_goes_on_where_it_was(tmp_path, few_pictures):
    base, looks = ({name: shapes(i) for i, name in enumerate(sets)} for sets in (BASE_SETS, LOOK_SETS))
    recipe = replace(build.smoke(tmp_path / "work", tmp_path / "out"), autoencoder_steps=2, denoiser_steps=2)
    figures = build.build(recipe, base, looks, {})
    assert np.isfinite(figures["denoiser_loss"])
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out" / "model")
    assert pipe.unet.config.in_channels == pipe.vae.config.latent_channels == 8
    assert (tmp_path / "out" / "LICENSES.md").exists()
    again = build.build(recipe, base, looks, {})
    assert again["autoencoder_psnr_db"] == figures["autoencoder_psnr_db"]
    further = replace(recipe, work=tmp_path / "other", begin_from=tmp_path / "out" / "model")
    assert np.isfinite(build.build(further, base, looks, {})["denoiser_loss"])


def test_a_picture_keeps_its_background_exactly_where_nothing_is_drawn():
    picture = shapes(1).render(CONCEPTS[0])
    flat = composite(picture[None], np.array([[84, 142, 216]], np.float32))
    assert np.allclose((flat[0, :, 0, 0] + 1) * 127.5, (84, 142, 216), atol=0.01)


def test_a_comic_picture_has_a_dark_outline_all_around_what_is_drawn():
    plain, comic = shapes(1), ComicSet(shapes(1).data)
    picture = comic.render(CONCEPTS[3]).astype(int)
    wide = picture[..., 3] > 128
    coloured = wide & (picture[..., 2] > (INK + 128) / 2)
    width, inside = (shape[SIZE // 2].sum() for shape in (wide, coloured))
    assert width - inside == pytest.approx(2 * OUTLINE, abs=2)
    assert inside < (plain.render(CONCEPTS[3])[SIZE // 2, :, 3] > 128).sum()  # it made room for the line
    assert picture[SIZE // 2, SIZE // 2 - width // 2 + 3, :3].tolist() == [INK] * 3
