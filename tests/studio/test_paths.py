"""Where the studio folder is, whatever people name, and that its owner alone can look into it."""

import os
import stat
import sys
from pathlib import Path

import pytest

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.studio import menu
from lora_gui.studio.finding import places
from lora_gui.studio.finding.settings_files import is_too_wide, named_in
from lora_gui.studio.paths import FOLDERS, MARK, Studio, home_folder
from lora_gui.studio.tasks import diagnostics, launching
from lora_gui.studio.tasks.run import Run
from lora_gui.ui.server import keys

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
        assert "Set LORA_GUI_HOME to the whole path of a folder" in caught.value.remedy


def test_what_lies_below_a_file_is_said_when_it_is_to_be_made(named, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, where a folder has to be"):
        named("file/studio").prepare()


def test_loras_that_lie_on_a_drive_which_is_not_there_are_said_before_a_training_and_not_behind_it(tmp_path):
    (tmp_path / "loras").symlink_to(tmp_path / "away" / "loras")
    with pytest.raises(UserError, match="loras is a link that leads nowhere") as caught:
        launching.check_disk(Studio(tmp_path), None)
    assert "Connect the drive" in caught.value.remedy


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


def test_a_folder_of_the_studio_that_may_not_be_looked_into_is_said_at_once_and_not_taken_for_empty(named, monkeypatch):
    studio = named("here")
    studio.prepare()
    look = os.scandir

    def scandir(path):
        if path == studio.loras:  # root, who runs tests in containers, may look into any
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="You may not look into .*loras, a folder of your studio. Make it your own"):
        studio.prepare()


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """An account without a home, as a container makes up; and its studio."""
    import pwd

    def unknown(*_):
        raise KeyError("no such user")

    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "CIVITAI_API_KEY", "LORA_GUI_DRIVES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    return Studio(tmp_path / "studio")


@posix
def test_without_a_home_nothing_is_looked_for_there(nobody, monkeypatch):
    assert nobody.prepare() == "" and home_folder() is None
    drives, usual, caches = places.drives(), list(places.usual()), list(places.hub_caches())
    assert not [one for one in (*drives, *usual, *caches) if "~" in str(one)]
    assert not is_too_wide(Path("/mnt/models/a")) and is_too_wide(Path("/mnt"))
    assert named_in(nobody.home / "no.yaml", "x", nobody.home) == []
    assert keys.folder(nobody) == nobody.cache / "keys"
    assert diagnostics.without_private(f"in {nobody.home}", [], Run(nobody.home)) == "in <path>"
    assert civitai_key.read() == "" and not menu.is_to_ask(nobody)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not menu.is_to_ask(nobody)


@posix
def test_without_a_home_what_would_be_put_there_is_said_with_what_to_do(nobody, monkeypatch):
    for ask, remedy in (
        (lambda: civitai_key.keep("abc"), "Set CIVITAI_API_KEY to the key"), (menu.entry, "Set HOME"),
        (menu.remove, "Set HOME"), (lambda: menu.add(nobody), "Set HOME"),
    ):  # fmt: skip
        with pytest.raises(UserError, match="no home folder is known|and none is known") as caught:
            ask()
        assert remedy in caught.value.remedy
    monkeypatch.delenv("LORA_GUI_HOME", raising=False)
    with pytest.raises(UserError) as caught:
        Studio.default()
    assert "Set LORA_GUI_HOME to the whole path of a folder" in caught.value.remedy
