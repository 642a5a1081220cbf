"""The folder of uploads: private, and never fuller or older than it may be."""

import os
import time

import pytest

from lora_gui.ui.server import uploads
from lora_gui.ui.server.uploads import Uploads


@pytest.fixture
def folder(tmp_path):
    uploads.empty(tmp_path / "uploads")
    return tmp_path / "uploads"


def lay(folder, name, size, age=0.0):
    path = folder / name / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_start_leaves_nothing_of_a_window_that_was_killed_and_lets_nobody_else_look(folder):
    lay(folder, "old", 10)
    uploads.empty(folder)
    assert list(folder.iterdir()) == [] and (os.name == "nt" or folder.stat().st_mode & 0o077 == 0)


def test_what_is_old_goes_and_then_the_oldest_until_the_rest_fits(folder):
    ages = {"days": 2 * uploads.OLD, "hours": 3 * uploads.YOUNG, "hour": 2 * uploads.YOUNG, "now": 0}
    there = {name: lay(folder, name, 100, age) for name, age in ages.items()}
    assert uploads.clear(folder, most=200) == 200
    assert [name for name, path in there.items() if path.exists()] == ["hour", "now"]
    assert uploads.clear(folder, most=0) == 100 and there["now"].exists(), "what just came is never cleared away"


def test_the_budget_counts_what_lies_there_and_what_is_still_coming(folder):
    waiting = Uploads(folder, budget=1000, spare=0)
    assert waiting.expect(600) == "" and "Too many files" in waiting.expect(600)
    waiting.came(600)
    lay(folder, "came", 600)
    assert "Too many files" in waiting.expect(600) and waiting.expect(400) == ""


def test_room_that_became_free_is_found(folder):
    waiting = Uploads(folder, budget=1000, spare=0)
    waiting.expect(900)
    waiting.came(900)  # and was taken away by gradio since
    assert waiting.expect(900) == ""


def test_what_was_cut_off_goes_once_nothing_else_is_on_its_way(folder):
    waiting = Uploads(folder, budget=1000, spare=0)
    whole, cut = lay(folder, "whole", 300), folder / "tmp1234"
    assert waiting.expect(300) == waiting.expect(200) == ""
    cut.write_bytes(b"x" * 100)
    waiting.came(300)
    assert cut.exists(), "it may be what is still coming"
    waiting.came(200)
    assert not cut.exists() and whole.exists()


def test_the_last_of_the_disk_is_left_to_others(folder):
    assert "nearly full" in Uploads(folder, spare=10**18).expect(1)
