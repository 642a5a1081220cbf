"""What is found of pictures that the test paints: each symptom where it is planted, and nothing of a good run."""

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lora_gui.protocol.events import Measured
from lora_gui.protocol.jobs import TrainPicture
from lora_gui.studio.insight import best, verdicts
from lora_gui.studio.insight.measures import Picture, change, traced, unlike
from lora_gui.studio.insight.numbers import Numbers, Pair
from lora_gui.studio.insight.verdicts import Case
from lora_gui.studio.paths import Studio
from tests import tiny

COLOURS = ("pink", "skyblue", "gold", "seagreen", "plum", "orange", "silver", "tomato")


def painted(seed, colour="white", line=0, size=128):
    """A few shapes in the middle of a plain background, the same each time, with an outline of so many px."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), colour)
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = random.integers(20, 70, 2)
        wide, high = random.integers(16, 40, 2)
        fill = tuple(int(value) for value in random.integers(0, 200, 3))
        draw.ellipse((x, y, x + wide, y + high), fill, "black" if line else fill, line or 1)
    return image


def picture(image):
    return Picture(np.asarray(image, np.float32))


def pair(seed, colour, line=4, learnt=None):
    return Pair(f"thing {seed}", picture(painted(seed, colour)), picture(learnt or painted(seed, colour, line)))


def good(**changes):
    """A run that learnt outlines and nothing else."""
    pairs = tuple(pair(seed, colour) for seed, colour in enumerate(COLOURS))
    usual = {
        "pictures": tuple(picture(painted(100 + n, COLOURS[n % 8], 4)) for n in range(10)),
        "asked": pairs[:4], "plain": pairs, "seeds": tuple(pair(50 + n, "white") for n in range(4)),
        "own": tuple(picture(painted(60 + n, COLOURS[n], 4)) for n in range(3)),
        "travels": tuple(
            tuple(picture(painted(seed, COLOURS[seed], line)) for line in (0, 1, 2, 4)) for seed in range(4)
        ),
        "steps": {},
    }  # fmt: skip
    return Numbers(**(usual | changes))


def case(tmp_path, numbers, captions=(), preset="style", measured=()):
    job = tiny.job(tmp_path, base=tmp_path / "base").model_copy(update={"preset": preset})
    texts = captions or [f"thing {n} on colour {n}" for n in range(len(numbers.pictures))]
    pictures = tuple(TrainPicture(path=str(tmp_path / f"{n:04}.png"), caption=text) for n, text in enumerate(texts))
    return Case(job.model_copy(update={"pictures": pictures}), numbers, measured)


@pytest.fixture
def found(tmp_path):
    def judged(numbers, **more):
        return verdicts.findings(Studio(tmp_path), case(tmp_path, numbers, **more))

    return judged


def kinds(findings):
    return [one.kind for one in findings]


def test_of_a_good_run_nothing_is_found_and_one_sentence_is_said(found, tmp_path):
    assert found(good()) == []
    assert verdicts.praise(case(tmp_path, good())).count(".") == 1


def test_drawings_that_are_its_pictures_whatever_the_seed_are_known_by_heart(found):
    pictures = tuple(picture(painted(100 + n, COLOURS[n], 4)) for n in range(3))
    same = tuple(pair(50 + n, "white", learnt=painted(100, COLOURS[0], 4)) for n in range(4))
    own = tuple(picture(painted(100 + n, COLOURS[n], 4)) for n in (1, 2))
    told = found(good(pictures=pictures, seeds=same, own=own))
    assert kinds(told) == ["by heart"] and "picture" in told[0].says and "few pictures" in told[0].remedy
    assert told[0].severity == "high" and told[0].changes["steps"] == 20


def test_a_picture_that_comes_when_something_else_is_asked_is_a_copy_also_mirrored(found):
    mirrored = painted(103, COLOURS[3], 4).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    asked = (*good().asked[:3], pair(3, COLOURS[3], learnt=mirrored))
    told = found(good(asked=asked))
    assert kinds(told) == ["copying"] and "picture 4" in told[0].says


@pytest.mark.parametrize("spoil", [
    lambda image: Image.blend(image.filter(ImageFilter.GaussianBlur(9)), Image.new("RGB", image.size, "grey"), 0.5),
    lambda image: Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)),
], ids=["flat", "blown up"])  # fmt: skip
def test_drawings_that_leave_what_base_and_pictures_look_like_are_molten(found, spoil):
    plain = tuple(pair(n, colour, learnt=spoil(painted(n, colour, 4))) for n, colour in enumerate(COLOURS))
    told = found(good(plain=plain, asked=plain[:4]))
    assert kinds(told)[0] == "molten" and "forgetting" not in kinds(told)
    assert told[0].changes["learning_rate"] < 1e-2


def test_a_lora_that_changes_nothing_has_no_effect(found):
    plain = tuple(pair(n, colour, line=0) for n, colour in enumerate(COLOURS))
    assert kinds(found(good(plain=plain, asked=plain[:4]))) == ["no effect"]


def test_captions_that_are_all_the_same_make_it_bleed_and_no_setting_is_proposed(found):
    told = found(good(), captions=["a picture"] * 8)
    assert kinds(told) == ["bleed"] and told[0].changes == {} and "caption" in told[0].remedy


@pytest.mark.parametrize(
    ("captions", "because"),
    [
        ([*[""] * 11, "a fox", "a boat"], "11 of 13 pictures have no caption"),
        ([*[""] * 6, *(f"thing {n % 5}" for n in range(7))], "6 of 13 pictures have no caption"),
        (["", "", *["a picture"] * 6], "your captions are nearly all the same"),
    ],
)
def test_captions_that_are_missing_are_not_called_the_same(found, captions, because):
    (told,) = found(good(), captions=captions)
    assert told.kind == "bleed" and f"as with it: {because}, so" in told.says and told.remedy.startswith("Write")


def test_the_same_captions_do_not_bleed_where_the_word_makes_the_difference(found):
    plain = tuple(pair(n, colour, line=0) for n, colour in enumerate(COLOURS))
    assert found(good(plain=plain), captions=["a picture"] * 8) == []


def test_of_what_was_forgotten_the_worst_is_named(found):
    elsewhere = [ImageChops.offset(painted(n, colour, 4), 64, 64) for n, colour in enumerate(COLOURS)]
    others = [pair(n, colour, learnt=elsewhere[n]) for n, colour in enumerate(COLOURS)]
    gone = max(others, key=lambda one: one.unlike)
    told = found(good(plain=tuple(others), asked=good().asked))
    assert kinds(told) == ["forgetting"] and gone.prompt in told[0].says


def test_losses_above_the_bases_are_molten_and_of_few_pictures_tell_nothing(found):
    worse = Measured(0, 1.0, 1.0), Measured(100, 0.9, 1.6)
    assert kinds(found(good(), measured=worse)) == ["molten"]
    assert "60 %" in found(good(), measured=worse)[0].says
    fine = Measured(0, 1.0, 1.0), Measured(100, 0.3, 1.36)  # as a good look of the starter had it
    assert found(good(), measured=fine) == []
    assert kinds(found(good(pictures=good().pictures[:9]), measured=fine)) == ["too few"]
    few = found(good(pictures=good().pictures[:5]), measured=fine)
    assert kinds(few) == ["too few"] and few[0].severity == "low" and few[0].says.startswith("5 pictures are too few")
    assert found(good(pictures=good().pictures[:1]), measured=fine)[0].says.startswith("One picture is too few")


def test_pictures_kept_back_that_turned_far_away_say_that_the_others_are_known_by_heart(found):
    far = Measured(0, 1.0, 1.0), Measured(125, 0.23, 1.04), Measured(1000, 0.07, 1.68)
    (told,) = found(good(), measured=far)
    assert told.kind == "by heart" and "64 % further than it was after step 125" in told.says and told.changes["steps"]
    assert found(good(), measured=(*far[:2], Measured(1000, 0.2, 1.45))) == []


def test_a_subject_that_shows_in_all_that_is_drawn_takes_over_and_a_look_may(found):
    moved = [ImageChops.offset(painted(n, colour, 4), 24, 24) for n, colour in enumerate(COLOURS)]
    plain = tuple(pair(n, colour, learnt=moved[n]) for n, colour in enumerate(COLOURS))
    told = found(good(plain=plain, asked=plain[:4]), preset="concept")
    assert kinds(told) == ["takes over"] and "learning_rate" in told[0].changes
    assert found(good(plain=plain, asked=plain[:4])) == [] == found(good(), preset="concept")


def test_backgrounds_that_are_always_the_same_have_collapsed(found):
    asked = tuple(pair(n, COLOURS[n], learnt=painted(n, "darkgreen", 4)) for n in range(4))
    assert "collapse" in kinds(found(good(asked=asked)))


def test_measures_tell_the_same_from_another_and_do_not_mind_size_or_small_shifts():
    one, other = picture(painted(1)), picture(painted(2))
    large = picture(painted(1).resize((512, 512)).resize((128, 128)))
    assert traced(one, one) == pytest.approx(1, abs=1e-4) and traced(one, other) < 0.5 < traced(one, large)
    assert unlike(one, one) < 1e-3 < unlike(one, other) and change(one, one) == 0 < change(one, other)


def test_the_least_strength_that_shows_the_look_is_proposed():
    rows = tuple(tuple(picture(painted(seed, COLOURS[seed], line)) for line in (0, 0, 4, 4)) for seed in range(4))
    told = best.best(good(travels=rows), "style", 200, {}, [])
    assert (told.step, told.strength) == (200, 0.7) and "0.7" in told.says
    assert best.best(good(travels=rows), "character", 200, {}, []).strength == 1


def test_the_last_step_is_proposed_and_of_what_went_too_far_the_one_nearest_to_unseen_pictures_or_the_earliest():
    steps = {step: good().travels[n % 2] for n, step in enumerate((50, 100, 200))}
    unseen = {50: 0.9, 100: 0.8, 200: 0.95}
    assert best.best(good(steps=steps), "style", 200, unseen, []).step == 200
    told = best.best(good(steps=steps), "style", 200, unseen, ["by heart"])
    assert told.step == 100 and "100 came nearest to the pictures that were kept back" in told.says
    del steps[50]
    assert best.best(good(steps=steps), "style", 200, {}, ["by heart"]).step == 100
    molten = best.best(good(steps=steps), "style", 200, {}, ["molten"])
    assert (molten.step, molten.strength) == (100, 0.4)
