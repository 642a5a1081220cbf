"""What is mended by a press is mended on the disk, and can be taken back and done again."""

import contextlib
import itertools
import shutil

import numpy as np
import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.doctor import doctor, remedies
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index, pictures, set_changes
from tests import planted


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A studio with such a set, which has been judged."""
    inbox = tmp_path_factory.mktemp("in")
    studio = Studio(tmp_path_factory.mktemp("kept") / "studio")
    shown = planted.made("drawings", 6, 3)
    chance = np.random.default_rng(1)
    shown = [*shown[:4], planted.mirrored(shown[0], chance), planted.bordered(shown[5], chance)]
    for at, picture in enumerate(shown):
        picture.save(inbox / f"{at}.png")
        (inbox / f"{at}.txt").write_text(f"watercolor, thing {'abcdef'[at] * 4}")
    folder = pictures.import_pictures(studio, [inbox])[0].folder
    line(studio, folder, "same")
    return studio, folder


@pytest.fixture
def ill(kept, tmp_path):
    """A set with a copy, a border and captions that say too much."""
    studio, folder = kept
    shutil.copytree(studio.home, tmp_path / "studio")
    return Studio(tmp_path / "studio"), tmp_path / "studio" / folder.relative_to(studio.home)


def line(studio, folder, kind):
    found = pictures.load(folder)
    judgement, _ = doctor.judge(studio, doctor.of_set(found), doctor.Asked(trigger="zxy"))
    return found, next((one for one in judgement.lines() if one.kind == kind), None)


def state(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("kind, says", [
    ("same", "1 picture was taken out."), ("border", "The borders of 1 picture were cropped."),
    ("words", "6 captions were changed."), ("trigger", "6 captions were changed."),
])  # fmt: skip
def test_each_remedy_mends_and_can_be_taken_back_and_done_again(ill, kind, says):
    studio, folder = ill
    before = state(folder)
    found, wrong = line(studio, folder, kind)
    remedies.mend(studio, found, wrong)
    after = state(folder)
    picture_index.check(folder)
    _, left = line(studio, folder, kind)
    assert left is None or left.word != wrong.word
    assert set_changes.history(folder)[-1].says == says
    assert all(one.digest for one in pictures.load(folder).pictures), "none was replaced by hand"
    set_changes.undo(folder)
    assert state(folder) == before
    set_changes.redo(folder)
    assert state(folder) == after
    with pytest.raises(UserError, match="nothing to do again"):
        set_changes.redo(folder)


def test_what_was_taken_out_is_no_picture_of_the_set_and_its_caption_stays_its_own(ill):
    studio, folder = ill
    found, wrong = line(studio, folder, "same")
    remedies.mend(studio, found, wrong)
    left = pictures.load(folder).pictures
    assert len(left) == 5 and {one.label for one in left} == {one.label for one in found.pictures} - set(wrong.files)
    assert all("abcdef"[int(one.label[0])] * 4 in one.caption for one in left)
    assert pictures.sets(studio)[0].count == 5


def test_a_new_change_forgets_what_was_taken_back(ill):
    studio, folder = ill
    for kind in ("words", "same"):
        found, wrong = line(studio, folder, kind)
        remedies.mend(studio, found, wrong)
    set_changes.undo(folder)
    found, wrong = line(studio, folder, "border")
    remedies.mend(studio, found, wrong)
    assert [change.done for change in set_changes.history(folder)] == [True, True]


def test_a_disk_that_refuses_leaves_the_set_whole(ill, monkeypatch):
    studio, folder = ill
    before = state(folder)
    found, wrong = line(studio, folder, "same")

    def full(*_, **__):
        raise UserError("The disk is full.", "Make room.")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(UserError, match="disk is full"):
        remedies.mend(studio, found, wrong)
    assert state(folder) == before


class DiedError(BaseException):
    """The process ends here."""


@pytest.mark.soak
def test_a_crash_at_any_moment_of_a_change_is_repaired_at_the_next_look(ill, monkeypatch):
    """At each act upon the disk, of taking a change back and of doing it again: of a list, a picture and a caption."""
    studio, folder = ill
    found, wrong = line(studio, folder, "same")
    states, tried = [state(folder)], 0
    remedies.mend(studio, found, wrong)
    states.append(state(folder))
    for act in (set_changes.undo, set_changes.redo):
        for last in itertools.count(1):
            acts = []

            def about_to(*_, acts=acts, last=last):
                acts.append(1)
                if len(acts) >= last:
                    raise DiedError

            monkeypatch.setattr(files, "about_to", about_to)
            with contextlib.suppress(DiedError):
                act(folder)
            monkeypatch.undo()
            pictures.load(folder)
            now, done = state(folder), set_changes.history(folder)[-1].done
            assert now in states and done == (now == states[1]), (act.__name__, last)
            assert not list((folder / set_changes.FOLDER).rglob("*.away"))
            if len(acts) < last:
                break
            tried += 1
            if done == (act is set_changes.redo):
                {True: set_changes.undo, False: set_changes.redo}[done](folder)
    assert tried > 20


def test_a_half_written_change_is_forgotten_and_its_files_come_to_nothing(ill, monkeypatch):
    studio, folder = ill
    found, wrong = line(studio, folder, "words")

    def dies(*_):
        raise DiedError

    monkeypatch.setattr(set_changes, "_tell", dies)
    with pytest.raises(DiedError):
        remedies.mend(studio, found, wrong)
    monkeypatch.undo()
    before, (first, *_) = state(folder), found.pictures
    set_changes.do(folder, "1 caption was taken out.", {f"{first.path.stem}.txt": None})
    assert not first.path.with_suffix(".txt").exists()
    set_changes.undo(folder)
    assert state(folder) == before


def test_each_line_of_a_caption_is_mended_and_stays_one(ill):
    studio, folder = ill
    (folder / "0001.txt").write_text("watercolor, a fox\na fox in watercolor")
    remedies.mend(studio, *line(studio, folder, "words"))
    assert (folder / "0001.txt").read_text() == "a fox\na fox in"


def test_what_was_typed_since_the_pictures_were_judged_is_mended_and_not_written_over(ill):
    studio, folder = ill
    found, wrong = line(studio, folder, "words")
    (folder / "0001.txt").write_text(f"{wrong.word}, typed since")
    remedies.mend(studio, found, wrong)
    assert (folder / "0001.txt").read_text() == "typed since"


def test_a_picture_that_is_damaged_meanwhile_is_a_sentence_and_nothing_is_changed(ill):
    studio, folder = ill
    found, wrong = line(studio, folder, "border")
    next(one.path for one in found.pictures if one.label in wrong.files).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match="is damaged"):
        remedies.mend(studio, found, wrong)
    assert not set_changes.history(folder)
