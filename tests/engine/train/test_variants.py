"""Caption variants: shuffled tags, tags left out, several lines; encoded once, and the trigger word first."""

import random

import torch

from lora_gui.engine.train import cache, variants
from lora_gui.families import family
from lora_gui.settings import TrainSettings
from tests import tiny

CPU = torch.device("cpu")
TAGS = "red hat, smile, garden, long hair"


def varied(caption, trigger="zxy", seed=1, **settings):
    return variants.varied(caption, trigger, TrainSettings(**settings), random.Random(seed))


def test_tags_are_shuffled_and_the_trigger_and_the_first_ones_stay():
    found = {varied(f"zxy {TAGS}", seed=seed, shuffle_tags=True, keep_first_tags=1) for seed in range(40)}
    assert len(found) == 6 and all(one.startswith("zxy red hat, ") for one in found)
    assert all(sorted(one.removeprefix("zxy ").split(", ")) == sorted(TAGS.split(", ")) for one in found)
    said = {varied("smile, a photo of ZXY, garden", seed=seed, shuffle_tags=True) for seed in range(20)}
    assert said == {"a photo of ZXY, smile, garden", "a photo of ZXY, garden, smile"}
    assert {varied("b, a", "", seed, shuffle_tags=True) for seed in range(9)} == {"a, b", "b, a"}
    assert varied("zxy a woman in a garden", shuffle_tags=True, tag_dropout=1) == "zxy a woman in a garden"


def test_tags_are_left_out_as_often_as_wished_and_never_those_that_are_kept():
    found = [varied(f"zxy {TAGS}", seed=seed, tag_dropout=0.25, keep_first_tags=2) for seed in range(2000)]
    assert all(one.startswith("zxy red hat, smile") for one in found)
    left_out = sum(4 - len(one.split(", ")) for one in found)
    assert 0.22 < left_out / 4000 < 0.28
    assert varied(f"zxy {TAGS}", tag_dropout=1) == "zxy"  # only the trigger is left
    assert varied("zxy, a, b", tag_dropout=1) == "zxy"


def job(tmp_path, base, **settings):
    made = tiny.job(tmp_path, base, **settings)
    first, second, *others = made.pictures
    first = first.model_copy(update={"caption": "one a two b", "captions": ("one, a", "two, b")})
    second = second.model_copy(update={"caption": TAGS})
    return made.model_copy(update={"pictures": (first, second, *others)})


def test_several_lines_are_one_caption_or_one_each_and_variants_follow_from_the_seed_alone(base, tmp_path):
    assert variants.texts(job(tmp_path, base))[:2] == [["zxy one a two b"], [f"zxy {TAGS}"]]
    assert variants.texts(job(tmp_path, base, caption_lines=True))[0] == ["zxy one, a", "zxy two, b"]
    both = job(tmp_path, base, caption_lines=True, shuffle_tags=True)
    found = variants.texts(both)
    assert set(found[0]) == {"zxy one, a", "zxy a, one", "zxy two, b", "zxy b, two"}
    assert 2 < len(found[1]) <= 8 and found[2:] == [["zxy thing 2"], ["zxy thing 3"]]
    assert variants.texts(both) == found
    many = both.model_copy(update={"pictures": both.pictures * 100})
    assert sum(map(len, variants.texts(many))) <= 400 + 100  # one each, but for those that have two lines


def test_each_variant_is_encoded_once_and_comes_about_equally_often(base, tmp_path):
    made = tiny.job(tmp_path, base, shuffle_tags=True)
    pictures = tuple(one.model_copy(update={"caption": "a, b, c"}) for one in made.pictures)  # so much is read
    made = made.model_copy(update={"pictures": pictures})
    texts = variants.texts(made)
    encoded, _ = tiny.outcome(cache.build(made, family("sd1"), [], CPU, torch.float32))
    assert len(encoded.captions["text"]) == len({text for several in texts for text in several}) + 1
    rng, seen = random.Random(1), dict.fromkeys(encoded.captions_of[1], 0)
    for _ in range(400):
        row = encoded.batch([1], 0.0, rng).captions["text"][0]
        seen[next(n for n in seen if torch.equal(encoded.captions["text"][n], row))] += 1
    assert min(seen.values()) > 400 / len(seen) / 2
