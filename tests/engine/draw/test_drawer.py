"""Drawing with a base and a stack that stay warm."""

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel

from lora_gui.engine.draw import as_diffusers, stack
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.load import lora
from lora_gui.engine.load.quantize import Int8Linear, Nf4Linear
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.stable_diffusion_1.model import StableDiffusion1
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer
from lora_gui.protocol.events import Done, Drawn, Note, Phase, Preview, Stopped
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings, StackEntry
from tests import tiny, tiny_flux_1
from tests.families.contract import random_layers


@pytest.fixture
def order(base, tmp_path):
    """`order(stack={path: strength}, **settings)` makes a job."""

    def make(stack=None, id="a", path=base, **settings):
        entries = tuple(StackEntry(lora=str(lora), strength=s) for lora, s in (stack or {}).items())
        quick = {"prompt": "zxy thing 0", "width": 64, "height": 64, "steps": 2, "guidance": 4, "seed": 1}
        settings = DrawSettings(stack=entries, **(quick | settings))
        where = Base(key="tiny", title="Tiny", family="sd1", path=str(path))
        return DrawJob(id=id, base=where, settings=settings, folder=str(tmp_path / "drawings"))

    return make


@pytest.fixture(scope="module")
def drawer():
    return Drawer()


@pytest.fixture
def loads(monkeypatch):
    """Counts how often a base is loaded."""
    counted, load = [], StableDiffusion1.kit

    def counting(self, base, *others):
        counted.append(base)
        return load(self, base, *others)

    monkeypatch.setattr(StableDiffusion1, "kit", counting)
    return counted


def drawn(drawer, job):
    events, said = [], []
    events += drawer.draw(job, said.append, lambda: False)
    assert events[-1] == Done(id=job.id)
    pictures = [np.array(Image.open(event.path)) for event in events if isinstance(event, Drawn)]
    return pictures, events, said


def test_a_changed_strength_reloads_neither_base_nor_lora(order, finished, loads):
    drawer = Drawer()
    pictures = []
    for strength in (0.0, 0.5, 1.0):
        (picture,), events, _ = drawn(drawer, order({finished.lora: strength}))
        pictures.append(picture)
    assert len(loads) == 1 == len(drawer.opened.stack.loaded)
    assert not np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[1], pictures[2])


def test_another_base_takes_the_place_of_the_first(order, finished, loads, tmp_path):
    other = shutil.copytree(finished.job.base.path, tmp_path / "other")
    drawer = Drawer()
    drawn(drawer, order({finished.lora: 1.0}))
    drawn(drawer, order({finished.lora: 1.0}, path=other))
    assert len(loads) == 2 and len(drawer.opened.stack.loaded) == 1


def test_strength_0_and_an_empty_stack_are_the_base_pixel_for_pixel(drawer, order, finished):
    (base,), _, _ = drawn(drawer, order())
    (full,), _, _ = drawn(drawer, order({finished.lora: 1.0}))
    (none,), _, _ = drawn(drawer, order({finished.lora: 0.0}))
    assert np.array_equal(none, base)
    assert not np.array_equal(full, base)


def alike(picture, path):
    """The same but for the last bit: here the LoRA is merged into the base, in the run it stands beside it."""
    return np.abs(picture.astype(int) - np.array(Image.open(path)).astype(int)).max() <= 1


def test_strength_1_is_the_last_sample_of_the_run(drawer, order, finished):
    (full,), _, _ = drawn(drawer, order({finished.lora: 1.0}))
    assert alike(full, finished.folder / "samples" / "final-0.png")


def test_a_checkpoint_can_be_drawn_with(drawer, order, finished):
    checkpoint = finished.folder / "checkpoints" / "ckpt-000004" / "adapter.safetensors"
    (picture,), _, _ = drawn(drawer, order({checkpoint: 1.0}))
    assert alike(picture, finished.folder / "samples" / "step-000004-0.png")


def test_the_same_lora_twice_adds_its_strengths(drawer, order, finished):
    (full,), _, _ = drawn(drawer, order({finished.lora: 1.0}))
    job = order()
    entries = (StackEntry(lora=str(finished.lora), strength=0.5),) * 2
    twice = job.model_copy(update={"settings": job.settings.model_copy(update={"stack": entries})})
    (picture,), _, _ = drawn(drawer, twice)
    assert np.array_equal(picture, full)


def test_each_drawing_has_the_next_seed_and_says_how_it_was_made(drawer, order, finished):
    pictures, events, _ = drawn(drawer, order({finished.lora: 0.5}, count=2, seed=7, negative_prompt="grey"))
    made = [event for event in events if isinstance(event, Drawn)]
    assert [(one.seed, one.number, one.of) for one in made] == [(7, 1, 2), (8, 2, 2)]
    assert [Path(one.path).name for one in made] == ["a-0.png", "a-1.png"]
    assert not np.array_equal(*pictures)
    text = Image.open(made[1].path).info["parameters"]
    assert "<lora:tiny:0.5>" in text and "Negative prompt: grey" in text and "Seed: 8" in text
    assert 'Lora hashes: "tiny: ' in text


def test_a_negative_prompt_changes_the_drawing(drawer, order):
    (one,), _, _ = drawn(drawer, order())
    (two,), _, _ = drawn(drawer, order(negative_prompt="grey"))
    assert not np.array_equal(one, two)


def notes(events):
    return [event.text for event in events if isinstance(event, Note)]


def test_a_prompt_of_many_words_is_read_to_its_end_where_the_base_can(drawer, order):
    (one,), events, _ = drawn(drawer, order(prompt="zxy a red apple on blue", negative_prompt="grey"))
    (two,), _, _ = drawn(drawer, order(prompt="zxy a red apple on green", negative_prompt="grey"))
    assert notes(events) == [] and not np.array_equal(one, two)
    (heavy,), _, _ = drawn(drawer, order(prompt="zxy a (red:1.4) apple on blue", negative_prompt="grey"))
    assert not np.array_equal(one, heavy)


def test_a_negative_prompt_that_does_nothing_is_said(drawer, order):
    (one,), events, _ = drawn(drawer, order(guidance=1, negative_prompt="grey"))
    (two,), plain, _ = drawn(drawer, order(guidance=1))
    assert np.array_equal(one, two) and notes(plain) == []
    said = "The negative prompt does nothing at this guidance, or with a base that draws without any."
    assert notes(events) == [said]


def test_a_variation_goes_from_the_drawing_of_one_seed_to_that_of_another(drawer, order):
    (one,), _, _ = drawn(drawer, order(seed=1))
    (two,), _, _ = drawn(drawer, order(seed=2))
    (between,), events, _ = drawn(drawer, order(seed=1, variation=0.3, variation_seed=2))
    text = Image.open(events[-2].path).info["parameters"]
    (end,), _, _ = drawn(drawer, order(seed=1, variation=1, variation_seed=2))
    assert np.array_equal(end, two)
    assert not np.array_equal(between, one) and not np.array_equal(between, two)
    assert "Variation seed: 2, Variation seed strength: 0.3" in text


def test_each_shot_of_an_order_has_its_own_prompt_and_says_so(drawer, order):
    job = order(prompt="{red|blue} thing")
    shots = tuple(job.settings.model_copy(update={"prompt": f"{word} thing"}) for word in ("red", "blue"))
    pictures, events, _ = drawn(drawer, job.model_copy(update={"shots": shots}))
    assert not np.array_equal(*pictures)
    said = [Image.open(event.path).info["parameters"].splitlines()[0] for event in events if isinstance(event, Drawn)]
    assert said == ["red thing", "blue thing"]


def test_a_picture_is_drawn_over_filled_in_and_enlarged_and_the_file_says_all_of_it(drawer, order, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "own.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 64, 32))
    mask.save(tmp_path / "mask.png")
    begun = {"picture": str(tmp_path / "own.png"), "denoising": 0.5}
    (over,), _, _ = drawn(drawer, order(**begun))
    assert over.shape == (64, 64, 3) and not np.array_equal(over, noise)
    (filled,), events, _ = drawn(drawer, order(**begun, mask=str(tmp_path / "mask.png"), mask_blur=0))
    assert np.array_equal(filled[32:], noise[32:]) and not np.array_equal(filled[:32], noise[:32])
    info = Image.open(events[-2].path).info
    assert "Denoising strength: 0.5, Mask blur: 0" in info["parameters"]
    assert "compositeWithTrainedAlgorithmicMedia" in info["XML:com.adobe.xmp"]
    record = json.loads(info["lora_studio"])
    assert record["settings"]["picture"] == "own.png" and str(tmp_path) not in info["lora_studio"]
    (large,), events, _ = drawn(drawer, order(picture=begun["picture"], denoising=0, upscale=1.5))
    assert large.shape == (96, 96, 3) and Phase("Enlarging", 0, 4) in events
    assert "Hires upscale: 1.5" in Image.open(events[-2].path).info["parameters"]


def test_a_drawing_is_cancelled_between_two_tiles_of_its_enlargement(drawer, order):
    job = order(upscale=2, steps=4)
    asked, seen = [], []

    def after_the_first_pass():
        asked.append(1)
        return len(asked) > 8

    events = list(drawer.draw(job, seen.append, after_the_first_pass))
    assert events[-1] == Stopped(id="a") and len(asked) == 9
    assert (seen[-1].step, seen[-1].of) == (4, 4)  # what is being enlarged is shown


def test_previews_show_a_drawing_under_way(drawer, order):
    _, _, said = drawn(drawer, order(steps=20))
    shown = [event.step for event in said if isinstance(event, Preview)]
    assert shown[0] == 1 and shown == sorted({*shown} - {20})  # the last is the drawing itself
    assert Image.open(said[-1].path).size == (64, 64)


def test_a_drawing_is_cancelled_between_two_steps(drawer, order):
    job, said = order(steps=50, count=3), []
    events = list(drawer.draw(job, said.append, lambda: len(said) >= 2))
    assert events[-1] == Stopped(id="a")
    assert len(said) == 2 and not any(isinstance(event, Drawn) for event in events)


def test_a_cancel_while_one_is_finished_keeps_it_and_begins_no_other(drawer, order, monkeypatch):
    begun, made, draw = [], [], StableDiffusion1.draw
    monkeypatch.setattr(StableDiffusion1, "draw", lambda *told: begun.append(1) or draw(*told))
    events = drawer.draw(order(steps=2, count=3), print, lambda: bool(made))
    made += itertools.islice((event for event in events if isinstance(event, Drawn)), 1)
    assert list(events)[-1] == Stopped(id="a") and len(begun) == 1
    assert Path(made[0].path).exists()


@pytest.mark.parametrize(("part", "key"), [("unet", "conv_out.weight"), ("vae", "decoder.conv_in.weight"),
                                           ("text_encoder", "text_model.final_layer_norm.weight"),
                                           ("vae", "decoder.conv_out.bias")])  # fmt: skip
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_drawing_of_values_that_are_not_numbers_fails_in_a_sentence_and_is_not_kept(
    order, finished, tmp_path, part, key, value
):
    broken = shutil.copytree(finished.job.base.path, tmp_path / "broken")
    file = next((broken / part).glob("*.safetensors"))
    tensors = safetensors.torch.load_file(file)
    key = next(name for name in tensors if name.endswith(key.removeprefix("text_model.")))
    tensors[key].view(-1)[0] = value
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    job = order(path=broken, count=2)
    with pytest.raises(UserError, match="values that are not numbers"):
        drawn(Drawer(), job)
    assert not list(Path(job.folder).glob("a-?.png"))


def test_a_dark_drawing_is_kept_and_one_that_is_black_all_over_is_named(drawer, order, monkeypatch):
    def dark(self, kit, settings, *others):
        return torch.full((1, 3, 72, 64), 0.02 if settings.prompt == "night" else 0.0)

    monkeypatch.setattr(StableDiffusion1, "draw", dark)
    for prompt, black in (("night", False), ("nothing", True)):
        _, events, _ = drawn(drawer, order(prompt=prompt))
        notes = [event.text for event in events if isinstance(event, Note)]
        assert notes[0] == "This base drew 64 x 72 where 64 x 64 was asked."
        assert [note.startswith("Every pixel of the drawing is black") for note in notes[1:]] == [True] * black
        path = next(event.path for event in events if isinstance(event, Drawn))
        assert "Size: 64x72" in Image.open(path).info["parameters"]


def test_seeds_are_taken_up_to_64_bits(drawer, order):
    _, events, _ = drawn(drawer, order(seed=2**64 - 1, count=2))
    made = [event for event in events if isinstance(event, Drawn)]
    assert [one.seed for one in made] == [2**64 - 1, 0]
    assert f"Seed: {2**64 - 1}" in Image.open(made[0].path).info["parameters"]


def test_an_order_that_was_cancelled_before_its_turn_loads_nothing(order, loads):
    assert list(Drawer().draw(order(), print, lambda: True)) == [Stopped(id="a")]
    assert not loads


def test_a_lora_of_another_family_is_refused_by_name(drawer, order, finished, tmp_path):
    foreign = tmp_path / "flower.safetensors"
    header = {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}
    safetensors.torch.save_file(safetensors.torch.load_file(finished.lora), foreign, header)
    with pytest.raises(UserError, match="stable-diffusion-xl|flower was made for Stable Diffusion XL"):
        drawn(drawer, order({foreign: 1.0}))
    (base,), _, _ = drawn(drawer, order())
    assert base.shape == (64, 64, 3)


def half_dora(text_encoder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a LoRA on a text encoder that is a DoRA in the first of its layers only."""
    tensors = {}
    encoder = CLIPTextModel.from_pretrained(text_encoder)
    layers = [(name, one) for name, one in encoder.named_modules() if name.endswith(("q_proj", "v_proj"))]
    for n, (name, layer) in enumerate(layers):
        key = f"lora_te_text_model_{name.removeprefix('text_model.').replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = torch.randn(4, layer.in_features)
        tensors[f"{key}.lora_up.weight"] = torch.randn(layer.out_features, 4)
        tensors[f"{key}.alpha"] = torch.tensor(4.0)
        if not n:
            tensors[f"{key}.dora_scale"] = torch.ones(layer.out_features, 1)
    return tensors


def test_a_refused_lora_leaves_nothing_behind_and_the_next_is_drawn_with(order, finished, tmp_path):
    drawer, refused = Drawer(), tmp_path / "mixed.safetensors"
    tensors = safetensors.torch.load_file(finished.lora) | half_dora(Path(finished.job.base.path) / "text_encoder")
    safetensors.torch.save_file(tensors, refused, {"ss_base_model_version": "sd_v1"})
    (expected,), _, _ = drawn(Drawer(), order({finished.lora: 1.0}))
    (base,), _, _ = drawn(drawer, order())
    for _ in range(2):
        with pytest.raises(UserError, match="DoRA in some layers only"):
            drawn(drawer, order({refused: 1.0}))
        modules = [name for part in drawer.opened.pipeline.parts.values() for name, _ in part.named_modules()]
        assert not [name for name in modules if re.search(r"lora_[AB]\.\w+", name)]
        (again,), _, _ = drawn(drawer, order())
        assert np.array_equal(again, base)
    for _ in range(2):
        (picture,), _, _ = drawn(drawer, order({finished.lora: 1.0}))
        assert np.array_equal(picture, expected)


def test_a_lora_that_fails_when_it_is_already_in_the_base_is_taken_out_again(order, finished, monkeypatch):
    def failing(*_):
        raise OSError

    drawer = Drawer()
    (expected,), _, _ = drawn(Drawer(), order({finished.lora: 1.0}))
    monkeypatch.setattr(stack, "weights_hash", failing)
    with pytest.raises(OSError):
        drawn(drawer, order({finished.lora: 1.0}))
    assert not any(layer.lora_A for _, layer in lora.wrappers(drawer.opened.pipeline.parts))
    monkeypatch.undo()
    (picture,), _, _ = drawn(drawer, order({finished.lora: 1.0}))
    assert np.array_equal(picture, expected)


def test_a_lokr_is_refused_before_the_reader_of_diffusers_puts_its_layers_into_a_base(tmp_path):
    path = tmp_path / "fox.safetensors"
    safetensors.torch.save_file({"transformer.x.lokr_w1": torch.ones(2, 2)}, path)
    with pytest.raises(UserError, match=r"fox is a LoKr.*Convert it first"):
        as_diffusers.add({}, path, family("klein").facts, "one", texts=True)


def test_the_name_of_an_adapter_is_never_used_again(order, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "_WARM", 0)
    drawer, names = Drawer(), []
    for n in range(3):
        copy = tmp_path / f"{n}.safetensors"
        copy.write_bytes(finished.lora.read_bytes())
        drawn(drawer, order({copy: 1.0}))
        names += drawer.opened.stack.loaded.values()
        drawn(drawer, order())
        assert not drawer.opened.stack.loaded
    assert len(set(names)) == 3


def test_a_base_that_is_built_for_filling_in_is_refused_in_a_sentence(order, finished, tmp_path):
    odd = shutil.copytree(finished.job.base.path, tmp_path / "inpainting")
    config = dict(UNet2DConditionModel.load_config(odd / "unet")) | {"in_channels": 9}
    UNet2DConditionModel.from_config(config).save_pretrained(odd / "unet")
    drawer = Drawer()
    with pytest.raises(UserError, match="takes 9 channels, and a picture has 4"):
        drawn(drawer, order(path=odd))
    (picture,), _, _ = drawn(drawer, order())
    assert picture.shape == (64, 64, 3)
    job = finished.job.model_copy(update={"base": order(path=odd).base})
    with pytest.raises(UserError, match="takes 9 channels"):
        list(train(job, tmp_path / "run", family("sd1")))


def test_a_changed_file_is_loaded_anew(drawer, order, finished, tmp_path):
    copy = tmp_path / "copy.safetensors"
    tensors = safetensors.torch.load_file(finished.lora)
    header = {"modelspec.architecture": "stable-diffusion-v1/lora"}
    safetensors.torch.save_file(tensors, copy, header)
    (one,), _, _ = drawn(drawer, order({copy: 1.0}))
    halved = {key: value / 2 if key.endswith("lora_up.weight") else value for key, value in tensors.items()}
    safetensors.torch.save_file(halved, copy, header)
    (two,), _, _ = drawn(drawer, order({copy: 1.0}))
    assert not np.array_equal(one, two)


def test_loras_that_are_not_in_use_leave_when_there_are_many(order, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "_WARM", 2)
    drawer = Drawer()
    for n in range(4):
        copy = tmp_path / f"{n}.safetensors"
        copy.write_bytes(finished.lora.read_bytes())
        drawn(drawer, order({copy: 1.0}))
    assert len(drawer.opened.stack.loaded) == 2


def test_a_base_that_is_none_is_a_sentence(drawer, order, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="Tiny cannot be opened"):
        drawn(drawer, order(path=tmp_path / "none"))


def test_on_a_base_in_few_bits_a_lora_counts_and_strength_0_is_that_base_bit_for_bit(tmp_path, order, monkeypatch):
    wide = tiny.stable_diffusion_1(tmp_path / "wide", width=128)
    job = tiny.job(tmp_path, wide, precision="nf4", steps=2)
    done = list(train(job, tmp_path, tiny.QuickStableDiffusion1()))[-1]
    drawer = Drawer()

    def picture(stack, precision="nf4"):
        asked = {"precision": precision, "cache": job.cache}
        (found,), _, _ = drawn(drawer, order(stack, path=wide).model_copy(update=asked))
        return found

    base = picture({})
    assert any(isinstance(module, Nf4Linear) for module in drawer.opened.pipeline.parts["unet"].modules())
    full = picture({done.lora: 1.0})
    assert not np.array_equal(full, base)
    assert not drawer.opened.stack._applied._originals  # where it is short of memory, no weight is held twice
    sample = np.array(Image.open(tmp_path / "samples" / "final-0.png")).astype(int)
    assert np.abs(sample - full).mean() < 2  # a run packs its frozen layers, which round otherwise, here in bf16
    assert np.array_equal(picture({done.lora: 0.0}), base)
    assert not np.array_equal(picture({}, precision=""), base)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    in_16 = order({done.lora: 1.0}, path=wide).model_copy(update={"precision": "bf16", "cache": job.cache})
    _, events, _ = drawn(drawer := Drawer(), in_16)  # on a processor without bf16
    unet = drawer.opened.pipeline.parts["unet"]
    assert any(isinstance(module, Int8Linear) for module in unet.modules()) and unet.dtype == torch.float32
    assert any("held in 8" in str(event) for event in events) and not drawer.opened.stack._applied._originals


def test_large_text_encoders_leave_once_a_prompt_is_read_and_the_drawing_is_the_same(tmp_path):
    where = Base(key="tiny", title="Tiny", family="flux1", path=str(tiny_flux_1.flux_1(tmp_path)))
    settings = DrawSettings(prompt="a thing", width=64, height=64, steps=2)
    whole = DrawJob(id="a", base=where, settings=settings, folder=str(tmp_path))
    layers = random_layers("flux1", Path(where.path), 1)
    text = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    both = layers | {text: Layer(torch.ones(4, 8), torch.ones(8, 4), 4.0)}
    facts, lora = family("flux1").facts, tmp_path / "both.safetensors"
    safetensors.torch.save_file(dialects.build(both, facts), lora, {"modelspec.architecture": facts.architecture})
    stack = settings.model_copy(update={"stack": (StackEntry(lora=str(lora)),)})
    (plain,), _, _ = drawn(Drawer(), whole)
    drawer, in_parts = Drawer(), whole.model_copy(update={"precision": "fp32"})
    for times, asked in ((1, settings), (0, settings), (0, stack)):
        (picture,), events, _ = drawn(drawer, in_parts.model_copy(update={"settings": asked}))
        assert events.count(Phase("Reading the prompt")) == times
        assert np.array_equal(picture, plain) == (not asked.stack)
        assert bool(asked.stack) == any("in the text encoder is left out" in str(event) for event in events)
    assert drawer.opened.pipeline.kit.encoders is None


def test_a_phase_says_what_is_loaded(order, finished):
    _, events, _ = drawn(Drawer(), order({finished.lora: 1.0}))
    assert [event.name for event in events if isinstance(event, Phase)] == ["Loading Tiny", "Loading tiny", "Drawing"]


def reading_lora(base, path):
    """A LoRA that changes the text encoder alone."""
    encoder = CLIPTextModel.from_pretrained(base / "text_encoder")
    layers = {
        f"text_encoder.text_model.{name.removeprefix('text_model.')}": Layer(
            torch.randn(4, one.in_features), torch.randn(one.out_features, 4), 4.0
        )
        for name, one in encoder.named_modules() if name.endswith("q_proj")
    }  # fmt: skip
    tensors = dialects.build(layers, family("sd1").facts)
    safetensors.torch.save_file(tensors, path, {"ss_base_model_version": "sd_v1"})
    return path


def test_prompts_are_read_anew_only_where_a_lora_changes_how_they_are_read(order, base, finished, tmp_path):
    drawer, asked = Drawer(), order()
    (plain,), _, _ = drawn(drawer, asked)
    read = []
    drawer.opened.pipeline.kit.encoders.texts["text_encoder"].register_forward_hook(lambda *_: read.append(1))
    again = asked.model_copy(update={"settings": asked.settings.model_copy(update={"count": 3})})
    assert np.array_equal(drawn(drawer, again)[0][0], plain) and not read
    drawn(drawer, order({finished.lora: 1.0}))
    assert not read
    reads = reading_lora(base, tmp_path / "reads.safetensors")
    (full,), _, _ = drawn(drawer, order({reads: 1.0}))
    assert len(read) == 2  # the prompt and the negative one
    drawn(drawer, asked.model_copy(update={"settings": asked.settings.model_copy(update={"prompt": "another"})}))
    assert len(read) == 4
    (same,), _, _ = drawn(drawer, order({reads: 1.0}))
    assert np.array_equal(same, full) and not np.array_equal(full, plain) and len(read) == 4


def test_the_text_encoder_and_groups_of_blocks_have_strengths_of_their_own(order, base, finished, tmp_path):
    drawer, reads = Drawer(), reading_lora(base, tmp_path / "reads.safetensors")
    (plain,), _, _ = drawn(drawer, order())
    job = order()

    def with_entry(**values):
        stack = (StackEntry(**values),)
        return drawn(drawer, job.model_copy(update={"settings": job.settings.model_copy(update={"stack": stack})}))

    assert np.array_equal(with_entry(lora=str(reads), strength=1.0, text_strength=0.0)[0][0], plain)
    (half,), _, _ = with_entry(lora=str(reads), strength=0.0, text_strength=0.5)
    assert np.array_equal(half, with_entry(lora=str(reads), strength=0.5)[0][0]) and not np.array_equal(half, plain)
    (up,), events, _ = with_entry(lora=str(finished.lora), down=0.0, middle=0.0)
    assert not np.array_equal(up, plain) and not np.array_equal(up, drawn(drawer, order({finished.lora: 1.0}))[0][0])
    _, events, _ = with_entry(lora=str(reads), down=0.5)
    assert any("nothing in down blocks" in event.text for event in events if isinstance(event, Note))


def test_turns_are_what_stepping_by_hand_through_one_lora_after_the_other_draws(order, base, finished, tmp_path):
    other, facts = tmp_path / "other.safetensors", family("sd1").facts
    layers = {name: one for name, one in random_layers("sd1", base, seed=7).items() if name.startswith("unet.")}
    safetensors.torch.save_file(dialects.build(layers, facts), other, {"ss_base_model_version": "sd_v1"})
    asked = order({finished.lora: 0.7, other: 0.4}, turns=True, steps=5)
    (turns,), _, _ = drawn(Drawer(), asked)

    plain = Drawer()
    drawn(plain, order())  # the base, with nothing in it
    unet = plain.opened.pipeline.parts["unet"]
    own = {name: one.clone() for name, one in unet.state_dict().items()}
    stack = [(dialects.read(finished.lora, None, facts, [facts]), 0.7), (layers, 0.4)]

    def wear(step):
        unet.load_state_dict(own)
        worn, strength = stack[step % 2]
        for name, layer in worn.items():
            unet.get_submodule(name.removeprefix("unet.")).weight.data += strength * layer.delta()

    wear(0)
    shot = asked.settings
    by_hand = plain.opened.pipeline.draw(shot, shot.seed, plain.opened.prompts(shot), lambda step, of, x0: wear(step))
    assert np.abs(np.array(by_hand).astype(int) - turns.astype(int)).max() <= 1


def test_loras_that_take_turns_count_one_at_a_step_each_by_itself(order, base, finished, tmp_path):
    drawer, other = Drawer(), tmp_path / "other.safetensors"
    layers = random_layers("sd1", base, seed=7)
    safetensors.torch.save_file(dialects.build(layers, family("sd1").facts), other, {"ss_base_model_version": "sd_v1"})
    both = {finished.lora: 1.0, other: 0.8}
    (together,), _, _ = drawn(drawer, order(both))
    (turns,), _, _ = drawn(drawer, order(both, turns=True))
    (again,), _, _ = drawn(Drawer(), order(both, turns=True))
    assert np.array_equal(turns, again) and not np.array_equal(turns, together)
    assert np.array_equal(drawn(drawer, order(both))[0][0], together)
    (one,), _, _ = drawn(drawer, order({finished.lora: 1.0, other: 0.8}, steps=1, turns=True))
    (alone,), _, _ = drawn(drawer, order({finished.lora: 1.0}, steps=1))
    assert np.abs(one.astype(int) - alone.astype(int)).max() <= 1
