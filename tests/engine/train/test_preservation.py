"""What holds the base: pictures of the class that it drew itself, and its own predictions at other words."""

import copy
import random
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from lora_gui import files
from lora_gui.engine.load import lora
from lora_gui.engine.train import cache, class_pictures, loop
from lora_gui.engine.train.step import NAME, TrainState
from lora_gui.families import family
from lora_gui.protocol.events import Phase
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def beside(job, folder):
    return tiny.outcome(class_pictures.beside(job, FAMILY, folder, CPU, torch.float32, loop._load))


def state(job, folder, encoded=None):
    """A run before its first step, whose pictures may have been encoded before."""
    encoded = encoded or tiny.outcome(cache.build(beside(job, folder)[0], FAMILY, [], CPU, torch.float32))[0]
    parts, _ = tiny.outcome(loop._load(job, FAMILY, CPU, torch.float32))
    return TrainState(job, FAMILY, parts, encoded, CPU, torch.float32, folder)


def test_pictures_of_the_class_are_drawn_once_by_the_base_and_kept_and_their_captions_have_no_trigger(base, tmp_path):
    job = tiny.job(tmp_path, base, class_words="thing", class_pictures=3)
    whole, events = beside(job, tmp_path)
    drawn = whole.pictures[4:]
    assert [one.caption for one in drawn] == ["thing"] * 3 and whole.pictures[:4] == job.pictures
    digests = [files.sha256(Path(one.path)) for one in drawn]
    assert len(set(digests)) == 3 and Phase("Drawing pictures of the class", 3, 3) in events
    again, events = beside(job, tmp_path)
    assert again == whole and events == []
    Path(drawn[1].path).unlink()  # as after a crash
    beside(job, tmp_path)
    assert [files.sha256(Path(one.path)) for one in drawn] == digests
    settings = job.settings.model_copy(update={"class_words": "b"})
    other, _ = beside(job.model_copy(update={"settings": settings}), tmp_path)
    assert files.sha256(Path(other.pictures[4].path)) not in digests
    encoded, _ = tiny.outcome(cache.build(whole, FAMILY, [], CPU, torch.float32))
    assert encoded.of_class == [4, 5, 6]
    with torch.no_grad():
        encoders = family("sd1").encoders(base, CPU, torch.float32)
        plain = family("sd1").encode_captions(encoders, ["thing"])["text"][0]
    torch.testing.assert_close(encoded.captions["text"][encoded.captions_of[5][0]], plain)
    assert beside(tiny.job(tmp_path, base), tmp_path) == (tiny.job(tmp_path, base), [])


@pytest.mark.parametrize("words", ["", "thing"])
def test_the_distance_from_the_base_is_that_of_two_plain_networks_and_so_is_its_gradient(base, tmp_path, words):
    made = state(tiny.job(tmp_path, base, preservation=1, class_words=words), tmp_path)
    torch.manual_seed(1)
    for one in made.masters:
        one.flat.data.normal_(std=0.05)
        one.refresh()
    batch = made.cache.batch([0, 2], 0.0, random.Random(1))
    held = made.preservation.held(batch, torch.Generator().manual_seed(3), 0)
    found = made.preservation.distance(held)
    found.backward()

    plain = UNet2DConditionModel.from_pretrained(base / "unet")
    (drawn, _), = held.values()
    abar = DDIMScheduler.from_pretrained(base / "scheduler").alphas_cumprod[drawn.timesteps].view(-1, 1, 1, 1)
    noisy = abar.sqrt() * drawn.latents + (1 - abar).sqrt() * drawn.noise
    with torch.no_grad():
        encoders = family("sd1").encoders(base, CPU, torch.float32)
        text = family("sd1").encode_captions(encoders, [words] * 2)["text"]
        wanted = plain(noisy, drawn.timesteps, text).sample

    def distance(shift=0.0):
        """With the update added to the weights of a copy, moved a little along the gradient."""
        merged = copy.deepcopy(plain)
        layers = lora.get_weights(made.parts, NAME)
        for key, layer in layers.items():
            weight = merged.get_submodule(key.removeprefix("unet.")).weight
            down, up = layer.down + shift * gradients[key][0], layer.up + shift * gradients[key][1]
            weight.data += (up.flatten(1) @ down.flatten(1)).view_as(weight) * layer.alpha / layer.rank
        with torch.no_grad():
            return (merged(noisy, drawn.timesteps, text).sample - wanted).pow(2).mean().double()

    views = iter(view for one in made.masters for view in one.views(one.arriving))
    gradients = {key: (next(views), next(views)) for key, _ in lora.adapter_layers(made.parts, NAME)}
    torch.testing.assert_close(found.double(), distance(), rtol=1e-4, atol=1e-9)
    squared = sum(float(half.pow(2).sum()) for pair in gradients.values() for half in pair)
    little = 1e-3 * float(distance()) / squared
    slope = float(distance(little) - distance(-little)) / (2 * little)
    assert slope == pytest.approx(squared, rel=0.05) and squared > 0
    assert not any(layer.disable_adapters for _, layer in lora.adapter_layers(made.parts, NAME))


def test_noise_that_is_not_learnt_is_held_to_the_base_at_the_pictures_own_words_in_every_second_turn(base, tmp_path):
    made = state(tiny.job(tmp_path, base, preservation=1, learn_below=0.7, batch_size=4), tmp_path)
    batch = made.cache.batch([0, 1, 2, 3], 0.0, random.Random(1))
    own, none = batch.captions["text"], made.cache.captions["text"][-1].expand(4, -1, -1)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert made.drawn(batch, generator)["unet"].timesteps.max() < 700
        noisy, blank = (made.preservation.held(batch, generator, turn)["unet"] for turn in (0, 1))
        assert noisy.drawn.timesteps.min() >= 700
        for held, words in ((noisy, own), (blank, none)):
            assert torch.equal(held.drawn.conditions["text"], words) and torch.equal(held.of_base["text"], words)


def test_the_base_is_held_beside_each_second_batch_at_twice_the_weight(base, tmp_path):
    encoded, _ = tiny.outcome(cache.build(tiny.job(tmp_path, base), FAMILY, [], CPU, torch.float32))

    def step(number, weight, **settings):
        """The gradients of a step, the run, and what the base was held by."""
        made = state(tiny.job(tmp_path, base, preservation=weight, **settings), tmp_path, encoded)
        torch.manual_seed(1)
        made.masters[0].flat.data.normal_(std=0.05)
        made.masters[0].refresh()
        made.step, made._improve = number, lambda: None
        hold, seen = made._hold, []
        made._hold = lambda held: (seen.append(held), hold(held))[1]
        made.one_step(iter([[0, 1], [2, 3]]))
        return made.masters[0].flat.grad.clone(), made, seen

    assert torch.equal(step(3, 0.5)[0], step(3, 0)[0])
    plain, _, nothing = step(2, 0)
    found, made, (held,) = step(2, 0.5)
    made.masters[0].zero(release=False)
    made.preservation.distance(held).backward()
    made.masters[0].gather()
    torch.testing.assert_close(found - plain, made.masters[0].flat.grad, rtol=1e-3, atol=1e-7)
    assert not nothing and made.masters[0].flat.grad.abs().max() > 1e-5
    assert len(step(1, 0.5, accumulation=2)[2]) == 1


@pytest.mark.soak
def test_class_pictures_add_their_gradients_at_their_weight(base, tmp_path):
    def gradient(weight, pictures=2):
        job = tiny.job(tmp_path, base, class_words="b", class_pictures=pictures, class_weight=weight)
        made = state(job, tmp_path)
        torch.manual_seed(1)
        made.masters[0].flat.data.normal_(std=0.05)
        made.masters[0].refresh()
        made._improve = lambda: None
        made.one_step(iter([[0, 1]]))
        return made.masters[0].flat.grad.clone()

    alone, once, twice = gradient(0, 0), gradient(1), gradient(2)
    torch.testing.assert_close(twice - once, once - alone, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(once, alone)
    torch.testing.assert_close(gradient(0), alone)


@pytest.mark.soak
def test_a_base_that_is_held_drifts_less_at_other_words(base, tmp_path):
    def drift(weight):
        made = state(tiny.job(tmp_path, base, steps=20, preservation=weight), tmp_path)
        for _ in range(20):
            made.one_step(iter([[0, 1]]))
        batch = made.cache.batch([2, 3], 0.0, random.Random(1))
        with torch.no_grad():
            return float(made.preservation.distance(made.preservation.held(batch, torch.Generator().manual_seed(5), 1)))

    assert drift(5) < 0.5 * drift(0)
