"""What is encoded once, and what a step takes of it."""

import random

import pytest
import torch
from PIL import Image

from lora_gui.engine.train import cache
from lora_gui.engine.train.ranks import Ranks
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.framing import Framing
from lora_gui.protocol.events import Note, Phase
from lora_gui.protocol.jobs import TrainPicture
from tests import tiny
from tests.families.card import pretended

CPU = torch.device("cpu")


def build(job, prompts=()):
    return tiny.outcome(cache.build(job, family("sd1"), list(prompts), CPU, torch.float32))


def test_everything_is_encoded_once_and_mirrored_where_wished(base, tmp_path):
    encoded, events = build(tiny.job(tmp_path, base, flip=True), ["a", "b"])
    assert [len(variants) for variants in encoded.pictures] == [2] * 4
    assert encoded.pictures[0][0]["mean"].shape == (4, 8, 8)
    assert encoded.captions["text"].shape[0] == 5  # four captions and the empty one
    assert [pair["text"].shape[0] for pair in encoded.prompts] == [2, 2]
    assert events[-1] == Phase("Encoding pictures", 4, 4)


def test_what_was_encoded_leaves_the_card_before_the_next_is(base, tmp_path):
    where = []

    class Asked(Ranks):
        def exchanged(self, made):
            where.append({one.device.type for one in made.values()})
            return made

    with pretended() as card:
        tiny.outcome(cache.build(tiny.job(tmp_path, base), family("sd1"), [], card, torch.float32, Asked()))
    assert where == [{"cpu"}, {"cpu"}]  # as other processes have theirs, with which they are put together


def test_a_mirrored_picture_is_told_what_of_the_mirrored_one_was_cropped(base, tmp_path):
    job = tiny.job(tmp_path, base, flip=True)
    (wide,) = tiny.pictures(tmp_path / "wide", 1, (1600, 64))
    wide = wide.model_copy(update={"crop": (0.0, 0.5)})
    encoded, _ = build(job.model_copy(update={"pictures": (wide,)}))
    own, rng = encoded.framings[0], random.Random(1)
    over, corners = own.scaled[0] - own.bucket[0], set()
    for _ in range(10):
        batch = encoded.batch([0], 0.0, rng)
        mirrored = torch.equal(batch.pictures["mean"][0], encoded.pictures[0][1]["mean"])
        corners.add((mirrored, batch.framings[0].corner[0]))
    assert over and corners == {(False, 0), (True, over)}


def test_captions_that_are_cut_are_told_once_before_they_are_encoded(base, tmp_path):
    job = tiny.job(tmp_path, base)
    assert list(cache.unread(job, family("sd1"))) == []
    long = [picture.model_copy(update={"caption": f"a very long thing {n}"}) for n, picture in enumerate(job.pictures)]
    (one,) = cache.unread(job.model_copy(update={"pictures": tuple(long[:1])}), family("sd1"))
    assert one == Note("A caption is longer than what this base reads; from 'thing 0 …' on it is not seen.")
    (all_of_them,) = cache.unread(job.model_copy(update={"pictures": tuple(long)}), family("sd1"))
    assert all_of_them.text.startswith("4 captions are longer than what this base reads; the first of them")


def test_a_mirrored_picture_is_what_the_encoder_makes_of_it(base, tmp_path):
    encoded, _ = build(tiny.job(tmp_path, base, flip=True))
    plain, mirrored = encoded.pictures[0]
    assert not torch.equal(plain["mean"], mirrored["mean"])
    pixels = cache._pixels(tmp_path / "pictures" / "0000.png", Framing((64, 64), (64, 64)))[None].flip(-1)
    with torch.no_grad():
        expected = family("sd1").encode_pictures(family("sd1").encoders(base, CPU, torch.float32), pixels)
    torch.testing.assert_close(mirrored["mean"], expected["mean"][0])


def test_a_batch_holds_its_pictures_with_their_own_captions(base, tmp_path):
    encoded, _ = build(tiny.job(tmp_path, base))
    batch = encoded.batch([2, 0], 0.0, random.Random(1))
    assert torch.equal(batch.pictures["mean"], torch.stack([encoded.pictures[n][0]["mean"] for n in (2, 0)]))
    assert torch.equal(batch.captions["text"], encoded.captions["text"][[2, 0]])
    assert batch.sizes == [(64, 64), (64, 64)]


def test_dropped_captions_are_the_empty_one(base, tmp_path):
    encoded, _ = build(tiny.job(tmp_path, base))
    batch = encoded.batch([0, 1], 1.0, random.Random(1))
    assert torch.equal(batch.captions["text"], encoded.captions["text"][[-1, -1]])
    rng = random.Random(1)
    dropped = sum(
        torch.equal(encoded.batch([0], 0.25, rng).captions["text"][0], encoded.captions["text"][-1]) for _ in range(400)
    )
    assert 70 < dropped < 130


def test_pictures_of_other_shapes_have_their_own_size(base, tmp_path):
    job = tiny.job(tmp_path, base)
    wide = tiny.pictures(tmp_path / "wide", 2, (128, 64))
    encoded, _ = build(job.model_copy(update={"pictures": job.pictures + wide}))
    assert encoded.sizes == [(64, 64)] * 4 + [(80, 40)] * 2
    assert encoded.batch([4, 5], 0.0, random.Random(1)).sizes == [(40, 80)] * 2


def test_a_picture_that_cannot_be_read_is_named(base, tmp_path):
    job = tiny.job(tmp_path, base)
    (tmp_path / "pictures" / "0002.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0002\.png cannot be read"):
        build(job)


def test_a_picture_is_cropped_where_its_frame_was_moved_to(base, tmp_path):
    job = tiny.job(tmp_path, base)
    half = Image.new("RGB", (1600, 64), "white")  # far too wide for its bucket
    half.paste("black", (0, 0, 800, 64))
    half.save(tmp_path / "half.png")
    places = (0.5, 0.5), (0.0, 0.5), (1.0, 0.5)
    chosen = tuple(TrainPicture(path=str(tmp_path / "half.png"), crop=place) for place in places)
    encoded, _ = build(job.model_copy(update={"pictures": chosen}))
    middle, left, right = encoded.framings
    assert 0 == left.corner[0] < middle.corner[0] < right.corner[0]
    dark, grey, light = (float(cache._pixels(tmp_path / "half.png", one).mean()) for one in (left, middle, right))
    assert dark < grey < light
    means = [variants[0]["mean"] for variants in encoded.pictures]
    assert not torch.equal(means[0], means[1]) and not torch.equal(means[1], means[2])
