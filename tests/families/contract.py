"""What every family must hold, checked with a tiny random base of its own classes.

A family's test file makes a class of this one, and a `base` for the module; it then adds what only the family promises.
"""

import math
import random
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from lora_gui import families
from lora_gui.engine.draw.pipeline import Pipeline, encoded
from lora_gui.engine.load import loading, lora, packed
from lora_gui.engine.load.quantize import QuantizedLinear
from lora_gui.engine.train import activations, adapter, losses, masks, optimizers, publish, recompute, samples
from lora_gui.engine.train.cache import Cache
from lora_gui.engine.train.loop import train
from lora_gui.engine.train.preservation import Preservation
from lora_gui.engine.train.step import NAME, TrainState
from lora_gui.families import family
from lora_gui.families.base import Batch, Family, Tensors
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer, Layers
from lora_gui.framing import Framing
from lora_gui.protocol.events import Done
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.settings import DrawSettings, Quantised, Recomputing, TrainSettings
from lora_gui.studio.doctor import reading
from tests import tiny

CPU = torch.device("cpu")
PROMPT = "a thing"
TOKENS = 64  # of a short caption


class Contract:
    key: str
    spelt = 0  # tokens that its tiny tokenizer, which spells words out, needs more before a caption than the real one
    unguided = 1.0  # the guidance that is none; the family's own settings where it is a wish like any other

    @pytest.fixture(scope="class")
    def pipeline(self, base: Path) -> Pipeline:
        return pipeline_of(self.key, base)

    @pytest.fixture(scope="class")
    def texts(self, pipeline: Pipeline) -> Tensors:
        """The prompts of `settings`, encoded and short."""
        return short(encoded(pipeline.family, pipeline.kit.encoders, (PROMPT, "")))

    @pytest.fixture(scope="class")
    def layers(self, base: Path) -> Layers:
        return random_layers(self.key, base, seed=1)

    @pytest.fixture(scope="class")
    def drawn(self, base: Path, layers: Layers, texts: Tensors) -> Image.Image:
        """With these layers as they are in memory."""
        return drawn_with(self.key, base, layers, texts)

    def test_the_loss_falls_and_only_the_lora_learns(self, base):
        own, settings = family(self.key), TrainSettings(rank=4, alpha=4)
        parts = own.denoisers(base, CPU, torch.float32)
        frozen = {
            (part, name): weight.clone() for part, root in parts.items() for name, weight in root.named_parameters()
        }
        weights = lora.add_new(parts, own, settings, "new")
        batch = short_batch(self.key, base)
        optimizer = torch.optim.AdamW(weights, lr=3e-2, weight_decay=0)
        seen = []
        for step in range(8):
            loss = loss_of(self.key, base, parts, batch, settings, seed=step % 2).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(float(loss.detach()))
        assert sum(seen[-2:]) < 0.98 * sum(seen[:2])
        for part, root in parts.items():
            for name, weight in root.named_parameters():
                if ".lora_" not in name:
                    assert torch.equal(weight, frozen[part, name.replace(".base_layer", "")])

    def test_cells_count_by_masks_and_bias_moves_the_noise(self, base):
        own, batch = family(self.key), short_batch(self.key, base)
        plain = TrainSettings(rank=4, alpha=4, unmasked_weight=0)
        parts, height = own.denoisers(base, CPU, torch.float32), batch.sizes[0][0] // 8
        mask = torch.ones((2, 1, height, height))
        white = replace(batch, pictures=batch.pictures | {masks.KEY: mask})
        expected = loss_of(self.key, base, parts, batch, plain, seed=1)
        torch.testing.assert_close(loss_of(self.key, base, parts, white, plain, seed=1), expected)
        half = replace(batch, pictures=batch.pictures | {masks.KEY: mask * (torch.arange(height) < height // 2)})
        found = loss_of(self.key, base, parts, half, plain, seed=1)
        assert found.isfinite().all() and not torch.allclose(found, expected)
        biased = loss_of(self.key, base, parts, batch, plain.model_copy(update={"timestep_bias": "style"}), seed=1)
        assert biased.isfinite().all() and not torch.allclose(biased, expected)

    def test_the_base_can_be_held_at_other_words(self, base):
        own, batch = family(self.key), short_batch(self.key, base)
        job = tiny_job(self.key, base, rank=4, alpha=4, preservation=1, learn_below=0.5, caption_dropout=0.5)
        parts, noising = own.denoisers(base, CPU, torch.float32), own.noising(base, CPU)
        lora.add_new(parts, own, job.settings, "new")
        masters = adapter.fuse(parts, "new", torch.float32, own)
        preservation = Preservation(job, cache_of(self.key, base), own, parts, noising, "new")
        for turn in (0, 1):  # at the pictures' own words, and at others
            held = preservation.held(batch, torch.Generator().manual_seed(1), turn)
            with torch.no_grad():
                assert float(preservation.distance(held)) < 1e-8  # a new LoRA changes nothing
        for one in masters:
            one.flat.data.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
            one.refresh()
        far = preservation.distance(held)
        far.backward()
        assert float(far.detach()) > 1e-6 and all(bool(one.arriving.any()) for one in masters)

    @pytest.mark.parametrize("refined", [
        {
            "ema_decay": 0.5, "rank_dropout": 0.3, "module_dropout": 0.3, "lora_plus": 4, "max_norm": 0.05,
            "loss": "huber", "debiased": True,
        },
        {"dora": True, "ema_decay": 0.5, "layers": "all"},
        {"adapter": "lokr", "alpha": 6, "ema_decay": 0.5, "rank_dropout": 0.3, "max_norm": 0.05, "layers": "all"},
    ])  # fmt: skip
    def test_it_learns_as_practised_trainers_do_and_the_file_is_what_it_learnt(self, base, tmp_path, refined):
        own = family(self.key)
        job = tiny_job(self.key, base, batch_size=2, learning_rate=1e-2, **({"rank": 4, "alpha": 4} | refined))
        parts, encoded = own.denoisers(base, CPU, torch.float32), cache_of(self.key, base)
        one = TrainState(job, own, parts, encoded, CPU, torch.float32, tmp_path)
        for _ in range(3):
            one.one_step(iter([[0, 1]]))
        assert all(bool(loss.isfinite()) for loss in one.losses)
        learnt, limit = one.layers(), job.settings.max_norm or math.inf
        assert all(float(layer.delta().norm()) < 1.2 * limit for layer in learnt.values())
        read = publish.decode(publish.encode(job, own.facts, learnt, 3), own.facts, lora.shapes(one.parts))
        last = lora.get_weights(one.parts, NAME)
        for name in last:
            torch.testing.assert_close(read[name].delta(), learnt[name].delta(), rtol=1e-2, atol=1e-4)
            assert (learnt[name].magnitude is not None) == job.settings.dora
            if job.settings.dora:
                assert torch.equal(read[name].magnitude, learnt[name].magnitude)
        assert any(not torch.equal(last[name].down, learnt[name].down) for name in learnt)
        file = tmp_path / "published.safetensors"  # as it is drawn with: a LoKr multiplied out
        file.write_bytes(publish.encode(job, own.facts, learnt, 3))
        drawn = dialects.read(file, lora.shapes(one.parts), own.facts, families.facts().values())
        for name in learnt:
            assert drawn.keys() == read.keys() and type(drawn[name]) is Layer
            of_file = read[name].delta().view(drawn[name].delta().shape)
            torch.testing.assert_close(drawn[name].delta(), of_file, rtol=1e-4, atol=1e-6)

    def test_attention_is_attention_alone_unless_the_help_says_otherwise(self, base):
        own, parts = family(self.key), family(self.key).denoisers(base, CPU, torch.float32)
        names = [
            name for part, root in parts.items() for name, _ in root.named_modules()
            if re.fullmatch(own.targets(part, "attention"), name)
        ]  # fmt: skip
        said = "on FLUX with the feed-forward" in str(TrainSettings.model_fields["layers"].description)
        further = [name for name in names if re.search(r"(^|[._])(ff|mlp|feed_forward)", name)]
        assert names and bool(further) == (said and own.facts.title.startswith("FLUX"))
        assert len(names) < count(own, parts, "linear") <= count(own, parts, "all")

    def test_text_encoders_that_learn_too_take_smaller_steps(self, base):
        own = family(self.key)
        texts = own.text_encoders(base, CPU, torch.float32)
        if not texts:
            pytest.skip(f"{own.facts.title} keeps its text encoders as they are")
        settings = TrainSettings(rank=4, alpha=4, learning_rate=1e-3, weight_decay=0)
        parts = own.denoisers(base, CPU, torch.float32) | texts
        lora.add_new(parts, own, settings, "new")
        masters = adapter.fuse(parts, "new", torch.float32)
        optimizer = optimizers.make(masters, settings)
        optimizers.set_rates(optimizer, settings, share=0.5)
        before = [[weight.detach().clone() for weight in group["params"]] for group in optimizer.param_groups]
        loss_of(self.key, base, parts, short_batch(self.key, base), settings, seed=1).mean().backward()
        for one in masters:
            one.gather()
        optimizer.step()
        moved = [
            max(float((new.detach() - old).abs().max()) for new, old in zip(group["params"], olds, strict=True))
            for group, olds in zip(optimizer.param_groups, before, strict=True)
        ]
        assert moved == pytest.approx([5e-4, 2.5e-4], rel=0.01)  # AdamW's first step is as large as its rate

    def test_a_step_on_a_card_computes_with_nothing_that_lies_with_the_host(self, base):
        """On the device `meta`, which has shapes alone and, as a card does, refuses what lies elsewhere."""
        own, card, generator = family(self.key), torch.device("meta"), torch.Generator().manual_seed(1)
        parts = own.denoisers(base, CPU, torch.float32) | own.text_encoders(base, CPU, torch.float32)
        job = tiny_job(
            self.key, base, rank=4, alpha=4, preservation=1, caption_dropout=0.5, noise_offset=0.1, min_snr_gamma=5,
            timestep_bias="style", unmasked_weight=0.5,
        )  # fmt: skip
        lora.add_new(parts, own, job.settings, "new")
        for part in parts.values():
            part.to(card)
        encoded, noising = replace(cache_of(self.key, base), device=card), own.noising(base, card)
        for picture in encoded.pictures:
            picture[0][masks.KEY] = torch.ones((1, 8, 8))
        batch = encoded.batch([0, 1], 0.5, random.Random(1))
        given = losses.drawn(own, parts, batch, noising, job.settings, generator)
        assert losses.computed(own, parts, given, noising, job.settings).device == card
        preservation = Preservation(job, encoded, own, parts, noising, "new")
        for turn in (0, 1):
            assert preservation.distance(preservation.held(batch, generator, turn)).device == card

    def test_the_loss_of_each_picture_is_its_own_and_recomputing_changes_nothing(self, base, monkeypatch):
        monkeypatch.setattr(activations, "_SMALLEST", 1024)  # bytes; nothing tiny is worth a copy
        own, settings = family(self.key), TrainSettings(rank=4, alpha=4)
        parts = own.denoisers(base, CPU, torch.float32)
        weights = lora.add_new(parts, own, settings, "new")
        batch = short_batch(self.key, base)
        gradients = []
        for how in get_args(Recomputing):
            for part in parts.values():
                recompute.apply(part, how, CPU)
            loss = loss_of(self.key, base, parts, batch, settings, seed=1)
            assert loss.shape == (len(batch.sizes),)
            assert loss.dtype == torch.float32
            gradients.append(torch.autograd.grad(loss.mean(), weights, allow_unused=True))
        for plain, *others in zip(*gradients, strict=True):
            assert all(plain is None if one is None else torch.equal(plain, one) for one in others)

    @pytest.mark.parametrize("layers", ["attention", "all"])
    def test_fused_with_packed_frozen_layers_the_adapter_learns_what_it_does_by_pefts(self, base, layers):
        own, settings = family(self.key), TrainSettings(rank=4, alpha=8, layers=layers)
        parts, batch = own.denoisers(base, CPU, torch.float32), short_batch(self.key, base)
        weights = lora.add_new(parts, own, settings, "new")
        for weight in weights:
            weight.data.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(weight.numel()))
        loss = loss_of(self.key, base, parts, batch, settings, seed=1).mean()
        expected = torch.autograd.grad(loss, weights, allow_unused=True)
        assert sum(packed.pack(part) for part in parts.values())
        masters = adapter.fuse(parts, "new", torch.float32, own)
        for _ in range(2):  # the second backward finds its layers packed for it
            masters[0].zero()
            again = loss_of(self.key, base, parts, batch, settings, seed=1).mean()
            again.backward()
            masters[0].gather()
        torch.testing.assert_close(again, loss, rtol=1e-4, atol=1e-5)
        found_gradients = masters[0].views(masters[0].flat.grad)
        for weight, found, gradient in zip(weights, found_gradients, expected, strict=True):
            gradient = torch.zeros_like(weight) if gradient is None else gradient
            torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-5 + 1e-3 * float(gradient.abs().max()))

    def test_a_drawing_is_the_one_the_plain_pipeline_makes_with_captions_cached_or_not(self, base, pipeline):
        own = family(self.key)
        expected = self.plain_drawing(base, settings())
        assert same(pipeline.draw(settings(), seed=7), expected)
        without = pipeline_of(self.key, base, own.denoisers(base, CPU, torch.float32))
        assert without.kit.encoders is None
        texts = encoded(own, pipeline.kit.encoders, (PROMPT, ""))
        assert same(without.draw(settings(), 7, texts), expected)

    def test_guidance_that_ends_at_once_is_none(self, pipeline, texts):
        none = pipeline.draw(settings(guidance=self.unguided), 7, texts)
        assert same(pipeline.draw(settings(guidance_end=0), 7, texts), none)
        assert same(pipeline.draw(settings(guidance_end=0.5), 7, texts), none) == (self.unguided > 1)

    @torch.no_grad()
    def test_pictures_are_encoded_without_rounding_whatever_the_run_computes_in(self, base):
        own, pixels = family(self.key), torch.rand((1, 3, tiny.SIZE, tiny.SIZE)) * 2 - 1
        exact, half = (
            own.encode_pictures(own.encoders(base, CPU, dtype, captions=False), pixels)
            for dtype in (torch.float32, torch.bfloat16)
        )
        seen = {"mean", "std", "latents"} & exact.keys()
        assert seen and all(torch.equal(exact[key], half[key]) for key in seen)
        assert {value.dtype for value in half.values()} == {torch.float32}

    def test_captions_encoded_together_are_those_encoded_alone(self, pipeline):
        own, encoders = family(self.key), pipeline.kit.encoders
        with torch.no_grad():
            together = own.encode_captions(encoders, [PROMPT, "another much longer caption", ""])
            for n, caption in enumerate((PROMPT, "another much longer caption", "")):
                for key, value in own.encode_captions(encoders, [caption]).items():
                    torch.testing.assert_close(together[key][n : n + 1], value)

    def test_what_comes_after_the_words_that_are_not_seen_changes_nothing(self, base, pipeline):
        own = family(self.key)
        encoders, reader = pipeline.kit.encoders, own.reader(base)
        assert reader and reader.unread(PROMPT) == ""
        long = " ".join(f"w{n}" for n in range(400))
        first = reader.unread(long).split()[0]
        seen = long[: long.index(first)] + first
        with torch.no_grad():
            one, other, less = (own.encode_captions(encoders, [text]) for text in (long, f"{seen} no more", "w0"))
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert not all(torch.equal(one[key], less[key]) for key in one)

    def test_the_doctor_counts_what_is_read_of_a_caption_as_the_family_does(self, base):
        reader = family(self.key).reader(base)
        told = reading.of_base(Base(key="own", title="Own", family=self.key, path=str(base), like=""))
        assert reader and (told.room - self.spelt, told.unread(PROMPT)) == (reader.room, "")
        assert reader.unread("a " * (reader.room + 9)) and told.unread("a " * (reader.room + 9))

    def test_a_drawing_shows_how_it_gets_on(self, pipeline, texts):
        told: list[tuple[int, torch.Tensor | None]] = []
        pipeline.draw(settings(), 1, texts, progress=lambda step, of, x0: told.append((step, x0)))
        shown = [(step, x0) for step, x0 in told if x0 is not None]
        assert [step for step, _ in shown] == [1, 2, 3]
        assert pipeline.preview(shown[1][1]).size == (tiny.SIZE, tiny.SIZE)

    def test_a_prediction_is_a_pure_function_of_tensors(self, base):
        own, batch, settings = family(self.key), short_batch(self.key, base), TrainSettings()
        parts = own.denoisers(base, CPU, torch.float32)
        for part, noising in own.noising(base, CPU).items():
            generator = torch.Generator().manual_seed(1)
            latents = own.latents(part, parts[part], batch, generator)
            noise, timesteps = torch.randn(latents.shape, generator=generator), noising.timesteps(latents, generator)
            told = own.conditions(part, parts, batch, settings, generator)
            noisy = noising.noisy(latents, noise, timesteps)
            state, kept = torch.get_rng_state(), noisy.clone()
            with torch.no_grad():
                one, other = (own.predict(part, parts[part], noisy, timesteps, told) for _ in range(2))
            assert torch.equal(one, other) and torch.equal(noisy, kept)
            assert torch.equal(torch.get_rng_state(), state)
            assert one.shape[:1] == latents.shape[:1] and one.shape[2:] == latents.shape[2:]

    def test_the_predicted_x0_undoes_what_was_noised(self, base):
        own, batch = family(self.key), short_batch(self.key, base)
        parts = own.denoisers(base, CPU, torch.float32)
        for part, noising in own.noising(base, CPU).items():
            generator = torch.Generator().manual_seed(1)
            latents = own.latents(part, parts[part], batch, generator)
            noise, timesteps = torch.randn(latents.shape, generator=generator), noising.timesteps(latents, generator)
            right = noising.target(latents, noise, timesteps)
            x0 = noising.x0(noising.noisy(latents, noise, timesteps), right, timesteps)
            torch.testing.assert_close(x0, latents, atol=1e-3, rtol=1e-3)

    def test_a_lora_at_strength_0_is_the_base_exactly(self, pipeline, layers, texts):
        parts, before = pipeline.parts, pipeline.draw(settings(), 3, texts)
        lora.add(parts, layers, "one")
        lora.activate(parts, {"one": 1.0})
        assert not same(pipeline.draw(settings(), 3, texts), before)
        lora.activate(parts, {"one": 0.0})
        assert same(pipeline.draw(settings(), 3, texts), before)
        lora.remove(parts, "one")
        assert same(pipeline.draw(settings(), 3, texts), before)

    def test_stacked_loras_add_up_in_proportion_to_their_strengths(self, base, pipeline, layers, texts):
        parts, other = pipeline.parts, random_layers(self.key, base, seed=2)
        lora.add(parts, layers, "one")
        lora.add(parts, other, "two")
        lora.activate(parts, {"one": 0.5, "two": -1.0})
        stacked = pipeline.draw(settings(), 3, texts)
        lora.activate(parts, {})
        lora.add(parts, {name: added(layers[name], 0.5, other[name], -1.0) for name in layers}, "sum")
        lora.activate(parts, {"sum": 1.0})
        alone = pipeline.draw(settings(), 3, texts)
        for name in ("one", "two", "sum"):
            lora.remove(parts, name)
        assert np.abs(np.array(stacked, dtype=int) - np.array(alone, dtype=int)).max() <= 1

    @pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
    def test_a_saved_lora_draws_the_same_in_a_fresh_pipeline(self, base, layers, texts, drawn, dialect, tmp_path):
        facts = family(self.key).facts
        if dialect not in facts.dialects:
            pytest.skip(f"{facts.title} is not written in it")
        file = tmp_path / "saved.safetensors"
        fields = {"modelspec.architecture": facts.architecture}
        file.write_bytes(safetensors.torch.save(dialects.build(layers, facts, dialect), fields))
        assert same(drawn_with(self.key, base, file, texts), drawn)

    def test_a_published_lora_is_read_back_as_it_was(self, base, layers, tmp_path):
        own = family(self.key)
        parts = own.denoisers(base, CPU, torch.float32)
        job = tiny.job(tmp_path, base).model_copy(
            update={"base": Base(key=own.facts.bases[0].key, title="Tiny", family=self.key, path=str(base))}
        )
        data = publish.encode(job, own.facts, layers, 10)
        read = publish.decode(data, own.facts, lora.shapes(parts))
        assert read.keys() == layers.keys()
        for name, layer in read.items():
            torch.testing.assert_close(layer.delta(), layers[name].delta(), atol=1e-3, rtol=1e-2)

    @pytest.mark.parametrize("precision", get_args(Quantised))
    def test_in_few_bits_it_learns_and_what_it_learnt_changes_a_drawing_alike(self, base, texts, precision, tmp_path):
        own, told = family(self.key), TrainSettings(rank=4, alpha=4, precision=precision)
        parts = own.denoisers(base, CPU, torch.float32, loading.denoiser(told))
        held = {part for part, root in parts.items() for one in root.modules() if isinstance(one, QuantizedLinear)}
        assert held == set(parts), "no layer of a part is large enough to be quantised"
        weights = lora.add_new(parts, own, told, "new")
        optimizer, seen = torch.optim.AdamW(weights, lr=3e-2, weight_decay=0), []
        for _ in range(5):
            loss = loss_of(self.key, base, parts, short_batch(self.key, base), told, seed=1).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(float(loss.detach()))
        assert seen[-1] < 0.99 * seen[0]
        learnt, file = lora.get_weights(parts, "new"), tmp_path / "learnt.safetensors"
        fields = {"modelspec.architecture": own.facts.architecture}
        file.write_bytes(safetensors.torch.save(dialects.build(learnt, own.facts), fields))
        read = dialects.read(file, lora.shapes(parts), own.facts, list(families.facts().values()))
        pipeline, drawings = pipeline_of(self.key, base, parts), []
        for strength, layers in ((0.0, learnt), (1.0, learnt), (1.0, read)):
            lora.set_weights(parts, layers, "new")
            lora.activate(parts, {"new": strength})
            drawings.append(pipeline.draw(settings(steps=2), 5, texts))
        assert same(*drawings[1:]) and not same(*drawings[:2])

    def plain_drawing(self, base: Path, wanted: DrawSettings) -> Image.Image:
        """What the pipeline draws by itself, told nothing but what stands in the settings; seed 7."""
        from diffusers import DiffusionPipeline

        plain = DiffusionPipeline.from_pretrained(base)
        return plain(
            wanted.prompt, width=wanted.width, height=wanted.height, num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance, generator=torch.Generator().manual_seed(7),
        ).images[0]  # fmt: skip


def settings(**changes: Any) -> DrawSettings:
    """Three steps of a tiny drawing."""
    return DrawSettings(
        **({"prompt": PROMPT, "width": tiny.SIZE, "height": tiny.SIZE, "steps": 3, "guidance": 4} | changes)
    )


def pipeline_of(key: str, base: Path, parts: lora.Parts | None = None) -> Pipeline:
    """In full precision."""
    return Pipeline(family(key), base, CPU, torch.float32, parts)


def drawn_with(key: str, base: Path, what: Path | Layers, texts: Tensors) -> Image.Image:
    """What a base that nothing was done to yet draws with a LoRA, from its file or its layers."""
    own = family(key)
    pipeline = pipeline_of(key, base, own.denoisers(base, CPU, torch.float32))
    if isinstance(what, Path):
        what = dialects.read(what, lora.shapes(pipeline.parts), own.facts, list(families.facts().values()))
    lora.add(pipeline.parts, what, "saved")
    lora.activate(pipeline.parts, {"saved": 1.0})
    return pipeline.draw(settings(), 5, texts)


def loss_of(key: str, base: Path, parts: lora.Parts, batch: Batch, settings: TrainSettings, seed: int) -> torch.Tensor:
    """Of each picture, (B,)."""
    own, generator = family(key), torch.Generator().manual_seed(seed)
    noising = own.noising(base, CPU)
    return losses.computed(own, parts, losses.drawn(own, parts, batch, noising, settings, generator), noising, settings)


def count(own: Family, parts: lora.Parts, layers: str) -> int:
    """How many layers learn."""
    names = [(part, name) for part, root in parts.items() for name, _ in root.named_modules()]
    return sum(bool(re.fullmatch(own.targets(part, layers), name)) for part, name in names)


def same(one: Image.Image, two: Image.Image) -> bool:
    return np.array_equal(np.array(one), np.array(two))


def lora_of_a_run(base: Base, folder: Path, side: int = tiny.SIZE, **asked: Any) -> Path:
    """What a short run in bf16 ends with, of pictures of `side` px."""
    quick = {"precision": "bf16", "gradient_checkpointing": True, "steps": 2, "checkpoint_every": 1, "resolution": side}
    pictures = tiny.pictures(folder / "seen", size=(side, side))
    job = tiny.job(folder, Path(base.path), **(quick | asked))
    job = job.model_copy(update={"base": base, "pictures": pictures})
    (folder / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "_FEWEST", 2)  # steps
        *_, last = train(job, folder / "run", family(base.family))
    assert isinstance(last, Done)
    return Path(last.lora)


def tiny_job(key: str, base: Path, **settings: Any) -> TrainJob:
    """Settings as a run would have them, without pictures."""
    named = Base(key=key, title=key, family=key, path=str(base))
    return TrainJob(
        name="x", trigger="zxy", preset="style", base=named, pictures=(), settings=TrainSettings(**settings)
    )


def cache_of(key: str, base: Path) -> Cache:
    """The two pictures of `batch_of`, as a run holds them."""
    batch = short_batch(key, base)
    pictures = [[{name: value[n] for name, value in batch.pictures.items()}] for n in range(2)]
    return Cache(batch.framings, pictures, batch.captions, [[0], [1]], [], CPU)


@cache
@torch.no_grad()
def batch_of(key: str, base: Path, size: tuple[int, int] = (tiny.SIZE, tiny.SIZE)) -> Batch:
    """Two pictures, (height, width) px, and their captions, encoded by the family."""
    own = family(key)
    encoders = own.encoders(base, CPU, torch.float32)
    pixels = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1
    framings = [Framing(size[::-1], size[::-1])] * 2
    return Batch(
        own.encode_pictures(encoders, pixels), own.encode_captions(encoders, [PROMPT, "something else"]), framings
    )


def short_batch(key: str, base: Path) -> Batch:
    """That of `batch_of` with short captions."""
    return replace(batch_of(key, base), captions=short(batch_of(key, base).captions))


def short(captions: Tensors) -> Tensors:
    """The first of their tokens alone: denoisers take any number, and most of those behind the words say nothing."""
    return captions | {"text": captions["text"][:, :TOKENS]}


def random_layers(key: str, base: Path, seed: int) -> Layers:
    """A LoRA on the layers that learn by default, with values that show in a drawing; rank 4, alpha 2."""
    own = family(key)
    parts = own.denoisers(base, CPU, torch.float32)
    lora.add_new(parts, own, TrainSettings(rank=4, alpha=2, seed=seed), "new")
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Layer(layer.down, torch.randn(layer.up.shape, generator=generator) * 0.3, layer.alpha)
        for name, layer in lora.get_weights(parts, "new").items()
    }


def added(one: Layer, strength: float, two: Layer, other: float) -> Layer:
    """One layer that does what two do together."""
    ups = [one.up * strength * one.alpha / one.rank, two.up * other * two.alpha / two.rank]
    return Layer(torch.cat([one.down, two.down]), torch.cat(ups, dim=1), float(one.rank + two.rank))


def diffusers_reads_a_lokr(key: str, base: Path, file: Path, rank: int) -> None:
    """That its own loader brings every layer of our file to the same change of the base."""
    from diffusers import DiffusionPipeline

    own = family(key)
    parts, told = own.denoisers(base, CPU, torch.float32), TrainSettings(rank=rank, alpha=2, adapter="lokr")
    generator = torch.Generator().manual_seed(1)
    for weight in lora.add_new(parts, own, told, "new"):
        weight.data.normal_(std=0.1, generator=generator)
    layers = lora.get_weights(parts, "new")
    file.write_bytes(safetensors.torch.save(dialects.build(layers, own.facts)))
    theirs = DiffusionPipeline.from_pretrained(base)
    theirs.load_lora_weights(file, adapter_name="a")
    found = dict(lora.adapter_layers({part: getattr(theirs, part) for part in parts}, "a"))
    assert found.keys() == layers.keys()
    for name, layer in layers.items():
        torch.testing.assert_close(found[name].get_delta_weight("a"), layer.delta(), msg=name)
