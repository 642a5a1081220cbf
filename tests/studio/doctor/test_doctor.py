"""The set doctor finds what was planted in small sets, and little else; what it says is true of them."""

import os

import numpy as np
import pytest
from PIL import Image

from lora_gui.starter import recipe
from lora_gui.studio.doctor import doctor, look, looks, wording
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, pictures
from tests import planted

COUNT = 14


@pytest.fixture(scope="module")
def sets():
    """Clean sets, and each picture of them as the doctor sees it."""
    made = {kind: planted.made(kind, COUNT, 5) for kind in ("photographs", "drawings")}
    return {kind: (shown, [look.look(one) for one in shown]) for kind, shown in made.items()}


def judged(looks, captions=(), **asked):
    captions = [*captions, *[""] * (len(looks) - len(captions))]
    patients = [doctor.Patient(recipe.__path__[0], str(at), text) for at, text in enumerate(captions)]
    return doctor.judged(patients, looks, doctor.Asked(**asked))


def named(found, kind):
    """The numbers of the pictures that are said to be so."""
    return {int(file) for file, findings in found.pictures.items() if any(one.kind == kind for one in findings)}


def of_set(found):
    return {one.kind for one in found.set} - {"uncaptioned"}


@pytest.mark.parametrize("kind", ["photographs", "drawings"])
def test_nothing_is_wrong_with_a_good_set(sets, kind):
    found = judged(sets[kind][1])
    assert not of_set(found) and not any(found.pictures.values())


@pytest.mark.parametrize("kind", ["photographs", "drawings"])
@pytest.mark.parametrize(
    "fault, name", [("blurred", "blurred"), ("bordered", "border"), ("darkened", "dark"), ("washed", "washed")]
)
def test_a_fault_is_found_where_it_is_and_nowhere_else(sets, kind, fault, name):
    shown, looks = sets[kind]
    chance = np.random.default_rng(2)
    spoilt = [look.look(getattr(planted, fault)(shown[at], chance)) for at in (3, 8)]
    found = judged([*looks[:3], spoilt[0], *looks[4:8], spoilt[1], *looks[9:]])
    assert named(found, name) == {3, 8}
    assert {one.kind for findings in found.pictures.values() for one in findings} == {name}


@pytest.mark.parametrize("kind", ["photographs", "drawings"])
def test_copies_are_found_mirrored_and_cropped_and_the_best_is_kept(sets, kind):
    shown, looks = sets[kind]
    chance = np.random.default_rng(4)
    copies = [getattr(planted, how)(shown[at], chance) for at, how in enumerate(("again", "mirrored", "cropped"))]
    found = judged([*looks, *map(look.look, copies)])
    says = {file: one.says for file, findings in found.pictures.items() for one in findings if one.kind == "same"}
    assert says[str(COUNT)] == f"{COUNT} shows the same as 0."
    assert {frozenset((int(file), int(text.split()[5].strip(",.")))) for file, text in says.items()} == {
        frozenset((at, COUNT + at)) for at in range(3)
    }
    assert sum("mirrored" in text for text in says.values()) == 1 and says[str(COUNT + 2)].endswith("cropped.")
    assert found.lines()[0].kind == "same" and found.lines()[0].button == "Remove them"


@pytest.mark.parametrize("kind", ["photographs", "drawings"])
@pytest.mark.parametrize("fault, name", [("marked", "watermark"), ("screen", "bar")])
def test_what_stands_in_several_pictures_at_one_place_is_a_mark(sets, kind, fault, name):
    shown, looks = sets[kind]
    chance = np.random.default_rng(6)
    found = judged([look.look(getattr(planted, fault)(one, chance)) for one in shown[:6]] + looks[6:])
    assert named(found, name) == set(range(6)) and of_set(found) == {name}


def test_one_of_another_kind_is_an_outlier_and_many_are_a_mixture(sets):
    photographs, drawings = sets["photographs"][1], sets["drawings"][1]
    assert named(judged([*photographs[:13], drawings[0]]), "outlier") == {13}
    assert named(judged([*drawings[:13], photographs[0]]), "outlier") == {13}
    mixed = judged([*photographs[:7], *drawings[:7]])
    assert not named(mixed, "outlier")
    assert [one.says for one in mixed.set if one.kind == "styles"] == [
        "7 of 14 pictures are flat as drawings, the others are not."
    ]


def test_few_pictures_and_one_background_are_said(sets):
    shown = sets["drawings"][0]
    same = [Image.new("RGB", (600, 600), "white") for _ in range(9)]
    for ground, picture in zip(same, shown, strict=False):
        ground.paste(picture.resize((300, 300)), (150, 150))
    looks = [look.look(one) for one in same] + sets["drawings"][1][9:12]
    says = [one.says for one in judged(looks).set]
    assert "9 of 12 have the same background." in says
    assert [one.says for one in judged(looks[:3]).set if one.kind == "few"] == ["There are only 3 pictures."]


def test_size_and_shape_are_held_against_the_base(sets):
    small, long = Image.new("RGB", (300, 300)), Image.new("RGB", (3000, 100))
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    looks = [look.look(Image.fromarray(noise)), look.look(long)]
    found = judged(looks)
    assert small.size == (300, 300)
    assert [one.says for one in found.pictures["0"]] == [
        "0 is 300 x 300: it is learnt about that small, larger ones at 512 x 512."
    ]
    assert any(one.kind == "cropped" and "% of 1 is cut off" in one.says for one in found.pictures["1"])
    assert not named(judged(looks, resolution=256), "small")
    (tiny,) = judged([look.look(Image.fromarray(noise[:4, :4]))]).pictures["0"]
    assert tiny.kind == "small" and "is too small" in tiny.says


def test_a_jpeg_that_was_squeezed_hard_is_known_by_its_tables_and_later_by_its_blocks(tmp_path, sets):
    picture = sets["photographs"][0][0]
    for quality in (25, 49, 60, 90):
        picture.save(tmp_path / "a.jpg", quality=quality)
        with Image.open(tmp_path / "a.jpg") as image:
            assert abs(look.jpeg_quality(image.quantization) - quality) <= 1
    assert look.look(planted.squeezed(picture, 20)).blocks > 3 > look.look(planted.squeezed(picture, 90)).blocks


@pytest.mark.parametrize("size", [4, 8, 16])
def test_squares_of_pixel_art_are_none_of_jpeg_and_those_of_what_is_smooth_are(size):
    chance = np.random.default_rng(3)
    colours, cells = chance.integers(0, 255, (6, 3), np.uint8), chance.integers(0, 6, (16, 16))
    sprite = Image.fromarray(colours[cells.repeat(16 // size, 0).repeat(16 // size, 1)])
    large = sprite.resize((256, 256), Image.Resampling.NEAREST)
    shown = [large, large.quantize(6).convert("RGB"), planted.squeezed(large, 90)]
    assert all(look.look(one).blocks == 1 for one in shown)
    smooth = planted._smooth(chance, (640, 480), 4 + size) * 60 + 128
    grey = Image.fromarray(smooth.clip(0, 255).astype(np.uint8).repeat(3, 2))
    assert look.look(grey).blocks < 1.1 and all(look.look(planted.squeezed(grey, one)).blocks > 3 for one in (8, 30))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("size", [(10_000, 64), (64, 6000), (70_000, 64), (600, 64)])
def test_a_picture_that_is_long_and_narrow_is_judged_and_not_called_blurred(tmp_path, sets, size):
    chance = np.random.default_rng(1)
    noise = chance.integers(0, 255, (size[1], size[0], 3), np.uint8)
    framed = noise.copy()
    framed[: size[1] * 2 // 5] = framed[size[1] - size[1] * 2 // 5 :] = 0
    looks = [look.look(Image.fromarray(one)) for one in (noise, framed)]
    found = judged([*looks, *sets["photographs"][1]])
    assert (looks[0].width, looks[0].height) == size and not named(found, "blurred")
    Image.fromarray(noise).save(tmp_path / "a.png", compress_level=1)
    whole, refused = doctor.judge(Studio(tmp_path / "studio"), doctor.of_folder(tmp_path), doctor.Asked())
    assert list(whole.pictures) == ["a.png"] and not refused


@pytest.mark.parametrize(
    "captions, asked, kind, says",
    [
        (["a fox in snow", "", "a dog"], {}, "uncaptioned", "1 of 3 pictures have no caption."),
        (["zxy, a fox"] * 6, {"trigger": "zxy"}, "alike_captions", "All 6 captions say the same."),
        ([f"watercolor {one}" for one in "fox dog cat hen cow".split()], {}, "words", '"watercolor" stands in 5 of 5'),
        (["zxy, a fox", "a dog"], {"trigger": "zxy"}, "trigger", "1 of 2 captions do not say zxy."),
    ],
)
def test_captions_are_judged_together(sets, captions, asked, kind, says):
    found = judged(sets["drawings"][1][: len(captions)], captions, **asked)
    assert any(one.kind == kind and one.says.startswith(says) for one in found.set)


def test_a_word_that_is_named_is_one_that_the_button_takes_out(sets):
    captions = [f"1girl, 3d-render, O'Neil's, {one}" for one in ("hill", "beach", "forest", "city", "garden", "room")]
    found = [one.word for one in judged(sets["drawings"][1][:6], captions).set if one.kind == "words"]
    assert sorted(found) == ["1girl", "3d-render", "o'neil's"]
    for word in found:
        captions = [wording.without_word(one, word) for one in captions]
    assert captions[0] == "hill" and "words" not in of_set(judged(sets["drawings"][1][:6], captions))


def test_what_a_character_is_called_may_stand_in_every_caption(sets):
    captions = [f"woman {one}" for one in ("in snow", "at sea", "on a hill", "in bed", "on a bike", "asleep")]
    looks = sets["drawings"][1][:6]
    assert "words" in of_set(judged(looks, captions))
    assert "words" not in of_set(judged(looks, captions, goal="character"))
    further = [one.replace("woman", "Fire truck driver") for one in captions]
    assert "words" not in of_set(judged(looks, further, goal="character"))
    always = [one.replace("woman", "woman with a beard") for one in captions]
    assert "words" in of_set(judged(looks, always, goal="character"))


@pytest.mark.parametrize(
    "ground", ["on a {} background", "{} hintergrund", "sur fond {}", "{}, simple background", "white background, {}"]
)
def test_what_a_picture_is_set_against_may_stand_in_every_caption(sets, ground):
    captions = [f"{one}, {ground.format(one)}" for one in ("rot", "bleu", "green", "gelb", "noir", "pink")]
    looks = sets["drawings"][1][:6]
    assert "words" not in of_set(judged(looks, captions))
    (found,) = [one for one in judged(looks, [f"{one}, flat" for one in captions]).set if one.kind == "words"]
    assert found.word == "flat"


@pytest.mark.parametrize("goal", ["style", "character", "concept"])
def test_nothing_is_wrong_with_the_captions_of_the_example_pictures(tmp_path, goal):
    found, _ = doctor.judge(
        Studio(tmp_path), doctor.of_folder(pictures.examples()[goal]), doctor.Asked(trigger="zxy", goal=goal)
    )
    assert not {"words", "alike_captions", "unread"} & of_set(found)


def test_what_the_base_does_not_read_of_a_caption_is_shown(tmp_path, sets):
    starter = bases.find(Studio(tmp_path), "starter")
    caption = " ".join(["a red cat"] * 30)
    found = judged(sets["drawings"][1][:1], [caption], base=starter)
    (one,) = [one for one in found.pictures["0"] if one.kind == "unread"]
    assert one.says == 'Of the caption of 0 the base reads nothing from "a red cat a" on.'


@pytest.mark.parametrize(
    ("trigger", "captions", "says"),
    [
        ("zxyqvw_" * 5 + "zxyqv", ["a red cat on a chair"] * 2, "Use a shorter trigger word: this one takes most"),
        ("zxy", [" ".join(["a red cat"] * 30)] * 2, "Shorten them, or say first what matters most."),
        ("zxy", [" ".join(["a red cat"] * 30), "a cat"], "Shorten it, or say first what matters most."),
    ],
)
def test_what_is_too_long_is_what_has_to_be_shortened(tmp_path, sets, trigger, captions, says):
    looks = sets["drawings"][1][: len(captions)]
    found = judged(looks, captions, base=bases.find(Studio(tmp_path), "starter"), trigger=trigger).lines()
    (line,) = [one for one in found if one.kind in ("unread", "long_trigger")]
    assert line.remedy.startswith(says)


def test_each_picture_that_cannot_be_read_is_named_whatever_it_is_called(tmp_path):
    names = ["Screenshot 2024-01-01 at 10.png", "Screenshot 2024-01-01 at 11.png", "\udcff.png"]
    refused = looks.at(Studio(tmp_path), [(tmp_path / "gone" / name, "") for name in names])
    assert [one.what.partition(" could not be read")[0] for one in refused] == names


def test_a_look_is_the_same_once_it_was_kept_and_a_damaged_one_is_none(sets):
    found = sets["photographs"][1][0]
    again = look.unpacked(look.packed(found))
    assert np.array_equal(again.small, found.small)
    assert (again.sharp, again.style, again.borders) == (found.sharp, found.style, found.borders)
    with pytest.raises((ValueError, OSError, KeyError, SyntaxError)):
        look.unpacked(look.packed(found)[:300])


def test_a_set_is_judged_at_once_after_its_import_and_a_bad_file_is_named(tmp_path, sets, monkeypatch):
    inbox, studio = tmp_path / "in", Studio(tmp_path / "studio")
    inbox.mkdir()
    for at, picture in enumerate(sets["drawings"][0][:4]):
        picture.save(inbox / f"{at}.png")
    (inbox / "bad.png").write_bytes(b"\x89PNG nothing")
    found, refused = doctor.judge(studio, doctor.of_folder(inbox), doctor.Asked())
    assert list(found.pictures) == ["0.png", "1.png", "2.png", "3.png"] and "bad.png" in refused[0]
    made, _ = pictures.import_pictures(studio, [inbox])
    monkeypatch.setattr(doctor.looks.several, "decoded", lambda orders, ask: iter([*map(str, orders)]))
    again, refused = doctor.judge(studio, doctor.of_set(made), doctor.Asked(resolution=2048))
    assert not refused and again.told()["pictures"][0]["findings"][0]["kind"] == "small"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_pipe_is_no_picture_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (found,) = looks.at(Studio(tmp_path / "studio"), [(tmp_path / "a.png", "")])
    assert found.what == "a.png is not a file."
