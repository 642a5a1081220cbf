"""Sheets that are drawn while others look, stopped, and opened again."""

import json
import shutil
from dataclasses import replace

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.library import bin
from lora_gui.studio.stacks import axes, compare, grid
from lora_gui.studio.stacks.sheets import Sheets, before, delete, find, restore
from lora_gui.studio.things import bases
from tests.studio.stacks.test_grid import settings


@pytest.fixture
def sheets(drawer):
    found = Sheets(drawer)
    yield found
    found.stop()
    found.join()


def planned(studio, count, **values):
    axis = axes.read(f"seed:{','.join(map(str, range(count)))}")
    return grid.plan(studio, bases.find(studio, "starter"), settings(studio, "ink", **values), columns=axis)


def test_a_sheet_fills_is_stopped_and_comes_back_as_it_was_left(sheets, studio, monkeypatch):
    seen, draw = [], grid.draw

    def watched(*order):
        for now in draw(*order):
            yield now
            seen.append(sheets.latest.drawn)
            if seen[-1] == 2:
                sheets.stop()

    monkeypatch.setattr(grid, "draw", watched)
    sheets.begin(planned(studio, 9))
    with pytest.raises(UserError, match="Another sheet"):
        sheets.begin(planned(studio, 2))
    sheets.join()
    now = sheets.latest
    assert now.drawn == 2 and not now.goes_on and {0, 1, 2} <= set(seen)
    again = find(studio, now.name)
    assert again == replace(now, step=again.step) and again.columns[:2] == ("seed 0", "seed 1") and again.rows == ("",)
    assert before(studio)[0].name == now.name and again.whole.is_file()
    binned = delete(studio, now.name)
    assert now.name not in [one.name for one in before(studio)] and bin.size(studio) > 0
    with pytest.raises(UserError, match="not there any more"):
        delete(studio, now.name)
    assert restore(studio, binned) == now.name and find(studio, now.name) == again
    with pytest.raises(UserError, match="not in the bin"):
        restore(studio, binned)
    again.cells[1][0].unlink()
    assert find(studio, now.name).drawn == 1
    shutil.rmtree(again.whole.parent)
    with pytest.raises(UserError, match="not there any more"):
        find(studio, now.name)


def test_what_loras_keep_of_themselves_and_what_moves_belong_to_their_sheets(sheets, studio):
    base = bases.find(studio, "starter")
    sheets.begin(compare.plan(studio, base, settings(studio, "ink", "owl")))
    sheets.join()
    assert sheets.latest.kind == "compare" and len(sheets.latest.said) == 2
    assert find(studio, sheets.latest.name).said == sheets.latest.said
    assert sheets.latest.columns == ("base", "ink", "owl", "ink + owl")
    travel = grid.plan(studio, base, settings(studio, "ink"), columns=grid.travel(2))
    sheets.begin(replace(travel, kind="travel"))
    sheets.join()
    assert sheets.latest.moving.is_file() and sheets.latest.drawn == 2


def test_a_cell_that_cannot_be_drawn_says_why_and_the_others_are(sheets, studio):
    broken = planned(studio, 3)
    cell = broken.cells[1]
    gone = cell.settings.stack[0].model_copy(update={"lora": str(studio.loras / "gone.safetensors")})
    spoilt = replace(cell, settings=cell.settings.model_copy(update={"stack": (gone,)}))
    sheets.begin(replace(broken, cells=(broken.cells[0], spoilt, broken.cells[2])))
    sheets.join()
    assert [bool(drawing) for drawing, _ in sheets.latest.cells] == [True, False, True]
    assert "gone" in find(studio, sheets.latest.name).cells[1][1]


SIDE = '{"kind": "seed", "values": ["1", "2"]}'
FEW = f'{{"rows": {SIDE}, "columns": {SIDE}, "cells": [{{"drawing": "a.png", "problem": ""}}]}}'
DAMAGED = ("", "[]", "{}", '{"rows": 1, "columns": 2, "cells": []}', "[" * 100_000, FEW)


@pytest.mark.parametrize("record", DAMAGED)
def test_a_record_that_is_damaged_is_a_sentence_and_passed_over(studio, record):
    folder = studio.drawings / "2026-01-01" / "x-grid"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / grid.RECORD).write_text(record)
    with pytest.raises(UserError, match="not there any more"):
        find(studio, "2026-01-01/x-grid")
    assert all(sheet.name != "2026-01-01/x-grid" for sheet in before(studio))
    for name in ("../..", "2026-01-01", "/etc/passwd"):
        with pytest.raises(UserError):
            find(studio, name)


def test_a_drawing_of_a_record_lies_in_its_folder_whatever_it_says(studio):
    folder = studio.drawings / "2026-01-01" / "y-grid"
    folder.mkdir(parents=True, exist_ok=True)
    one = {"kind": "", "values": [""]}
    told = {"rows": one, "columns": one, "cells": [{"drawing": "../../../secret.png", "problem": ""}]}
    (folder / grid.RECORD).write_text(json.dumps(told))
    (studio.home / "secret.png").write_bytes(b"secret")
    assert find(studio, "2026-01-01/y-grid").cells == ((None, ""),)
