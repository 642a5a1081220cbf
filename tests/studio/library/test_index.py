"""The index: what was read is not read again, and whatever becomes of its file, the answers are right."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from lora_gui.studio.library import index


def asked(studio, states, seconds=None):
    """What is told of the files, how many are left, and which were read for it."""
    read = []

    def tell(name):
        read.append(name)
        return {"is": name}

    told, left = index.told_of(studio, "thing", states, tell, seconds)
    return told, left, read


STATES = {f"thing-{n}": "1" for n in range(5)}
TOLD = {name: {"is": name} for name in STATES}


def test_only_what_is_new_or_changed_is_read_and_what_is_gone_is_forgotten(studio):
    assert asked(studio, STATES) == (TOLD, 0, [*STATES])
    assert asked(studio, STATES) == (TOLD, 0, [])
    assert asked(studio, STATES | {"thing-3": "2"}) == (TOLD, 0, ["thing-3"])
    few = {"thing-1": "1"}
    assert asked(studio, few) == ({"thing-1": TOLD["thing-1"]}, 0, [])
    assert asked(studio, STATES)[2] == ["thing-0", "thing-2", "thing-3", "thing-4"]


def test_a_name_that_is_not_in_utf_8_is_told_of_and_read_each_time(studio):
    odd = {"caf\udce9": "1"}
    assert asked(studio, odd | STATES)[1:] == (0, [*odd, *STATES])
    assert asked(studio, odd | STATES)[1:] == (0, [*odd])


def test_what_there_is_no_time_for_is_counted_and_read_the_next_time(studio):
    told, left, read = asked(studio, STATES, seconds=0)
    assert (told, left, read) == ({}, 5, [])
    assert asked(studio, STATES)[:2] == (TOLD, 0)


def test_what_could_not_be_told_is_asked_again(studio):
    assert index.told_of(studio, "thing", STATES, lambda name: None) == ({}, 0)
    assert asked(studio, STATES)[2] == [*STATES]


def foreign(path):
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("CREATE TABLE seen (other TEXT)")


def older(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("UPDATE made_by SET version = '0.0.1 0'")
        base.execute("UPDATE seen SET told = '{\"is\": \"old\"}'")


def broken_within(path):
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


def no_json(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute("UPDATE seen SET told = 'x'")


DAMAGES = {
    "no index": lambda path: path.write_bytes(b"nonsense" * 1000),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "broken within": broken_within,
    "foreign": foreign,
    "older": older,
    "no JSON": no_json,
    "gone": lambda path: path.unlink(),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_index_that_is_damaged_foreign_or_old_is_made_anew(studio, damage, tell):
    tell("An index that is damaged, foreign or old", 1)
    asked(studio, STATES)
    DAMAGES[damage](studio.cache / index.FILE)
    assert asked(studio, STATES)[:2] == (TOLD, 0)
    assert asked(studio, STATES) == (TOLD, 0, [])  # and it is whole again
    # Windows would not delete one that is open
    assert index.FILE not in {Path(one.path).name for one in psutil.Process().open_files()}


def test_where_no_index_can_be_written_everything_is_read_each_time(studio):
    studio.cache.parent.mkdir(exist_ok=True)
    studio.cache.write_text("a file in the place of the folder")
    for _ in range(2):
        assert asked(studio, STATES) == (TOLD, 0, [*STATES])


def test_two_windows_at_once_get_the_same_and_neither_waits_for_long(studio, tell):
    row = tell("Windows that open one library at once")
    with ThreadPoolExecutor(8) as windows:
        for found in windows.map(lambda n: asked(studio, STATES | {"thing-0": str(n)}), range(40)):
            with row:
                assert found[:2] == (TOLD, 0)


def test_a_window_that_holds_the_index_for_long_stops_no_other(studio, monkeypatch):
    asked(studio, STATES)
    monkeypatch.setattr(index, "_WAIT", 0.05)
    holder = sqlite3.connect(studio.cache / index.FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert asked(studio, STATES | {"new": "1"})[0] == TOLD | {"new": {"is": "new"}}
    holder.execute("ROLLBACK")
    holder.close()
    assert asked(studio, STATES) == (TOLD, 0, [])  # it was not thrown away
