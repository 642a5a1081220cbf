"""What every family must hold, checked with a tiny random base of its own classes.

A family's test file makes a class of this one; `test_<family>.py` then adds what only that family promises.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.engine.train import publish
from lora_gui.families import family
from lora_gui.families.base import Batch, Family
from lora_gui.formats import dialects
from lora_gui.formats.lora_file import Layer, Layers
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, TrainSettings
from tests import tiny

CPU = torch.device("cpu")
PROMPT = "a thing"


class Contract:
    key: str

    @staticmethod
    def make(folder: Path) -> Path:
        """A tiny base."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    def base(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return self.make(tmp_path_factory.mktemp(self.key))

    @pytest.fixture(scope="class")
    def pipeline(self, base: Path) -> Any:
        return family(self.key).pipeline(base, CPU, torch.float32)

    @pytest.fixture(scope="class")
    def layers(self, base: Path) -> Layers:
        return random_layers(self.key, base, seed=1)

    def test_the_loss_falls_and_only_the_lora_learns(self, base):
        own, settings = family(self.key), TrainSettings(rank=4, alpha=4)
        parts = own.denoisers(base, CPU, torch.float32)
        frozen = {
            (part, name): weight.clone() for part, root in parts.items() for name, weight in root.named_parameters()
        }
        weights = lora.add_new(parts, own, settings, "new")
        batch, schedule = batch_of(self.key, base), own.schedule(base, CPU)
        optimizer = torch.optim.AdamW(weights, lr=3e-2, weight_decay=0)
        losses = []
        for step in range(24):
            loss = own.loss(parts, batch, schedule, settings, torch.Generator().manual_seed(step % 2)).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        assert sum(losses[-2:]) < 0.98 * sum(losses[:2])
        for part, root in parts.items():
            for name, weight in root.named_parameters():
                if ".lora_" not in name:
                    assert torch.equal(weight, frozen[part, name.replace(".base_layer", "")])

    def test_the_loss_of_each_picture_is_its_own_and_recomputing_changes_nothing(self, base):
        own, settings = family(self.key), TrainSettings(rank=4, alpha=4)
        parts, schedule = own.denoisers(base, CPU, torch.float32), own.schedule(base, CPU)
        weights = lora.add_new(parts, own, settings, "new")
        batch = batch_of(self.key, base)
        gradients = []
        for checkpointing in (False, True):
            if checkpointing:
                for part in parts.values():
                    part.enable_gradient_checkpointing()
            loss = own.loss(parts, batch, schedule, settings, torch.Generator().manual_seed(1))
            assert loss.shape == (len(batch.sizes),)
            assert loss.dtype == torch.float32
            gradients.append(torch.autograd.grad(loss.mean(), weights, allow_unused=True))
        for one, two in zip(*gradients, strict=True):
            assert one is None or torch.equal(one, two)

    def test_a_drawing_is_the_one_the_plain_pipeline_makes_with_captions_cached_or_not(self, base, pipeline):
        own = family(self.key)
        expected = self.plain_drawing(base, settings())
        assert same(own.draw(pipeline, settings(), seed=7), expected)
        encoders = own.encoders(base, CPU, torch.float32)
        with torch.no_grad():
            rows = [own.encode_captions(encoders, [text]) for text in (PROMPT, "")]
        cached = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
        without = own.pipeline(base, CPU, torch.float32, own.denoisers(base, CPU, torch.float32))
        assert same(own.draw(without, settings(), 7, cached), expected)

    def test_captions_encoded_together_are_those_encoded_alone(self, base):
        own = family(self.key)
        encoders = own.encoders(base, CPU, torch.float32)
        with torch.no_grad():
            together = own.encode_captions(encoders, [PROMPT, "another much longer caption", ""])
            for n, caption in enumerate((PROMPT, "another much longer caption", "")):
                for key, value in own.encode_captions(encoders, [caption]).items():
                    torch.testing.assert_close(together[key][n : n + 1], value)

    def test_what_comes_after_the_words_that_are_not_seen_changes_nothing(self, base):
        own = family(self.key)
        encoders, reader = own.encoders(base, CPU, torch.float32, pictures=False), own.reader(base)
        assert reader and reader.unread(PROMPT) == ""
        long = " ".join(f"w{n}" for n in range(400))
        first = reader.unread(long).split()[0]
        seen = long[: long.index(first)] + first
        with torch.no_grad():
            one, other, less = (own.encode_captions(encoders, [text]) for text in (long, f"{seen} no more", "w0"))
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert not all(torch.equal(one[key], less[key]) for key in one)

    def test_a_drawing_shows_how_it_gets_on(self, pipeline):
        seen: list[tuple[int, Any]] = []
        family(self.key).draw(pipeline, settings(), 1, progress=lambda step, latents: seen.append((step, latents)))
        assert [step for step, _ in seen] == [1, 2, 3]
        assert family(self.key).preview(pipeline, seen[1][1]).size == (tiny.SIZE, tiny.SIZE)

    def test_a_lora_at_strength_0_is_the_base_exactly(self, base, pipeline, layers):
        own, parts = family(self.key), family(self.key).parts(pipeline)
        before = own.draw(pipeline, settings(), 3)
        lora.add(parts, layers, "one")
        lora.use(parts, {"one": 1.0})
        assert not same(own.draw(pipeline, settings(), 3), before)
        lora.use(parts, {"one": 0.0})
        assert same(own.draw(pipeline, settings(), 3), before)
        lora.remove(parts, "one")
        assert same(own.draw(pipeline, settings(), 3), before)

    def test_stacked_loras_add_up_in_proportion_to_their_strengths(self, base, pipeline, layers):
        own, parts = family(self.key), family(self.key).parts(pipeline)
        other = random_layers(self.key, base, seed=2)
        lora.add(parts, layers, "one")
        lora.add(parts, other, "two")
        lora.use(parts, {"one": 0.5, "two": -1.0})
        stacked = own.draw(pipeline, settings(), 3)
        lora.use(parts, {})
        lora.add(parts, {name: added(layers[name], 0.5, other[name], -1.0) for name in layers}, "sum")
        lora.use(parts, {"sum": 1.0})
        alone = own.draw(pipeline, settings(), 3)
        for name in ("one", "two", "sum"):
            lora.remove(parts, name)
        assert np.abs(np.array(stacked, dtype=int) - np.array(alone, dtype=int)).max() <= 1

    @pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
    def test_a_saved_lora_draws_the_same_in_a_fresh_pipeline(self, base, layers, dialect, tmp_path):
        own, facts = family(self.key), family(self.key).facts
        if dialect not in facts.dialects:
            pytest.skip(f"{facts.title} is not written in it")
        file = tmp_path / "saved.safetensors"
        fields = {"modelspec.architecture": facts.architecture}
        file.write_bytes(safetensors.torch.save(dialects.build(layers, facts, dialect), fields))
        drawings = []
        for source in ("memory", "file"):
            fresh = own.pipeline(base, CPU, torch.float32)
            parts = own.parts(fresh)
            known = list(families.facts().values())
            read = layers if source == "memory" else dialects.read(file, lora.shapes(parts), facts, known)
            lora.add(parts, read, "saved")
            lora.use(parts, {"saved": 1.0})
            drawings.append(own.draw(fresh, settings(), 5))
        assert same(*drawings)

    def test_a_published_lora_is_read_back_as_it_was(self, base, layers, tmp_path):
        own = family(self.key)
        parts = own.denoisers(base, CPU, torch.float32)
        job = tiny.job(tmp_path, base).model_copy(
            update={"base": Base(key=own.facts.bases[0].key, title="Tiny", family=self.key, path=str(base))}
        )
        data = publish.encode(job, own.facts, layers, 10)
        read = publish.decode(data, own.facts, parts)
        assert read.keys() == layers.keys()
        for name, layer in read.items():
            torch.testing.assert_close(layer.delta(), layers[name].delta(), atol=1e-3, rtol=1e-2)

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


def count(own: Family, parts: lora.Parts, layers: str) -> int:
    """How many layers learn."""
    names = [(part, name) for part, root in parts.items() for name, _ in root.named_modules()]
    return sum(bool(re.fullmatch(own.targets(part, layers), name)) for part, name in names)


def same(one: Image.Image, two: Image.Image) -> bool:
    return np.array_equal(np.array(one), np.array(two))


@torch.no_grad()
def batch_of(key: str, base: Path, size: tuple[int, int] = (tiny.SIZE, tiny.SIZE)) -> Batch:
    """Two pictures, (height, width) px, and their captions, encoded by the family."""
    own = family(key)
    encoders = own.encoders(base, CPU, torch.float32)
    pixels = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(
        own.encode_pictures(encoders, pixels), own.encode_captions(encoders, [PROMPT, "something else"]), [size] * 2
    )


def random_layers(key: str, base: Path, seed: int) -> Layers:
    """A LoRA on the layers that learn by default, with values that show in a drawing; rank 4, alpha 2."""
    own = family(key)
    parts = own.denoisers(base, CPU, torch.float32)
    lora.add_new(parts, own, TrainSettings(rank=4, alpha=2, seed=seed), "new")
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Layer(layer.down, torch.randn(layer.up.shape, generator=generator) * 0.3, layer.alpha)
        for name, layer in lora.take(parts, "new").items()
    }


def added(one: Layer, strength: float, two: Layer, other: float) -> Layer:
    """One layer that does what two do together."""
    ups = [one.up * strength * one.alpha / one.rank, two.up * other * two.alpha / two.rank]
    return Layer(torch.cat([one.down, two.down]), torch.cat(ups, dim=1), float(one.rank + two.rank))
