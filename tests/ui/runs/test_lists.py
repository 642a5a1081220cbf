"""The rows of the tab of all runs."""

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.run import Summary
from lora_gui.studio.things.pictures import SetSummary
from lora_gui.ui.context import Context
from lora_gui.ui.runs import lists, runs_tab

FOXES = SetSummary(Path("aset"), "Foxes", 24, 20, 340_000_000, "", ("foxes", "foxes"))
EVIL = "<img src=x onerror=alert(1)> ${alert(1)} {{value}}"


def run(name="foxes", state="finished", step=168, folder="20261128-143200-abcd"):
    return Summary(Path(folder), name, "Style", "Starter", state, step, 168, "/x", 60.0, 0, "")


def test_past_runs_are_buttons_with_how_they_ended():
    shown = lists.past([run(), run("cats", "paused", 1040)])
    assert shown.index("foxes") < shown.index("cats")
    assert "ready, 168 of 168 steps" in shown and "paused, 1,040 of 168 steps" in shown and "Style on Starter" in shown


def test_the_first_that_waits_cannot_come_earlier_nor_the_last_later():
    shown = lists.waiting([run("one"), run("two"), run("three")], held=False)
    assert shown.count('data-act="up"') == shown.count('data-act="down"') == 2 and "let one come earlier" not in shown
    named = re.findall(r'aria-label="([^"]*)">([^<]*)<', shown + lists.sets([FOXES], str))
    assert len(named) == 9 and all(aloud.startswith(words) for aloud, words in named), "called as what is read"
    assert "until you say so" in lists.waiting([run()], held=True) and lists.waiting([], held=True) == ""


@pytest.mark.parametrize(
    "piece",
    [
        lists.past([run(EVIL)]),
        lists.waiting([run(EVIL)], held=True),
        lists.sets([SetSummary(Path(EVIL), EVIL, 1, 1, 1, "", (EVIL,), problem=EVIL)], str),
        lists.differences({"rank": (EVIL, (EVIL,))}, str),
    ],
)
def test_what_strangers_wrote_stays_text(piece):
    assert "<img src=x" not in piece and "${" not in piece and "{{" not in piece


def test_what_deleting_a_set_frees_is_said_beside_the_button_that_does_it():
    shown = lists.sets([FOXES], str)
    assert "24 pictures, 20 captions, used by foxes<" in shown
    unnamed = lists.sets([replace(FOXES, title="24 pictures")], str)
    assert "<span>20 captions, used by foxes<" in unnamed
    assert shown.index("Frees 340 MB") < shown.index('data-act="delete"')


@pytest.mark.parametrize(("size", "words"), [(0, "0.1 MB"), (3_240_000, "3.2 MB"), (34e7, "340 MB"), (2.3e9, "2.3 GB")])
def test_sizes_are_said_as_people_say_them(size, words):
    assert lists.size(size) == words


def test_the_time_in_a_folders_name_is_told_and_a_strange_name_has_none():
    assert ":32" in lists.when("20261128-143200-abcd") and "Nov 2026" in lists.when("20261128-143200-abcd")
    assert lists.when("my run") == ""


def test_what_was_refused_stays_said_when_the_lists_come_anew(tmp_path):
    studio = Studio(tmp_path)
    with gr.Blocks():
        view = runs_tab._Lists(Context(studio, Drawer(studio)))
    anew = view._look({"mark": "older"})
    assert view._runs in anew and view._notice not in anew
