"""Grids, strips and LoRAs apart, as the page asks for them: drawn by the real child, stopped, used, opened again."""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from lora_gui.studio import again
from lora_gui.studio.stacks import grid
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.draft import Entry
from lora_gui.ui.generate import axis_words, generate_tab
from tests import making
from tests.studio.library.test_versions import keep
from tests.studio.stacks.conftest import studio  # noqa: F401
from tests.ui.answers import Page

QUICK = {"prompt": "a red fox", "width": 64, "height": 64, "steps": 1, "guidance": 1.0, "seed": 7, "random": False}


@pytest.fixture(scope="module")
def context(studio):  # noqa: F811
    with gr.Blocks():
        found = Context(studio, Drawer(studio))
        yield found
    found.drawer.close()


@pytest.fixture
def page(context):
    with gr.Blocks():
        order = generate_tab._Order(context)
        gallery = generate_tab.Gallery(context, order.remark)
        order.connect(gallery)
    context.drafts.draw.change(lambda _: generate_tab.DrawDraft())
    shown = Page(context, order, order._form)
    shown.view, shown.grids = gallery.sheets, order._grids
    rows = tuple(Entry(True, str(context.studio.loras / f"{name}.safetensors"), 0.8) for name in ("ink", "owl"))
    order._change(lambda draft: generate_tab.replace(draft, stack=rows))
    type_in(shown, **QUICK)
    yield shown
    shown.view._sheets.stop()
    shown.view._sheets.join()


def type_in(page, **changes):
    return page.take(page.setup._edited(SimpleNamespace(changes=changes), page.shown))


def sheet(page):
    """What the page shows of a sheet."""
    told = page.changes.get(page.view._state)
    return json.loads(told) if told else None


def act(page, act, word=""):
    return page.take(page.view._acted(SimpleNamespace(act=act, word=word), page.shown))


def done(page):
    """What is shown once nothing is being drawn any more."""
    page.view._sheets.join()
    page.changes = page.view._look([])
    return sheet(page)


def pixels(path):
    return np.array(Image.open(path))


def test_a_grid_is_drawn_cell_by_cell_and_each_cell_can_be_used_again(page):
    page.take(page.grids._begun(page.shown | {"changes": {"rows_kind": "seed", "rows": "1, 2"}}, page.grids._grid))
    began = sheet(page)
    assert (began["title"], began["rows"], len(began["cells"])) == ("Grid", ["seed 1", "seed 2"], 8)
    shown = done(page)
    assert shown["told"] == "8 drawings" and all(cell["small"] for cell in shown["cells"]) and not shown["draws"]
    assert page.view._look(page.changes[page.view._mark]) == {}, "a page that shows it is told nothing"
    assert "make" in act(page, "use", "5")["notice"]
    draft = page.context.drafts.draw.value
    assert (draft.seed, draft.stack[0].strength) == (2, 0.4)
    for word in ("99", "-1", "x"):
        assert "not there any more" in act(page, "use", word)["notice"]
    act(page, "close")
    assert sheet(page) is None
    assert page.grids._look([]) == {}, "nobody has asked for them yet"
    listed = page.grids._look([""])[page.grids._before]
    assert f'data-sheet="{shown["name"]}"' in listed and "8 of 8" in listed
    page.take(page.grids._opened(SimpleNamespace(sheet=shown["name"]), page.shown))
    assert sheet(page) == shown | {"asked": shown["asked"] + 1}
    assert "not there" in page.take(page.grids._opened(SimpleNamespace(sheet="../.."), page.shown))["notice"]
    mark = page.grids._lists()[page.grids._mark]
    act(page, "delete")
    back = re.search(r'data-act="restore" data-word="([^"]+)"', page.changes[page.view._line])[1]
    assert sheet(page) is None and shown["name"] not in page.grids._look(mark)[page.grids._before]
    act(page, "restore", back)
    assert sheet(page)["name"] == shown["name"] and page.changes[page.view._line] == ""


def test_a_sheet_that_ends_while_a_page_is_told_of_it_is_told_at_the_next_look(page, monkeypatch):
    told = page.view._told

    def late(sheet):
        page.view._sheets.join()  # how it stood was read before
        return told(sheet)

    with monkeypatch.context() as patch:
        patch.setattr(page.view, "_told", late)
        page.take(page.grids._begun(page.shown | {"changes": {"rows_kind": "seed", "rows": "1, 2"}}, page.grids._grid))
    assert sheet(page)["draws"]
    page.changes = page.view._look(page.changes[page.view._mark])
    assert not sheet(page)["draws"]


def test_a_grid_goes_on_while_something_else_is_drawn_and_keeps_what_there_is_when_it_is_stopped(page):
    type_in(page, columns_kind="seed", columns=", ".join(map(str, range(90))))
    page.take(page.grids._begun(page.shown, page.grids._grid))
    assert "Another sheet" in page.take(page.grids._begun(page.shown, page.grids._strip))["notice"]
    page.changes = page.view.aside()
    assert sheet(page) is None and 'data-act="stop"' in page.changes[page.view._line]
    while page.view._sheets.latest.drawn < 3:
        page.view._sheets._thread.join(0.05)
    act(page, "show")
    assert sheet(page)["draws"]
    act(page, "stop")
    shown = done(page)
    count = sum(bool(cell["whole"]) for cell in shown["cells"])
    assert 3 <= count < 90 and shown["told"] == f"{count} of 90 drawn; what is drawn stays."


def test_a_drawing_is_shown_with_each_of_its_loras_alone_and_what_is_kept_is_said(page):
    base, wanted = page.setup.asked()
    drawer = page.context.drawer
    *_, last = drawer.wait(drawer.order(base, wanted))
    (drawing,) = last.drawings
    event = SimpleNamespace(act="apart", name=f"{drawing.parent.name}/{drawing.name}")
    page.take(page.setup._brought._used(event, page.shown))
    shown = done(page)
    assert shown["kind"] == "compare" and shown["columns"] == ["base", "ink", "owl", "ink + owl"]
    assert [words.endswith(".") for words in shown["said"]] == [True, True]
    cells = [drawing for drawing, _ in page.view._sheets.latest.cells]
    assert np.array_equal(pixels(cells[3]), pixels(drawing)), "all together are the drawing itself"
    assert again.read(page.studio, cells[0]).settings.stack == ()
    event.name = "2026-01-01/none.png"
    assert "not there any more" in page.take(page.setup._brought._used(event, page.shown))["notice"]


def test_a_strength_travels_over_a_strip_that_also_moves(page):
    type_in(page, travel_stations=2, travel_last=1.5)
    page.take(page.grids._begun(page.shown, page.grids._strip))
    shown = done(page)
    assert shown["columns"] == ["strength 0", "strength 1.5"] and shown["moving"].endswith(grid.MOVING)
    for changes, words in (({"travel_stations": 2.5}, "whole number"), ({"travel_stations": 1e9}, "2 to 40"),
                           ({"travel_stations": 3, "travel_last": 1e300}, "between -2 and 2")):  # fmt: skip
        type_in(page, **changes)
        assert words in page.take(page.grids._begun(page.shown, page.grids._strip, "travel_plan"))["travel_plan"]


def test_values_are_offered_where_none_of_the_users_own_stand(page):
    assert type_in(page, columns_kind="guidance")["columns"] == "3, 5, 8"
    assert type_in(page, columns_kind="seed")["columns"] == "7, 8, 9, 10"
    assert type_in(page, columns_kind="lora")["columns"] == "none, ink, owl"
    type_in(page, columns="ink, owl")
    assert type_in(page, columns_kind="sampler")["columns"] == "ink, owl", "they were typed"
    assert "10 × 2" not in type_in(page, columns="Euler, Heun")["grid_plan"]
    assert "3 × 2: 6 drawings" in type_in(page, rows_kind="steps")["grid_plan"]
    assert "twice" in type_in(page, rows="1, 1")["grid_plan"]
    many = ", ".join(map(str, range(1, 51)))
    assert "at most 400" in type_in(page, rows=many, columns_kind="seed", columns=many)["grid_plan"]
    type_in(page, columns_kind="sampler")
    assert "Sampler" in page.take(page.grids._begun(page.shown | {"changes": {"rows": "1", "columns": "Magic"}},
                                                    page.grids._grid, "grid_plan"))["grid_plan"]  # fmt: skip
    type_in(page, rows_kind="", columns_kind="")
    told = page.take(page.grids._begun(page.shown, page.grids._grid, "grid_plan"))
    assert "Nothing changes" in told["grid_plan"] and not told["notice"], "it is said once, beside what was pressed"
    assert "Nothing changes" not in type_in(page, prompt="an owl")["grid_plan"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("", "There are no values for strength. Write them one after another, with commas between them."),
        ("abc", "The strength 'abc' is not a number."),
        ("0,5", "Strength can be at most 2. Use 2 instead of 5."),
        ("0, 0.5", "2 drawings."),
    ],
)
def test_what_would_be_refused_is_said_in_place_of_how_many_drawings_it_is(page, values, said):
    told = html.unescape(type_in(page, columns=values)["grid_plan"])
    assert said in told and ("drawing" in told) == ("drawing" in said)


def test_a_value_that_cannot_be_is_not_told_at_the_field_of_its_setting(page):
    type_in(page, rows_kind="seed", rows="1", columns_kind="guidance", columns="99")
    told = page.take(page.grids._begun(page.shown, page.grids._grid))
    assert "Guidance can be at most 30" in told["notice"] and page.wrong == {}
    page.setup._change(lambda draft: generate_tab.replace(draft, stack=()))
    assert ">There is no LoRA whose strength" in type_in(page, columns_kind="strength", columns="0, 1")["grid_plan"]


@pytest.mark.parametrize("kind", [kind for kind in axis_words.TITLES if kind not in ("", "words", "checkpoint")])
def test_what_is_offered_can_be_drawn(page, kind):
    type_in(page, columns_kind="steps" if kind != "steps" else "seed")
    type_in(page, columns_kind=kind)
    axis = axis_words.read(page.context.drafts.draw.value, "columns")
    base, wanted = page.setup.asked()
    assert len(grid.plan(page.studio, base, wanted, columns=axis).cells) == len(axis.values) > 2


def test_the_steps_of_the_versions_that_a_run_left_are_offered_as_checkpoints(page):
    path = making.lora(page.studio, "fox", ss_steps="20")
    run = making.run(page.studio, "fox", path)
    run.summary()
    keep(page.studio, run, 10, 0.25)
    page.setup._change(lambda draft: generate_tab.replace(draft, stack=(Entry(True, str(path), 0.8),)))
    assert type_in(page, columns_kind="checkpoint")["columns"] == "10, 20"
    base, wanted = page.setup.asked()
    planned = grid.plan(page.studio, base, wanted, columns=axis_words.read(page.context.drafts.draw.value, "columns"))
    assert [Path(cell.settings.stack[0].lora).stem for cell in planned.cells] == ["adapter", "fox"]


def test_two_loras_are_drawn_at_several_strengths_each_and_a_cell_sets_both(page):
    type_in(page, **{"strength-1": -0.5})
    together = page.setup._together
    page.take(list(together._pressed(SimpleNamespace(act="strengths", word=""), page.shown))[-1])
    found = done(page)
    assert found["rows"] == ["strength 0.7", "strength 1", "strength 1.3"]
    assert found["columns"] == ["second at -0.7", "second at -1", "second at -1.3"], "it goes on taking away"
    assert found["told"] == "9 drawings"
    act(page, "use", "6")
    assert [entry.strength for entry in page.context.drafts.draw.value.stack] == [1.3, -0.7]
    type_in(page, **{"on-1": False})
    shown = page.take(list(together._pressed(SimpleNamespace(act="strengths", word=""), page.shown))[-1])
    assert "There are not two LoRAs" in shown["notice"]


def test_the_second_strength_of_a_grid_needs_a_second_lora(page):
    told = type_in(page, columns_kind="second", columns="0, 1")["grid_plan"]
    assert "2 drawings." in told and axis_words.HINTS["second"] in told
    assert "There is no second LoRA" in type_in(page, **{"on-1": False})["grid_plan"]
