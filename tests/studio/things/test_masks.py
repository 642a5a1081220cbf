"""A picture's mask lies beside it as OneTrainer names it, and follows the picture wherever it goes."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base, mask_beside
from lora_gui.settings import TrainSettings
from lora_gui.studio import verify
from lora_gui.studio.doctor import remedies
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import packing, runs
from lora_gui.studio.things import bases, masks, picture_index, pictures, set_changes, set_work


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def made(studio, tmp_path):
    inbox = tmp_path / "in"
    inbox.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (96 + 8 * number, 80), colour).save(inbox / f"{number}.png")
        (inbox / f"{number}.txt").write_text(f"it is {colour}")
    return pictures.import_pictures(studio, [inbox])[0]


def painted(size, box, mode="L"):
    image = Image.new(mode, size, 0)
    image.paste(255 if mode == "L" else (255, 255, 255, 255), box)
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def white(path):
    """The box in which a mask is white."""
    with Image.open(path) as image:
        assert image.mode == "L"
        return image.point(lambda value: 255 * (value > 127)).getbbox()


def test_a_mask_is_kept_beside_its_picture_replaced_taken_away_and_had_back(made):
    first = made.pictures[0]
    assert masks.mask_of(made, first) is None
    masks.put_mask(made, first, painted((96, 80), (0, 0, 48, 80)))
    path = masks.mask_of(made, first)
    assert path == made.folder / "0001-masklabel.png" and white(path) == (0, 0, 48, 80)
    masks.put_mask(made, first, painted((48, 40), (24, 0, 48, 40), "RGBA"))  # half as large, as a canvas may have it
    assert white(path) == (48, 0, 96, 80)
    masks.put_mask(made, first, painted((96, 80), (48, 0, 96, 80)))
    changes = len(set_changes.history(made.folder))
    masks.put_mask(made, first, painted((96, 80), (48, 0, 96, 80)))
    assert len(set_changes.history(made.folder)) == changes  # the same again is no change
    masks.put_mask(made, first, painted((96, 80), (0, 0, 96, 80)))
    assert masks.mask_of(made, first) is None  # all of it is learnt, as without one
    set_changes.undo(made.folder)
    assert white(path) == (48, 0, 96, 80)
    masks.remove_mask(made, first)
    assert masks.mask_of(made, first) is None
    assert [one.caption for one in pictures.load(made.folder).pictures] == ["it is red", "it is green", "it is blue"]
    assert pictures.sets(Studio(made.folder.parent.parent))[0].count == 3


def test_a_run_says_which_mask_it_is_given_and_takes_it_along_to_another_computer(studio, made, tmp_path):
    masks.put_mask(made, made.pictures[1], painted((104, 80), (0, 0, 40, 80)))
    base = Base(key="starter", title="Starter", family="sd1", path=str(bases.SHIPPED))
    job = runs.new_job(studio, "foxes", "zxy_fox", "style", base, made.pictures, TrainSettings())
    path = masks.mask_of(made, made.pictures[1])
    assert [one.mask for one in job.pictures] == ["", files.sha256(path), ""]
    there = packing._here(job, tmp_path / "there")
    copied = [mask_beside(Path(one.path)) for one in there.pictures]
    assert [one.is_file() for one in copied] == [False, True, False]
    assert copied[1].read_bytes() == path.read_bytes()


def test_masks_come_in_beside_their_pictures_also_when_a_set_is_added_again(studio, made, tmp_path):
    masks.put_mask(made, made.pictures[1], painted((104, 80), (0, 0, 24, 80)))
    again, refused = pictures.import_pictures(studio, [made.folder])
    assert not refused and "Masks that came with their pictures: 1." in again.notes
    assert [masks.mask_of(again, one) is not None for one in again.pictures] == [False, True, False]
    assert white(masks.mask_of(again, again.pictures[1])) == (0, 0, 24, 80)
    grown, _ = set_work.add(studio, made.folder, [again.folder])
    assert white(masks.mask_of(grown, grown.pictures[4])) == (0, 0, 24, 80)


@pytest.mark.parametrize("place, mask", [
    ("a.png", "masks/a.png"), ("a.png", "Mask/A.jpg"), ("images/a.jpg", "masks/a.png"), ("a.jpg", "a_mask.png"),
    ("a.png", "masks/a-masklabel.png"), ("10_fox/a.png", "10_fox/mask/a.png"),
    ("a.jpg", "_controls/a.mask.webp"),
])  # fmt: skip
def test_masks_come_in_as_other_trainers_keep_them(studio, tmp_path, place, mask):
    came = tmp_path / "in"
    for name in (place, mask):
        (came / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (96, 80), "red").save(came / place)
    (came / mask).write_bytes(painted((96, 80), (0, 0, 24, 80)))
    made, _ = pictures.import_pictures(studio, [came])
    assert white(masks.mask_of(made, made.pictures[0])) == (0, 0, 24, 80) and not made.left
    assert "Masks that came with their pictures: 1." in made.notes


def test_a_mask_that_may_be_of_either_of_two_pictures_is_of_none(studio, tmp_path):
    for place in ("a/1.png", "b/1.png"):
        (tmp_path / place).parent.mkdir()
        Image.new("RGB", (96, 80), "red" if place < "b" else "blue").save(tmp_path / place)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.png").write_bytes(painted((96, 80), (0, 0, 24, 80)))
    made, _ = pictures.import_pictures(studio, [tmp_path / one for one in ("a", "b", "masks")])
    assert len(made.pictures) == 2 and [one.kind for one in made.left] == ["mask"]


def test_a_mask_that_comes_in_and_cannot_be_used_is_named_and_the_picture_comes_in(studio, tmp_path):
    inbox = tmp_path / "odd"
    inbox.mkdir()
    for name in "ab":
        Image.new("RGB", (96, 80), "red").save(inbox / f"{name}.png")
    (inbox / "a-masklabel.png").write_bytes(painted((80, 96), (0, 0, 9, 9)))
    (inbox / "b-masklabel.png").write_bytes(b"no picture")
    made, _ = pictures.import_pictures(studio, [inbox])
    assert len(made.pictures) == 2 and not list(made.folder.glob("*-masklabel.png"))
    reasons = {one.file: one.reason for one in made.left}
    assert "The mask is 80 x 96, and the picture 96 x 80." in reasons["a-masklabel.png"]
    assert "b-masklabel.png" in reasons["b-masklabel.png"] and len(reasons) == 2


def test_a_mask_may_be_smaller_than_a_picture_that_can_be_learnt_and_a_text_of_its_name_is_none(studio, tmp_path):
    Image.new("RGB", (96, 96), "red").save(tmp_path / "a.png")
    (tmp_path / "a-masklabel.png").write_bytes(painted((8, 8), (0, 0, 4, 8)))
    (tmp_path / "a-masklabel.txt").write_text("a captioner went over the folder")
    names = ("a.png", "a-masklabel.png", "a-masklabel.txt")
    made, _ = pictures.import_pictures(studio, [tmp_path / name for name in names])
    assert [one.file for one in made.left] == ["a-masklabel.txt"]
    assert white(masks.mask_of(made, made.pictures[0])) == (0, 0, 48, 96)


@pytest.mark.parametrize("data, says", [
    (b"", "no PNG"), (b"GIF89a" + bytes(99), "no PNG"), (painted((96, 80), (0, 0, 9, 9))[:60], "no PNG"),
    (painted((80, 96), (0, 0, 9, 9)), "The mask is 80 x 96, and the picture 96 x 80."),
    (painted((96, 80), (0, 0, 0, 0)), "no white in it"), (painted((96, 80), (0, 0, 0, 0), "RGBA"), "no white in it"),
])  # fmt: skip
def test_what_is_no_mask_of_the_picture_is_refused_and_the_one_there_is_stays(made, data, says):
    masks.put_mask(made, made.pictures[0], painted((96, 80), (0, 0, 48, 80)))
    with pytest.raises(UserError, match=says):
        masks.put_mask(made, made.pictures[0], data)
    assert white(masks.mask_of(made, made.pictures[0])) == (0, 0, 48, 80)


def test_masks_follow_their_pictures_when_a_set_is_renamed_added_to_split_and_put_back(studio, made, tmp_path):
    for one, size in zip(made.pictures, ((96, 80), (104, 80), (112, 80)), strict=True):
        masks.put_mask(made, one, painted(size, (0, 0, size[0] - 80, 80)))
    set_work.rename(made.folder, "masked")
    other = set_work.split(studio, made.folder, [2], "one")
    assert white(masks.mask_of(other, other.pictures[0])) == (0, 0, 24, 80)
    left = pictures.load(made.folder)
    assert [white(masks.mask_of(left, one))[2] for one in left.pictures] == [16, 32]
    assert masks.mask_of(left, made.pictures[1]) is None  # it went with its picture
    set_changes.undo(made.folder)
    assert [white(masks.mask_of(made, one))[2] for one in pictures.load(made.folder).pictures] == [16, 24, 32]
    picture_index.check(made.folder)
    found = verify.verify(studio)
    assert not found["wrong"]
    masks.mask_of(made, made.pictures[0]).write_bytes(b"no")
    assert "put the mask on its picture again" in verify.verify(studio)["wrong"][0]["remedy"]


def test_a_picture_whose_borders_are_cropped_keeps_its_mask_over_what_it_showed(studio, tmp_path):
    inside = np.random.default_rng(1).integers(0, 255, (200, 240, 3), np.uint8)
    framed = np.zeros((240, 280, 3), np.uint8)
    framed[20:220, 20:260] = inside
    Image.fromarray(framed).save(tmp_path / "framed.png")
    made, _ = pictures.import_pictures(studio, [tmp_path / "framed.png"])
    masks.put_mask(made, made.pictures[0], painted((280, 240), (100, 20, 260, 220)))
    says, contents = remedies._crop(made, made.pictures, None)
    set_changes.do(made.folder, says, contents)
    assert says == "The borders of 1 picture were cropped."
    with Image.open(made.pictures[0].path) as picture, Image.open(masks.mask_of(made, made.pictures[0])) as mask:
        assert picture.size == mask.size and picture.width < 280
        begins = 100 - (280 - picture.width) // 2
        assert abs(mask.getbbox()[0] - begins) <= 1


def test_what_is_transparent_in_a_picture_that_comes_in_is_its_mask(tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, alpha in (("a", 0), ("b", 255), ("c", None)):
        picture = Image.new("RGBA", (96, 80), (200, 30, 30, 0))
        if alpha is not None:
            picture.paste((20, 60, 200, 255), (0, 0, 48, 80))
            picture.paste((20, 60, 200, alpha), (48, 0, 96, 80))
        picture.save(inbox / f"{name}.png")
    found, _ = pictures.import_pictures(Studio(tmp_path / "studio"), [inbox])
    there = [masks.mask_of(found, one) for one in found.pictures]
    assert there[0] and not there[1] and not there[2]  # in places, nowhere, all over
    with Image.open(there[0]) as mask:
        assert (mask.mode, mask.size) == ("L", (96, 80)) and np.asarray(mask).mean() == 255 / 2
    assert any(remark.startswith("1 picture came with a mask") for remark in found.remarks)


def test_masks_that_are_not_learnt_by_are_said(made):
    assert masks.unused(made, TrainSettings()) == ""
    for number, whose in enumerate(("The mask of 1 picture is", "The masks of 2 pictures are")):
        masks.put_mask(made, made.pictures[number], painted((96 + 8 * number, 80), (0, 0, 48, 80)))
        assert masks.unused(made, TrainSettings()).startswith(f"{whose} not looked at")
    assert masks.unused(made, TrainSettings(masked_loss=True)) == ""
