"""Where the studio folder is, whatever people name, and that its owner alone can look into it."""

import os
import stat
from pathlib import Path

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import FOLDERS, MARK, Studio

posix = pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def named(monkeypatch, tmp_path):
    """The studio that a value of LORA_GUI_HOME names; the home and the current folder are folders of the test."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def at(value: str) -> Studio:
        monkeypatch.setenv("LORA_GUI_HOME", value)
        return Studio.default()

    return at


@pytest.mark.parametrize(
    ("value", "folder"),
    [("new", "new"), ("./a b/c", "a b/c"), ("~/x", "home/x"), ("$HOME/x", "home/x"), ('"new"', "new"), (" a ", "a")],
)
def test_a_studio_is_named_the_way_people_write_a_folder(named, tmp_path, value, folder):
    assert named(value).home == tmp_path / folder


@pytest.mark.parametrize("value", ["", "  ", '""'])
def test_an_empty_name_is_none(named, value):
    assert named(value).home.is_absolute() and named(value).home.name


def test_a_file_a_link_to_nowhere_and_an_unknown_user_are_said_with_what_to_do(named, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for value, what in (("file", "is a file"), ("link", "leads nowhere"), ("~nobody-of-this-name/x", "~nobody")):
        with pytest.raises(UserError, match=what) as caught:
            named(value)
        assert "Set LORA_GUI_HOME to a folder" in caught.value.remedy


def test_what_lies_below_a_file_is_said_when_it_is_to_be_made(named, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, where a folder has to be"):
        named("file/studio").prepare()


@posix
@pytest.mark.parametrize("before", [None, 0o755, 0o777, 0o750])
@pytest.mark.parametrize("kept", [(), ("runs", "draft.json")])
def test_a_studio_is_closed_to_others_once_and_left_as_its_owner_wants_it_then(named, before, kept):
    studio = named("studio")
    if before is not None:
        studio.home.mkdir()
        studio.home.chmod(before)
        for name in kept:
            (studio.home / name).mkdir()
    said = studio.prepare()
    assert mode(studio.home) == 0o700 and bool(said) == (before is not None)
    studio.home.chmod(0o750)
    assert studio.prepare() == "" and mode(studio.home) == 0o750


@posix
def test_a_studio_that_is_closer_than_that_is_not_loosened(named):
    studio = named("studio")
    studio.home.mkdir(mode=0o700)
    assert studio.prepare() == "" and mode(studio.home) == 0o700


@posix
def test_in_a_folder_that_holds_other_things_only_what_the_studio_makes_is_closed(named, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine" / "letters").mkdir(mode=0o755)
    studio = named("mine")
    studio.prepare()
    assert mode(studio.home) == mode(studio.home / "letters") == 0o755
    assert {mode(studio.home / name) for name in FOLDERS} == {0o700}


@posix
def test_the_home_folder_itself_is_left_as_it_is(named, tmp_path):
    (tmp_path / "home").chmod(0o755)
    (tmp_path / "home" / "pictures").mkdir(mode=0o755)
    studio = named("~")
    studio.prepare()
    assert mode(studio.home) == mode(studio.pictures) == 0o755 and mode(studio.loras) == 0o700


def test_a_studio_that_is_for_reading_only_is_said_at_once(named, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    studio = named("studio")
    studio.prepare()
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(UserError, match="read-only") as caught:
        studio.prepare()
    assert str(studio.home) in caught.value.what and (studio.home / MARK).is_file()
