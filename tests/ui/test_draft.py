"""What was chosen and not started yet: held once for the studio, kept over a restart."""

import errno
import json
import time
from dataclasses import replace

import pytest

from lora_gui import files
from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import FILE, Drafts, DrawDraft, Entry, TrainDraft, Typed, typed_in, with_lora, with_word

TRAIN = TrainDraft("style", "starter", "20260101-000000-abcd", "zxy_style", "foxes", {"rank": 9999, "flip": True}, "x")
STACK = (Entry(True, "/a.safetensors", 0.35), Entry(False, "/b.safetensors", 1.0))
DRAW = DrawDraft("a fox", "blurry", "starter", 7, False, 4, {"width": 640}, STACK)


def test_every_field_of_both_drafts_comes_back_after_a_restart(tmp_path):
    drafts = Drafts(Studio(tmp_path))
    drafts.train.change(lambda _: TRAIN)
    drafts.draw.change(lambda _: DRAW)
    again = Drafts(Studio(tmp_path))
    assert (again.train.value, again.draw.value) == (TRAIN, DRAW)


def test_the_number_grows_with_every_change_and_with_nothing_else(tmp_path):
    held = Drafts(Studio(tmp_path)).train
    numbers = [held.get()[0]]
    for trigger in ("a", "a", "ab"):
        held.change(lambda draft, trigger=trigger: replace(draft, trigger=trigger))
        numbers.append(held.get()[0])
    assert numbers == [1, 2, 2, 3]


@pytest.mark.parametrize("damaged", ["", "[]", "\0", "[" * 100_000, '{"train": 1, "draw": []}'])
def test_a_damaged_draft_is_an_empty_one(tmp_path, damaged):
    (tmp_path / FILE).write_text(damaged)
    drafts = Drafts(Studio(tmp_path))
    assert (drafts.train.value, drafts.draw.value) == (TrainDraft(), DrawDraft())


def test_a_draft_loses_no_more_than_what_is_damaged(tmp_path):
    train = {"preset": None, "trigger": "zxy", "hand": {"rank": 8, "steps": [1], "name": "x" * 30_000}, "odd": 1}
    draw = {"prompt": "a fox", "seed": "7", "stack": [["on"], [True, "/a", 0.5], 3], "hand": 7}
    (tmp_path / FILE).write_text(json.dumps({"train": train, "draw": draw}))
    drafts = Drafts(Studio(tmp_path))
    assert drafts.train.value == TrainDraft(trigger="zxy", hand={"rank": 8})
    assert drafts.draw.value == DrawDraft(prompt="a fox", stack=(Entry(True, "/a", 0.5),))


def test_a_draft_of_the_version_before_is_taken_over(tmp_path):
    (tmp_path / FILE).write_text('{"preset": "concept", "folder": "20260101-000000-abcd", "trigger": "zxy"}')
    found = Drafts(Studio(tmp_path)).train.value
    assert found == TrainDraft(preset="concept", folder="20260101-000000-abcd", trigger="zxy")


def test_a_draft_whose_file_was_deleted_is_forgotten_by_whoever_comes_first(tmp_path):
    drafts = Drafts(Studio(tmp_path))
    for come in (lambda held: held.value, lambda held: held.change(lambda draft: replace(draft, trigger="new"))):
        drafts.train.change(lambda _: TRAIN)
        drafts.draw.change(lambda _: DRAW)
        number = drafts.train.get()[0]
        (tmp_path / FILE).unlink()
        come(drafts.train)  # what is put in at once does not join what is gone
        assert replace(drafts.train.value, trigger="") == TrainDraft() and drafts.draw.value == DrawDraft()
        assert drafts.train.get()[0] > number  # so that every page hears of it


def test_a_draft_is_not_forgotten_because_the_whole_studio_is_out_of_reach_for_a_while(tmp_path):
    home = tmp_path / "drive"
    home.mkdir()
    drafts = Drafts(Studio(home))
    drafts.train.change(lambda _: TRAIN)
    home.rename(tmp_path / "unplugged")
    assert drafts.train.value == TRAIN


def test_a_folder_in_place_of_the_draft_hangs_nobody(tmp_path):
    (tmp_path / FILE).mkdir()
    assert Drafts(Studio(tmp_path)).train.value == TrainDraft()


def test_on_a_full_disk_the_draft_is_held_all_the_same_and_the_reason_given(tmp_path, monkeypatch):
    def refuse(act, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "about_to", refuse)
    held = Drafts(Studio(tmp_path)).train
    problem = held.change(lambda draft: replace(draft, trigger="zxy"))
    assert problem.what.startswith("The disk is full") and held.value.trigger == "zxy"


def test_a_lora_is_taken_to_the_front_of_the_stack_with_its_trigger_word():
    draft = with_lora(with_lora(DrawDraft(prompt="a boat"), "/a", "zxy"), "/b", "qrs")
    again = with_lora(draft, "/a", "zxy")
    assert [entry.lora for entry in again.stack] == ["/a", "/b"] and again.prompt == "qrs zxy a boat"
    assert with_word("", "zxy") == "zxy "


def test_a_text_that_is_too_long_is_not_taken_and_said_and_the_rest_is():
    typed, problem = typed_in({"prompt": "a" * 20_001, "count": 2, "seed": None, "stack": []})
    assert typed == {"count": Typed(2), "seed": Typed(None)} and problem.setting == "prompt"
    assert typed_in(None) == ({}, None)


def test_what_was_typed_earlier_changes_nothing_however_late_it_comes(tmp_path, monkeypatch):
    held = Drafts(Studio(tmp_path)).train
    now = time.time() * 1000

    def come(trigger: str, *at: float) -> str:
        typed, _ = typed_in({"trigger": [trigger, *at] if at else trigger})
        held.change(lambda draft: replace(draft, **held.newest(typed)))
        return held.value.trigger

    assert [come("zxy", now - 10), come("z", now - 20), come("zx", now - 10)] == ["zxy"] * 3
    assert held.get()[2] == {"trigger": now - 10}
    assert come("own") == "own"  # the window's own is not typed
    assert [come("zxy", now - 10), come("qrs", now - 5)] == ["own", "qrs"]
    monkeypatch.setattr(time, "time", lambda: now / 1000 - 3600)  # the clock was set back
    assert come("new", now - 3_600_000) == "new"
