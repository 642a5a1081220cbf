"""Run folders that came from somebody else: whatever they say or hold, nothing is written outside of the studio."""

import json
import os
import shutil

import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import keeping, process, queue, runs
from lora_gui.studio.tasks.run import queued
from lora_gui.studio.things.names import check_name, safe_name
from tests.studio.tasks.test_resume import ended
from tests.studio.tasks.test_runs import UNRULY, job

PATHS = ("../loras/mine", "../../elsewhere/y", "a/b", "/etc/x", "..", ".", ".hidden", "", "a\\b", "..\\a", "C:evil",
         "a:b", "\\\\server\\share", "a\0b", "a\nb", "x" * 61)  # fmt: skip
ON_WINDOWS = ("con", "aux.old", "com1", "lpt9.x", "nul", "mine.", "mine ", " mine", "a..b")
OTHERWISE = ("Mine", "mïne", "a b", "com¹", "*", "a?", "<a>", 'a"', "a|b", "~", "$HOME", "%TEMP%", "a;b")
WRITTEN = ("job.json", "events.jsonl", "log.txt", "child.json", "task.lock", "beat.json", "result.json", "stop",
           "pause", "seen", "samples", "samples/base-0.png",
           "checkpoints", "checkpoints/ckpt-000003", "checkpoints/damaged",
           "checkpoints/ckpt-000003/adapter.safetensors", "anything")  # fmt: skip

needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    found = Studio(tmp_path / "studio")
    found.loras.mkdir(parents=True)
    yield found
    for run in runs.all_runs(found):  # a test that failed may leave a child
        if beat := run.beat():
            process.kill(beat[0])


def everything(folder):
    """Every file of a folder with its bytes, and every other thing in it."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def says(run, **said):
    job = files.read_json(run.files.job)
    run.files.job.write_text(json.dumps(job | said))
    return run


@pytest.mark.parametrize("name", [*PATHS, *ON_WINDOWS, *OTHERWISE])
def test_a_job_whose_loras_name_is_not_one_of_ours_is_damaged_for_parent_and_child(studio, name):
    run = says(ended(studio, events.Paused(3)), name=name)
    for read in (lambda: run.job, lambda: TaskFolder(run.folder).read_job()):
        with pytest.raises(UserError, match="is damaged"):
            read()
    for act in (runs.resume, runs.stop):
        with pytest.raises(UserError, match="is damaged"):
            act(studio, run)
    assert run.summary().name == run.folder.name


def test_every_name_that_we_give_is_one_that_a_job_may_have(studio):
    for typed in ("Ünïcode näme", "a.b", "-x-", "a_b", "x" * 60, "comet", "con-lora", "nul0"):
        assert job(studio, typed).name == check_name(typed)
    for text in (*PATHS, *ON_WINDOWS, *OTHERWISE):
        assert job(studio, safe_name(text)).name == safe_name(text)
    for device in ("com¹", "COM¹.txt", "Con", "aux .x"):
        with pytest.raises(UserError, match="Windows keeps"):
            check_name(device)


@pytest.mark.parametrize("name", [*PATHS[:-2], "...", "a/../b"])
def test_no_free_name_leads_out_of_its_folder(tmp_path, name):
    if name not in (".hidden", "a\nb"):
        with pytest.raises(UserError, match="looks like a path"):
            files.free_name(tmp_path, name, ".safetensors")


PLACES = ("{outside}", "../../outside", "runs", "pictures", ".", "", "C:\\evil", "~", "loras/../..")


@pytest.mark.parametrize("place", PLACES)
def test_what_a_run_publishes_and_keeps_goes_into_this_studios_own_folders(studio, tmp_path, place):
    place = place.replace("{outside}", str(tmp_path / "outside"))
    run = says(ended(studio, events.Paused(3)), publish_to=place, cache=place)
    assert (run.job.publish_to, run.job.cache) == (str(studio.loras), str(studio.cache))


@pytest.mark.parametrize("inside", [True, False])
def test_a_run_learns_from_pictures_of_this_studio_alone(studio, tmp_path, inside):
    run = ended(studio, events.Paused(3))
    for home in (studio.pictures, tmp_path / "outside"):
        home.mkdir(exist_ok=True)
        (home / "0001.png").write_bytes(b"")
    path = studio.pictures / "0001.png" if inside else tmp_path / "outside" / "0001.png"
    if os.name != "nt":
        (studio.pictures / "link.png").symlink_to(path)
        path = studio.pictures / "link.png"
    says(run, pictures=[{"path": str(path)}])
    files.write_json(run.files.started, {"job": files.sha256(run.files.job)})
    if inside:
        runs.stop(studio, runs.resume(studio, run))
    else:
        with pytest.raises(UserError, match="outside of your studio"):
            runs.resume(studio, run)


@needs_links
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("to", ["a file", "a folder", "nothing", "a pipe"])
def test_a_run_whose_folder_leads_elsewhere_is_never_gone_on_with(studio, tmp_path, name, to):
    run, outside = ended(studio, events.Paused(3)), tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(run.files.job.read_bytes() if name == "job.json" else b"mine")
    path = run.folder / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    if to == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"a file": outside / "file", "a folder": outside, "nothing": outside / "new"}[to])
    before = everything(outside)
    (studio.runs / "queue.json").write_text(json.dumps({"order": [run.folder.name]}))
    queue.advance(studio)
    for act in (runs.resume, runs.stop, runs.pause, keeping.newest):
        try:
            act(studio, run)
        except UserError as error:
            assert error.what and error.remedy
    assert everything(outside) == before and not run.lives()


@needs_links
def test_a_link_in_place_of_a_run_is_never_gone_on_with(studio, tmp_path):
    run = ended(studio, events.Paused(3))
    shutil.move(str(run.folder), str(tmp_path / "elsewhere"))
    run.folder.symlink_to(tmp_path / "elsewhere")
    before = everything(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link"):
        runs.resume(studio, run)
    assert everything(tmp_path / "elsewhere") == before


@needs_links
def test_a_studio_whose_folders_are_links_goes_on_where_they_lead(tmp_path, monkeypatch):
    """As people do whose disk is small; only what came with a run may not lead elsewhere."""
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    studio = Studio(tmp_path / "studio")
    for home in (studio.runs, studio.loras, studio.pictures, studio.cache):
        (tmp_path / "large disk" / f"my {home.name}").mkdir(parents=True)
        studio.home.mkdir(exist_ok=True)
        home.symlink_to(tmp_path / "large disk" / f"my {home.name}")
    run = ended(studio, events.Paused(3))
    (studio.pictures / "0001.png").write_bytes(b"")
    run.files.write_job(says(run, pictures=[{"path": str((studio.pictures / "0001.png").resolve())}]).job)
    assert run.job.publish_to == str(studio.loras)
    runs.resume(studio, run)
    runs.stop(studio, run)
    list(run.wait())
    assert run.status().state == "stopped"


def test_a_queue_that_names_the_studio_itself_names_nothing(studio):
    studio.runs.mkdir()
    (studio.home / "job.json").write_text("{}")
    (studio.runs / "queue.json").write_text(json.dumps({"order": ["..", ".", "", "../x", "/", 5, None, "a/..", "x\0"]}))
    assert queued(studio.runs) == ["x\0"] and queue.waiting(studio) == []
    with pytest.raises(UserError, match="does not wait"):
        queue.remove(studio, runs.Run(studio.runs / ".."))
    assert studio.loras.is_dir()
