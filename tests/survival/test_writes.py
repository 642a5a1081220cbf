"""The k-th act upon the disk fails, for every k and every error a disk knows, or the process dies at it."""

import errno
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from lora_gui import files
from lora_gui.engine.train import checkpoint
from lora_gui.errors import UserError
from lora_gui.formats.lora_file import Layer

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EMFILE]
WAYS = len(ERRORS) + 1  # and the death of the process
NOBODY = 2**22 + 1  # no process has this number


class DiedError(BaseException):
    """The process ends here: nothing after it may run, as far as a test can have it so."""


def fail_at(monkeypatch, k, error):
    """The k-th act from now on fails with `error`, None for death; returns how often an act was counted."""
    acts = []

    def about_to(act, path):
        acts.append((act, path.name))
        if len(acts) == k:
            raise DiedError if error is None else OSError(error, "refused by the test", str(path))
        if len(acts) > k and error is None:
            raise DiedError  # a dead process does nothing more

    monkeypatch.setattr(files, "about_to", about_to)
    return acts


@pytest.fixture
def disk(tmp_path):
    """A folder in memory where there is one: flushing to it a thousand times takes no time."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)


def every_act(monkeypatch, disk, prepare, work, whole):
    """`work` with every act failing in every way; `whole` checks the folder after each. Returns tried and held."""
    tried = held = 0
    template = disk / "template"
    prepare(template)
    for error in (*ERRORS, None):  # None: the process dies
        for k in itertools.count(1):
            folder = disk / "case"
            shutil.copytree(template, folder)
            acts = fail_at(monkeypatch, k, error)
            try:
                work(folder)
            except UserError as said:
                assert "could not be saved" in said.what
            except DiedError:
                pass
            monkeypatch.undo()
            if len(acts) < k:
                shutil.rmtree(folder)
                break
            tried += 1
            held += bool(whole(folder))
            shutil.rmtree(folder)
    assert tried >= 5 * WAYS
    return tried, held


def sweep_later(monkeypatch, folder):
    """As the next process does, which may have the number of this one."""
    with monkeypatch.context() as later:
        later.setattr(files, "_SELF", "ffffffff")
        files.sweep(folder)


def optimizer():
    weight = torch.nn.Parameter(torch.ones(3))
    made = torch.optim.AdamW([weight])
    weight.sum().backward()
    made.step()
    return made


def save(folder, step):
    layers = {"unet.mid_block.to_q": Layer(torch.full((2, 4), float(step)), torch.ones(4, 2), 1.5)}
    state = checkpoint.copied(step, layers, {}, optimizer(), {"scaler": {}})
    return checkpoint.save(folder / "checkpoints", state)


def test_a_checkpoint_is_whole_or_the_one_before_is_used(monkeypatch, disk, tell):
    def prepare(folder):
        save(folder, 2)
        save(folder, 4)

    def whole(folder):
        found, sentences = checkpoint.newest(folder / "checkpoints")
        if found is None or found.step not in (4, 6) or sentences:
            return False
        save(folder, 6)  # and once the disk is well again, it goes on
        left = sorted((folder / "checkpoints").iterdir())
        names = {one.name for one in left[0].iterdir()}
        return (
            [one.name for one in left] == ["ckpt-000002", "ckpt-000004", "ckpt-000006"]
            and names == {"adapter.safetensors", "MANIFEST.json"}  # of the oldest, the LoRA alone
            and all(map(checkpoint.is_whole, left))
            and checkpoint.newest(folder / "checkpoints")[0].step == 6
        )

    found = every_act(monkeypatch, disk, prepare, lambda folder: save(folder, 6), whole)
    tell(f"{WAYS} ways to fail at every act of saving a checkpoint").add(*found)


def test_a_damaged_checkpoint_is_set_aside_or_stays(monkeypatch, disk, tell):
    def prepare(folder):
        save(folder, 2)
        path = save(folder, 4).folder / "state.json"
        path.write_bytes(path.read_bytes()[:-1])
        (folder / "checkpoints" / "ckpt-000006.tmp").mkdir()
        (folder / "checkpoints" / f".state.json.{NOBODY}-0123abcd.part").touch()

    def whole(folder):
        found, _ = checkpoint.newest(folder / "checkpoints")
        strays = [path.name for path in (folder / "checkpoints").glob("*.tmp")]
        return found is not None and found.step == 2 and not strays

    found = every_act(monkeypatch, disk, prepare, lambda folder: checkpoint.newest(folder / "checkpoints"), whole)
    tell(f"{WAYS} ways to fail at every act of setting a damaged checkpoint aside").add(*found)


@pytest.mark.parametrize("write", ["write", "copy", "json"])
def test_a_file_is_the_old_one_or_the_new_one(monkeypatch, disk, write, tell):
    def prepare(folder):
        folder.mkdir()
        (folder / "new").write_bytes(b'"new"')
        (folder / "target").write_bytes(b'"old"')

    def work(folder):
        target = folder / "target"
        {
            "write": lambda: files.write_bytes(target, b'"new"'),
            "copy": lambda: files.copy(folder / "new", target),
            "json": lambda: files.write_json(target, "new"),
        }[write]()

    def whole(folder):
        sweep_later(monkeypatch, folder)
        strays = [path.name for path in folder.glob(".*")]
        return not strays and (folder / "target").read_bytes() in (b'"old"', b'"new"')

    tell(f"{WAYS} ways to fail at every act of a {write}").add(*every_act(monkeypatch, disk, prepare, work, whole))


def test_the_order_of_acts_is_write_flush_rename_flush(monkeypatch, tmp_path):
    acts = fail_at(monkeypatch, -1, errno.EIO)
    files.write_bytes(tmp_path / "a" / "b", b"x")
    assert [act for act, _ in acts] == ["make", "sync", "open", "write", "sync", "rename", "sync"]


def test_half_a_line_at_the_end_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntw")
    files.append_line(path, "three")
    files.append_line(path, "four")
    assert path.read_bytes() == b"one\ntw\nthree\nfour\n"


def test_a_sweep_leaves_alone_what_a_living_process_is_writing(tmp_path):
    for folder in ("deleted", "living"):
        (tmp_path / f".x.{1 if folder == 'living' else NOBODY}-0123abcd.gone").mkdir()
    (tmp_path / ".fox.safetensors.1-0123abcd.part").touch()  # process 1 lives as long as the system
    (tmp_path / f".fox.safetensors.{NOBODY}-0123abcd.part").touch()
    files.sweep(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".fox.safetensors.1-0123abcd.part", ".x.1-0123abcd.gone"]


def test_a_sweep_leaves_alone_what_this_process_is_making_and_takes_what_a_former_one_of_its_number_left(tmp_path):
    mine = files.half_made(tmp_path / "new")
    mine.mkdir()
    (tmp_path / f".old.{os.getpid()}-0123abcd.tmp").mkdir()  # in a container every program has the same number
    (tmp_path / f".older.{os.getpid()}-0123abcd4567cdef.tmp").mkdir()
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]
    files.sweep(tmp_path, alone=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.tmp", "x.gone.tmp", ".x.tmp", ".fox.part", ".fox.1.part", "x.1-0123abcd.gone"])
def test_a_sweep_deletes_nothing_that_a_user_may_have_called_so(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.safetensors").write_bytes(b"mine")
    (tmp_path / "a file").mkdir()
    (tmp_path / "a file" / name).write_bytes(b"mine")
    for folder in (tmp_path, tmp_path / "a file"):
        files.sweep(folder)
        files.sweep(folder)
    assert (tmp_path / name / "mine.safetensors").read_bytes() == (tmp_path / "a file" / name).read_bytes() == b"mine"


def test_what_older_versions_left_is_swept_only_where_nobody_else_writes(tmp_path):
    (tmp_path / "ckpt-000006.tmp").mkdir()
    (tmp_path / "ckpt-000006.gone.tmp").mkdir()
    files.sweep(tmp_path, alone=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_taken_away_halfway_is_swept_by_the_next(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").touch()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # the process dies here
    files.remove_folder(tmp_path / "old")
    (left,) = tmp_path.iterdir()
    monkeypatch.undo()
    assert left.name.startswith(".old.") and left.name.endswith(".gone") and (left / "file").exists()
    sweep_later(monkeypatch, tmp_path)
    assert not list(tmp_path.iterdir())


ACTS = {
    "touch": lambda path: files.touch(path),
    "stream": lambda path: files.open_stream(path).close(),
    "private folder": lambda path: files.make_private_folder(path),
    "folder": lambda path: files.make_folder(path),
    "line": lambda path: files.append_line(path, "x"),
    "json": lambda path: files.write_json(path, 1),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_disk_without_room_for_a_name_or_for_reading_only_is_a_sentence(monkeypatch, tmp_path, act, error):
    def refuse(*_, **__):
        raise OSError(error, "refused by the test")

    (tmp_path / "studio").mkdir()
    for name in ("mkdir", "touch", "open"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr("builtins.open", refuse)
    try:
        with pytest.raises(UserError, match="could not be saved") as caught:
            ACTS[act](tmp_path / "studio" / "new" / "thing")
    finally:
        monkeypatch.undo()
    assert isinstance(caught.value, files.DiskFullError) == (error == errno.ENOSPC)


def test_only_small_regular_files_are_read(tmp_path):
    (tmp_path / "large").write_bytes(b"[" + b" " * files.SMALL + b"]")
    (tmp_path / "deep").write_text("[" * 200_000)
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    (tmp_path / "fine").write_text('{"a": [1]}')
    (tmp_path / "folder").mkdir()
    names = ["large", "deep", "odd", "folder", "gone", "x" * 300, "nul\0"]
    if hasattr(os, "mkfifo"):  # a reader of either would wait for ever
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "endless").symlink_to("/dev/zero")
        names += ["pipe", "endless"]
    assert [files.read_json(tmp_path / name) for name in names] == [None] * len(names)
    assert files.read_json(tmp_path / "fine") == {"a": [1]}
    assert files.read_json(tmp_path / "large", most=2 * files.SMALL) == []


def test_folders_without_a_name_of_their_own_are_made_as_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (Path(), Path(tmp_path.anchor)):
        files.make_folder(place)  # as `--out .` names it
