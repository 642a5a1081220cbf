"""Drives as people have them: without flush, without locks, read-only, full of names; each works or is a sentence."""

import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.protocol import lock
from lora_gui.protocol.lock import Lock, is_held
from lora_gui.protocol.task_folder import TaskFolder

ROOT = Path(__file__).parent.parent
UNKNOWN = ("EINVAL", "ENOTSUP", "ENOSYS", "ENOLCK")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows flushes and locks by other calls")
# Refuses every lock within the folder argv[1], as its drive would; then holds argv[2] until it is killed.
HOLDER = """
import errno, fcntl, os, sys
flock = fcntl.flock
def refuse(handle, how):
    if os.readlink(f"/proc/self/fd/{handle}").startswith(sys.argv[1]):
        raise OSError(getattr(errno, sys.argv[3]), "refused")
    return flock(handle, how)
fcntl.flock = refuse
from pathlib import Path
from lora_gui.protocol.lock import Lock
lock = Lock(Path(sys.argv[2])); print(lock.hold(), flush=True); sys.stdin.read()
"""


def refusing(monkeypatch, module, name, code, within=""):
    """Let a call on a file or folder within a folder fail in this way."""
    real = getattr(module, name)

    def call(handle, *how):
        if os.readlink(f"/proc/self/fd/{handle}").startswith(str(within)):
            raise OSError(code, os.strerror(code))
        return real(handle, *how)

    monkeypatch.setattr(module, name, call)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing tells whose handle it is")


@needs_proc
@pytest.mark.parametrize("code", UNKNOWN)
def test_what_cannot_be_flushed_is_written_all_the_same(monkeypatch, tmp_path, code):
    refusing(monkeypatch, os, "fsync", getattr(errno, code))
    path = tmp_path / "new" / "deeper" / "file.json"
    files.write_json(path, [1])
    files.append_line(tmp_path / "lines", "one")
    files.copy(path, tmp_path / "copy")
    files.sync_files(tmp_path)
    files.move(path, tmp_path / "moved")
    assert files.read_json(tmp_path / "moved") == files.read_json(tmp_path / "copy") == [1]


@needs_proc
def test_a_failure_of_the_disk_at_a_flush_is_said(monkeypatch, tmp_path):
    refusing(monkeypatch, os, "fsync", errno.EIO)
    with pytest.raises(UserError, match="could not be saved"):
        files.write_json(tmp_path / "file.json", [1])
    assert not (tmp_path / "file.json").exists()


@pytest.mark.parametrize("knows", [True, False])
def test_on_a_mac_what_is_flushed_leaves_the_drives_own_memory_too_where_it_can(monkeypatch, tmp_path, knows):
    fcntl, calls = pytest.importorskip("fcntl"), []

    def control(handle, command):
        calls.append(command)
        if not knows:
            raise OSError(errno.ENOTSUP, "as a network drive says")

    monkeypatch.setattr(drive, "_FULLY", "full")
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("fsync"))
    with (tmp_path / "file").open("wb") as file:
        drive.flush(file.fileno())
    assert calls == ["full"] + ["fsync"] * (not knows)


@needs_proc
@pytest.mark.parametrize("code", UNKNOWN)
def test_where_a_drive_cannot_lock_the_processes_of_one_computer_are_kept_apart_all_the_same(
    monkeypatch, tmp_path, code
):
    import fcntl

    studio = (tmp_path / "studio").resolve()
    studio.mkdir()
    refusing(monkeypatch, fcntl, "flock", getattr(errno, code), studio)
    path = studio / "a.lock"
    assert not is_held(path)
    command = [sys.executable, "-c", HOLDER, str(studio), str(path), code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "True\n"
        assert is_held(path) and not Lock(path).hold() and not is_held(studio / "another.lock")
        other.send_signal(signal.SIGKILL)
    assert not is_held(path)
    with (mine := Lock(path)):
        assert is_held(path)
    assert not is_held(path) and mine.hold()
    mine.release()


@pytest.mark.parametrize("code", UNKNOWN)
def test_where_nothing_can_be_locked_the_drive_is_named_with_what_to_do(monkeypatch, tmp_path, code):
    import fcntl

    def refuse(*_):
        raise OSError(getattr(errno, code), "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError) as caught:
        Lock(tmp_path / "a.lock").hold()
    assert str(tmp_path) in caught.value.what and "LORA_GUI_HOME" in caught.value.remedy
    assert not is_held(tmp_path / "a.lock")


@needs_proc
def test_who_waits_for_a_lock_is_told_who_has_it_or_that_the_drive_refuses(monkeypatch, tmp_path):
    import fcntl

    path, otherwise = tmp_path / "new" / "a.lock", "Another window has it."
    with Lock(path).alone(0, otherwise), pytest.raises(UserError, match=otherwise), Lock(path).alone(0, otherwise):
        raise AssertionError("two have it")
    with Lock(path).alone(0, otherwise):
        assert is_held(path)
    assert not is_held(path)
    refusing(monkeypatch, fcntl, "flock", errno.EIO, tmp_path)
    with pytest.raises(UserError, match="new could not be saved"), Lock(path).alone(0, otherwise):
        raise AssertionError("nobody has it")


def test_the_folder_of_locks_is_taken_from_nobody_else(monkeypatch, tmp_path):
    monkeypatch.setattr(lock.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / f"lora-studio-locks-{os.getuid()}").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="somebody else"):
        lock._stand_in(tmp_path / "a.lock")


@pytest.mark.parametrize(
    ("code", "what", "remedy"),
    [
        ("EROFS", "the drive of {} is read-only", "LORA_GUI_HOME"),
        ("EACCES", "you may not write to {}", "LORA_GUI_HOME"),
        ("ENOTDIR", "{}/file is a file", "Move it away"),
        ("EEXIST", "{}/file is a file", "Move it away"),
        ("ENAMETOOLONG", "its name, or that of its folder, is too long", "Choose a shorter one"),
        ("EIO", "(refused)", "{}"),
        ("ENOSPC", "The disk is full", "Make some space"),
    ],
)
def test_why_a_drive_refuses_is_said_with_what_to_do(tmp_path, code, what, remedy):
    (tmp_path / "file").touch()
    said = drive.refused(tmp_path / "file", OSError(getattr(errno, code), "refused"))
    assert what.format(tmp_path) in said.what and remedy.format(tmp_path) in said.remedy


class NoSuchPath(OSError):
    winerror = 3  # as Windows has it


class InUse(OSError):
    winerror = 32


@pytest.mark.parametrize("name", ["n" * 256, "folder/" * 40 + "file"])
def test_what_windows_says_of_a_path_that_is_too_long_is_said_as_that(tmp_path, name):
    assert "too long" in drive.refused(tmp_path / name, NoSuchPath(errno.ENOENT, "not found")).what
    assert "too long" not in drive.refused(Path("/short/file"), NoSuchPath(errno.ENOENT, "not found")).what


@pytest.mark.parametrize(("busy", "held"), [(3, False), (99, True)])
def test_a_file_that_another_program_holds_is_tried_again_and_then_said_to_be_open(monkeypatch, tmp_path, busy, held):
    """Windows renames and deletes none; a scanner of viruses lets go in a moment."""
    path, real, left = tmp_path / "fox", Path.unlink, [busy]

    def unlink(self, missing_ok=False):
        left[0] -= 1
        if left[0] >= 0:
            raise InUse(errno.EACCES, "in use")
        real(self, missing_ok)

    path.touch()
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    if held:
        with pytest.raises(UserError, match="fox is open in another program"):
            files.remove(path)
    else:
        files.remove(path)
    monkeypatch.undo()
    assert path.exists() == held


@pytest.mark.parametrize("inside", ["", "/README.md"])
def test_what_is_half_made_is_told_by_the_name_that_it_is_to_have(tmp_path, inside):
    half = files.half_made(tmp_path / "my.fox")
    said = drive.refused(Path(f"{half}{inside}"), OSError(errno.EROFS, "refused"))
    name, folder = ("README.md", tmp_path / "my.fox") if inside else ("my.fox", tmp_path)
    assert said.what == f"{name} could not be saved: the drive of {folder} is read-only."


def test_a_disk_on_which_no_more_files_fit_is_not_called_full_of_bytes(monkeypatch, tmp_path):
    disk = types.SimpleNamespace(f_files=100, f_favail=0, f_bavail=1_000_000)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    said = drive.refused(tmp_path / "new" / "stop", OSError(errno.ENOSPC, "refused"))
    assert isinstance(said, files.DiskFullError)
    assert "no room for one more file" in said.what and "Delete files" in said.remedy


def test_a_drive_that_keeps_no_modes_is_no_hindrance(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(Path, "chmod", refuse)
    files.make_private_folder(tmp_path / "cache")
    assert (tmp_path / "cache").is_dir()


def test_who_looks_at_what_a_task_is_asked_looks_again_where_a_drive_is_away_for_a_moment(monkeypatch, tmp_path):
    def away(*_, **__):
        raise OSError(errno.EIO, "away")

    monkeypatch.setattr(os, "stat", away)
    assert TaskFolder(tmp_path).asked() == ""


def test_a_name_is_taken_however_its_capitals_and_accents_are_written(tmp_path):
    (tmp_path / "Re\u0301.TXT").touch()
    assert drive.free_stem(tmp_path, "r\xe9", [".txt"]) == "r\xe9-2"
