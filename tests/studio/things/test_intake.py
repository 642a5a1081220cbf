"""Folders as other programs leave them: each caption with its picture, and a word about every file that is not used."""

import os
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.runs import new_job
from lora_gui.studio.things import picture_index
from lora_gui.studio.things.intake import gather
from lora_gui.studio.things.pictures import import_pictures, load
from lora_gui.studio.things.report import counted, details, left_out
from lora_gui.studio.things.sorting import repeats
from tests.studio.things.folders import KINDS, brought, filled_with, paired


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


def test_a_browser_says_the_folders_and_they_are_only_words(studio, tmp_path):
    long = "長い名前" * 30
    names = ["set/a/1.png", "set/a/1.txt", "set/b/1.png", "set/b/1.txt", f"set/{long}.png", f"set/{long}.txt",
             "set/../../etc/می\u200cخواهم.png", "set\\etc\\می\u200cخواهم.txt"]  # fmt: skip
    files = [(f"{n}/{'_.png' if name.endswith('png') else '_.txt'}", None if name.endswith("png") else f"caption {n}")
             for n, name in enumerate(names)]  # fmt: skip
    made, _ = import_pictures(studio, filled_with(tmp_path / "up", files), names, [".DS_Store", "set/.git/x"])
    assert [one.caption for one in made.pictures] == ["caption 1", "caption 3", "caption 5", "caption 7"]
    assert made.pictures[2].label == f"{long}.png" and len(list(studio.home.rglob("*.png"))) == 4
    assert [one.kind for one in made.left] == ["hidden", "hidden"]


def test_the_folder_of_a_browser_gives_the_set_its_name_and_is_not_judged(studio, tmp_path):
    paths = filled_with(tmp_path / "up", [("1/a.png", None), ("2/a.txt", "a fox"), ("3/m.png", None)])
    made, _ = import_pictures(studio, paths, ["samples/a.png", "samples/a.txt", "samples/masks/m.png"])
    assert made.title == "samples" and [one.caption for one in made.pictures] == ["a fox"]
    assert made.sentence == "1 picture, 1 with a caption. Not used: 1 mask."


def test_files_of_one_name_that_came_without_their_folders_are_not_guessed(studio, tmp_path):
    files = [("1/i.png", None), ("2/i.txt", "red"), ("3/i.png", None), ("4/i.txt", "blue")]
    made, _ = import_pictures(studio, filled_with(tmp_path / "up", files))
    assert [one.caption for one in made.pictures] == ["", ""]
    assert "Captions that could belong to several pictures, and are given to none: 2/i.txt, 4/i.txt." in made.notes
    paired = [("5/i.png", None), ("5/i.txt", "red"), ("6/i.png", None), ("6/i.txt", "blue")]
    made, _ = import_pictures(studio, filled_with(tmp_path / "up", paired))
    assert [one.caption for one in made.pictures] == ["red", "blue"]


NEVER = {
    "mask": ["cat_mask.png", "cat-mask.PNG", "no_such_mask.png", "mask/a.png", "Masks/b.png",
             "mask_cat.png", "cat_mask_01.png", "cat.mask.png"],
    "conditioning": ["cat-condlabel.png", "control/cat.png", "_controls/cat.depth.jpg"],
    "regularisation": ["reg/a.png", "REG/1_cat/b.png", "regularization/c.png", "class/d.png", "class_images/e.png"],
    "bin": ["$RECYCLE.BIN/S-1/x.png", ".Trash-1000/files/y.png", "#recycle/z.png"],
    "thumbnail": ["@eaDir/cat.png/SYNOPHOTO_THUMB_M.jpg", "Thumbs.db", ".thumbnails/a.png", "thumbs/b.jpg",
                  "cat_thumb.jpg"],
    "sample": ["sample/a.png", "samples/b.png", "model/Sample/c.png"],
    "macos": ["._cat.png", "__MACOSX/cat.png"],
    "hidden": [".DS_Store", ".hidden.png", ".git"],
    "other": ["readme.md", "LICENSE.txt", "cat.npz", "run.log"],
}  # fmt: skip


def test_what_is_no_training_picture_is_never_learnt_and_named_with_its_reason(studio, tmp_path, tell):
    tell(KINDS, sum(map(len, NEVER.values())))
    names = [f"{name}/config.png" if name == ".git" else name for some in NEVER.values() for name in some]
    captions, made = brought(studio, tmp_path, [("cat.png", None), ("cat.txt", "a cat"), *((n, None) for n in names)])
    assert captions == {"cat.png": "a cat"}
    kinds = {one.file: one.kind for one in made.left}  # of several masks of a picture one is taken
    assert kinds == {name: kind for kind, some in NEVER.items() for name in some if name != "cat-mask.PNG"}
    assert all(one.reason for one in made.left) and made.left == load(made.folder).left
    assert (
        "Not used: 7 masks, 3 conditioning pictures, 5 thumbnails, 1 file in `REG` (regularisation)" in made.sentence
    )
    assert all(any(name in note for note in made.notes[1:]) for name in kinds)


def test_words_that_only_look_so_are_learnt(tmp_path):
    names = ["masked ball.png", "regal.png", "thumbelina.png", "x_mask_2.png", "classic/a.png", "sampler/b.png",
             "man with gas mask.jpg", "the_mask.png", "cat.png"]  # fmt: skip
    captions, left = paired(tmp_path, [(name, None) for name in names])
    assert len(captions) == len(names) and not left


def test_a_mask_is_one_where_a_picture_of_its_name_is_there_or_others_are_called_so(tmp_path):
    masks = ["cat_mask.png", "gone_mask.png", "b/dog - mask (2).png", "mask.png", "x-masklabel.png"]
    names = ["cat.png", "a/dog.jpg", "the mask.png", "clay-mask.png", *masks]
    captions, left = paired(tmp_path, [(name, None) for name in names])
    assert list(captions) == ["dog.jpg", "cat.png", "clay-mask.png", "the mask.png"]
    assert sorted((one.file, one.kind) for one in left) == sorted((name, "mask") for name in masks)


@pytest.mark.parametrize("given", [
    ["in", "in"], ["in", "in/."], ["in", "in/a.png", "in/a.txt"], ["in/a.png", "in"], ["in/sub/a.png", "in", "in/sub"],
    ["in/sub", "in"], ["in", "in/sub", "in/sub/a.png"], ["in", "in/../in"], ["in/../in", "in/sub/../a.png", "in"],
    ["in", "link"], ["link", "in/sub"], ["link/sub", "in"], ["link/a.png", "in/sub/a.png", "in/a.png"],
])  # fmt: skip
def test_what_is_given_twice_comes_once_and_has_its_caption(studio, tmp_path, given):
    files = [("a.png", None), ("a.txt", "a fox"), ("sub/a.png", None), ("sub/a.txt", "a bear")]
    filled_with(tmp_path / "in", files)
    if any(one.startswith("link") for one in given):
        if os.name == "nt":
            pytest.skip("Windows lets only administrators make links")
        (tmp_path / "link").symlink_to(tmp_path / "in")
    made, refused = import_pictures(studio, [tmp_path / one for one in given])
    assert sorted(one.caption for one in made.pictures) == ["a bear", "a fox"] and not (refused or made.left)


def test_a_picture_that_is_given_twice_by_itself_comes_once(studio, tmp_path, monkeypatch):
    filled_with(tmp_path, [("a.png", None), ("a.txt", "a fox")])
    monkeypatch.chdir(tmp_path)
    made, _ = import_pictures(studio, [tmp_path / "a.png", Path("a.png")])
    assert [one.caption for one in made.pictures] == ["a fox"] and made.title == "a"


def test_a_folder_of_nothing_to_learn_says_what_it_holds(studio, tmp_path):
    filled_with(tmp_path / "in", [("mask.png", None), ("samples/a.png", None)])
    with pytest.raises(UserError, match="no pictures in in, only 1 mask, 1 file in `samples` .sample drawings."):
        import_pictures(studio, [tmp_path / "in"])


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_links_are_named_and_linked_folders_not_entered(studio, tmp_path):
    filled_with(tmp_path, [("out/b.png", None), ("in/a.png", None)])
    (tmp_path / "in" / "linked.png").symlink_to(tmp_path / "out" / "b.png")
    (tmp_path / "in" / "album").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere")
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert [one.label for one in made.pictures] == ["a.png", "linked.png"]
    assert made.sentence.endswith("Not used: 2 linked folders, 1 broken link.")
    assert "Links, whose files were copied: linked.png." in made.notes


def test_what_may_not_be_read_is_called_so_and_not_damaged(studio, tmp_path, monkeypatch):
    """Refused by the listing itself, since the user of a test may read everything."""
    filled_with(tmp_path / "in", [("a.png", None), ("locked/b.png", None)])
    real = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert made.sentence == "1 picture, none with a caption. Not used: 1 folder that cannot be read."
    assert made.notes[1] == "Folders that cannot be read (Permission denied): locked."


def test_folders_without_end_are_entered_so_far_and_no_further(tmp_path):
    deep = tmp_path / "in"
    for _ in range(300):
        deep = deep / "x"
    deep.mkdir(parents=True)
    Image.new("RGB", (80, 64)).save(deep / "a.png")
    intake = gather([tmp_path / "in"])
    assert not intake.files and intake.left[0].reason == "folders that lie too deep to be entered"


@pytest.mark.parametrize(
    ("folder", "times"),
    [
        ("10_fox", 10),
        ("img/3_red fox", 3),
        ("2_狐", 2),
        ("2023_holiday", 1),
        ("01_may", 1),
        ("20_09_2024", 1),
        ("x", 1),
    ],
)
def test_repeats_of_kohya_are_read(folder, times, tell):
    tell(KINDS, 1)
    assert repeats(PurePosixPath(folder, "a.png"), "") == (times, PurePosixPath(folder).name if times > 1 else "")


def test_pictures_count_as_often_as_their_folders_say(studio, tmp_path):
    filled_with(tmp_path / "in", [("img/10_fox/a.png", None), ("1_bear/b.png", None)])
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert {one.label: one.repeats for one in made.pictures} == {"a.png": 10, "b.png": 1}
    assert made.remarks == ("Folder 10_fox: each picture counts 10 times.",)
    base = Base(key="toy", title="Toy", family="sd1", path="/toy")
    job = new_job(studio, "fox", "zxy_fox", "style", base, made.pictures, TrainSettings())
    assert [one.repeats for one in job.pictures] == [one.repeats for one in made.pictures]


def test_a_folder_of_repeats_that_is_dropped_alone_changes_nothing_and_says_so(studio, tmp_path):
    filled_with(tmp_path / "10_fox", [("a.png", None), ("b.png", None)])
    made, _ = import_pictures(studio, [tmp_path / "10_fox"])
    assert [one.repeats for one in made.pictures] == [10, 10] and "they come equally often" in made.remarks[0]
    picture_index.check(made.folder)


def test_a_sentence_names_twenty_files_and_counts_the_others():
    left = [left_out(f"{n}.png", "mask") for n in range(25)]
    assert counted(left) == "25 masks" and details(left)[0].endswith("19.png and 5 more.")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make links")
def test_what_is_named_by_a_link_is_called_as_it_was_named_and_a_linked_file_has_its_own_caption(studio, tmp_path):
    filled_with(tmp_path / "in", [("a.png", None), ("a.txt", "a fox"), ("b.txt", "a hat")])
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "in" / "a.png")
    (tmp_path / "my foxes").symlink_to(tmp_path / "in")
    made, _ = import_pictures(studio, [tmp_path / "my foxes", tmp_path / "in"])
    assert made.title == "my foxes"
    made, _ = import_pictures(studio, [tmp_path / "in" / "a.png", tmp_path / "in" / "b.png"])
    assert [(one.label, one.caption) for one in made.pictures] == [("a.png", "a fox"), ("b.png", "a hat")]
