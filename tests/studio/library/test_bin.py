"""The bin holds what each tab deletes; all of it is told by its kind, and can be put back where it was."""

import json

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.library import bin, history, notes
from lora_gui.studio.stacks import grid, sheets
from tests import making


def a_sheet(studio, prompt="an owl"):
    """The name of a sheet with one drawing."""
    folder = studio.drawings / "2026-01-02" / "20260102-101010-0000-grid"
    folder.mkdir(parents=True)
    one = {"kind": "", "values": [""]}
    cells = [{"drawing": "a.png", "problem": ""}]
    (folder / grid.RECORD).write_text(json.dumps({"prompt": prompt, "rows": one, "columns": one, "cells": cells}))
    (folder / "a.png").write_bytes(b"drawing")
    return f"2026-01-02/{folder.name}"


def test_drawings_and_sheets_are_told_by_their_prompts_and_put_back_where_they_were(studio):
    drawing, sheet = making.drawing(studio, "a", "fox"), a_sheet(studio)
    lora = making.lora(studio, "fox")
    history.delete(studio, "2026-01-01/a.png")
    sheets.delete(studio, sheet)
    bin.delete(studio, lora)
    assert not drawing.exists() and not (studio.drawings / sheet).exists()
    there = bin.everything(studio)
    assert [(one.kind, one.name) for one in there] == [("LoRA", "fox"), ("sheet", "an owl"), ("drawing", "a fox")]
    assert bin.everything(studio) == there, "the prompts are known from the index"
    for one in there:
        found = bin.find(studio, one.folder.name, bin.KINDS)
        assert bin.restore(studio, found) in (lora, studio.drawings / sheet, drawing)
    assert lora.is_file() and drawing.is_file() and sheets.find(studio, sheet).drawn == 1
    assert not any(studio.bin.iterdir())
    assert [one.path for one in bin.binned(studio)] == []


def test_a_lora_is_looked_for_among_loras_alone_unless_all_kinds_are_asked_for(studio):
    making.drawing(studio, "a")
    name = history.delete(studio, "2026-01-01/a.png")
    with pytest.raises(UserError, match="There is no"):
        bin.find(studio, name)
    assert bin.find(studio, name, bin.KINDS).kind == bin.DRAWING


def test_what_nobody_knows_counts_too_and_a_record_that_is_damaged_hides_nothing(studio):
    (studio.bin / "1").mkdir(parents=True)
    (studio.bin / "1" / "left.txt").write_bytes(b"1234")
    sheet = a_sheet(studio)
    sheets.delete(studio, sheet)
    next(studio.bin.rglob(grid.RECORD)).write_bytes(b"[")
    there = {one.kind: one for one in bin.everything(studio)}
    assert there[bin.OTHER].size == 4 and "2026-01-02" in there[bin.SHEET].name
    assert bin.empty(studio) > 4 and bin.everything(studio) == []


@pytest.mark.parametrize("beside", [True, False])
def test_a_lora_called_notes_comes_back_with_its_notes_and_what_lay_beside_it(studio, beside):
    lora, text = making.lora(studio, "notes"), lora_text(studio)
    if beside:
        text.write_text('{"of": "another program"}')
    notes.change(studio, "notes", text="mine")
    gone = bin.delete(studio, lora)
    assert bin.restore(studio, bin.find(studio, "notes")) == lora and lora.is_file()
    assert text.is_file() is beside and (not beside or "another" in text.read_text())
    assert notes.of(studio, "notes").text == "mine" and not gone.folder.exists()


def lora_text(studio):
    """What another program puts beside a LoRA called notes."""
    return studio.loras / "notes.json"


def test_notes_that_an_earlier_version_put_into_the_bin_come_back(studio):
    lora = making.lora(studio, "fox")
    notes.change(studio, "fox", text="mine")
    gone = bin.delete(studio, lora)
    (gone.folder / ".notes").rename(gone.folder / "notes.json")
    bin.restore(studio, bin.find(studio, "fox"))
    assert notes.of(studio, "fox").text == "mine" and not gone.folder.exists()
