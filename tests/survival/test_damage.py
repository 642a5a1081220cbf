"""Every file of a studio is cut short and has a bit turned over: it is found, said, and the run goes on."""

import json
import os
import random
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from lora_gui import files
from lora_gui.engine.train import cache, checkpoint
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.task_folder import Reached, TaskFolder
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity.estimate import estimate
from lora_gui.studio.library import scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.diagnostics import report
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import bases, pictures
from lora_gui.studio.verify import verify
from tests import tiny

FAMILY = tiny.QuickStableDiffusion1()
NAME = "20260101-120000-abcd"
# No sum guards these; they cost no LoRA. The short result is held to what the run said, see below.
JOURNALS = ("events.jsonl", "log.txt", "child.json", "0001.txt", "result.json", "queue.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A studio with one finished run, its LoRA, a picture set and a drawing."""
    studio = Studio(tmp_path_factory.mktemp("studio"))
    folder = studio.runs / NAME
    ordered = tiny.job(studio.home / "own").model_copy(update={"publish_to": str(studio.loras)})
    files.write_text(folder / "job.json", ordered.model_dump_json(indent=1))
    job = Run(folder).job  # as the child reads it
    for event in train(job, folder, FAMILY):
        files.append_line(folder / "events.jsonl", events.to_line(event))
    assert isinstance(event, events.Done)
    files.write_text(folder / "log.txt", "nothing to tell\n")
    files.write_json(folder / "child.json", {"pid": 1, "started": 1.0, "job": files.sha256(folder / "job.json")})
    TaskFolder(folder).write_result(event, Reached(0, 4, 4))
    files.write_json(studio.runs / "queue.json", {"version": 1, "held": False, "order": []})
    source = studio.home / "own" / "one.png"
    Image.linear_gradient("L").convert("RGB").save(source)
    pictures.import_pictures(studio, [source])
    files.copy(folder / "samples" / "base-0.png", studio.drawings / "a day" / "one.png")
    return studio


@pytest.fixture
def studio(made, tmp_path):
    """A copy to be damaged; the LoRA that its run names is that of the copy."""
    copy = Studio(tmp_path / "studio")
    shutil.copytree(made.home, copy.home)
    for line in (path := copy.runs / NAME / "events.jsonl").read_text().splitlines():
        if '"Done"' in line:
            path.write_text(path.read_text().replace(str(made.home), str(copy.home)))
    return copy


def things(studio):
    """Every file that the app keeps for the user."""
    inside = (studio.runs, studio.loras, studio.pictures, studio.drawings)
    return [path for folder in inside for path in sorted(folder.rglob("*")) if path.is_file()]


def stays_usable(folder):
    """Whether a picture set opens with its pictures, or says in a sentence that it is damaged."""
    try:
        return len(pictures.load(folder).pictures) == 1
    except UserError as error:
        return bool(error.what and error.remedy)


def survives(studio, path):
    """Whether a damaged file is found where a sum guards it, never raises, and the run goes on from what is whole."""
    before = {p: files.sha256(p) for p in things(studio)}
    found = verify(studio)
    held = before == {p: files.sha256(p) for p in things(studio)}  # it changes nothing
    if path.name not in JOURNALS:
        held &= any(path.name in one["path"] or path.parent.name in one["path"] for one in found["wrong"])
        held &= all(one["what"] and one["remedy"] for one in found["wrong"])
    if path.name == "set.json":
        return held and stays_usable(path.parent)
    Run(studio.runs / NAME).status()
    newest, sentences = checkpoint.newest(studio.runs / NAME / "checkpoints")
    if path.parent.name.startswith("ckpt-"):
        damaged_newest = path.parent.name == "ckpt-000004"
        held &= newest is not None and newest.step == (2 if damaged_newest else 4)
        held &= bool(sentences) == damaged_newest
    else:
        held &= newest is not None and newest.step == 4
    checkpoints = studio.runs / NAME / "checkpoints"
    for aside in checkpoints.glob("damaged/*"):  # as it was, for the next case
        aside.rename(checkpoints / aside.name)
    return held


def each(studio, cases, row):
    lost = []
    for path, damaged, label in cases:
        whole = path.read_bytes()
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        held = survives(studio, path)
        row.add(1, held)
        if not held:
            lost.append(f"{path.relative_to(studio.home)} {label}")
        path.write_bytes(whole)
    assert row.tried > 50 and not lost


def test_a_whole_studio_is_found_whole(studio):
    found = verify(studio)
    assert found["wrong"] == [] and found["checked"] >= 15


def test_every_file_may_be_cut_short(studio, tell):
    def cases():
        for path in things(studio):
            data = path.read_bytes()
            for length in sorted({0, 1, 8, len(data) // 2, max(len(data) - 1, 0)}):
                yield path, data[:length], f"cut to {length}"

    each(studio, cases(), tell("Files cut short"))


def test_any_bit_of_any_file_may_turn_over(studio, tell):
    rng = random.Random(4)

    def cases():
        paths = [path for path in things(studio) if path.name not in JOURNALS]
        for _ in range(200 // len(paths) + 1):
            for path in paths:
                data = bytearray(path.read_bytes())
                place = rng.randrange(len(data))
                data[place] ^= 1 << rng.randrange(8)
                yield path, bytes(data), f"bit of byte {place}"

    each(studio, cases(), tell("Bits turned over"))


def test_a_run_whose_newest_checkpoint_is_damaged_ends_with_the_same_file(studio):
    run = Run(studio.runs / NAME)
    whole = run.status().sha256
    path = run.folder / "checkpoints" / "ckpt-000004" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    job = run.job.model_copy(update={"publish_to": str(studio.home / "again")})
    said = list(train(job, run.folder, FAMILY))
    assert said[0] == events.Started(4, 2)
    assert said[1] == events.Note("The checkpoint of step 4 is damaged and was set aside.")
    assert said[-1].sha256 == whole


def test_what_is_missing_altogether_is_no_traceback(studio):
    for path in things(studio):
        path.unlink()
        verify(studio)
    with pytest.raises(UserError):
        _ = Run(studio.runs / NAME).job


def named(studio):
    """What is wrong with a studio, by the name of the file or folder."""
    return {Path(one["path"]).name: f"{one['what']} {one['remedy']}" for one in verify(studio)["wrong"]}


@pytest.mark.parametrize("key", ["steps", "of", "first", "lora", "sha256", "seconds", "event", "all"])
def test_a_short_result_that_does_not_say_what_the_run_said_is_found_and_written_anew(studio, key):
    path = studio.runs / NAME / "result.json"
    said = json.loads(path.read_text())
    for place in (said, said["last"]):
        if key in place:
            place[key] = "Stopped" if key == "event" else f"other{place[key]}" if isinstance(place[key], str) else 77
    path.write_text("[1]" if key == "all" else json.dumps(said))
    assert "result.json in its folder; it is written anew" in named(studio)["result.json"]
    path.unlink()
    Run(studio.runs / NAME).summary()
    assert path.is_file() and not named(studio)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"order": "words"}', '{"order": [5]}', '{"order": ["../x"]}'])
def test_a_damaged_queue_is_found(studio, text):
    (studio.runs / "queue.json").write_text(text)
    assert "queue.json" in named(studio)
    (studio.runs / "queue.json").write_text('{"order": ["20990101-000000-0000"]}')
    assert "is not there" in named(studio)["queue.json"]


ODD_RUNS = {  # file in the run's folder, and what stands in it
    "nothing": {}, "list": {"job.json": "[1]"}, "deep": {"job.json": "[" * 200_000}, "empty": {"job.json": ""},
    "infinite pid": {"child.json": '{"pid": Infinity, "started": NaN}', "beat.json": '{"pid": 1e999, "beat": -1}'},
    "words for steps": {"events.jsonl": '{"event": "Started", "steps": "many", "first_step": []}\n'},
    "a number for a LoRA": {"events.jsonl": '{"event": "Done", "lora": 5}\n', "result.json": '{"last": {"lora": 5}}'},
    "a device for a LoRA": {"events.jsonl": '{"event": "Done", "lora": "/dev/zero", "steps": 1}\n'},
    "deep events": {"events.jsonl": "[" * 200_000 + "\n"},
    "a long name": {"job.json": '{"name": "' + "x" * 300 + '"}'},
    "manifest of words": {"checkpoints/ckpt-000002/MANIFEST.json": '"words"'},
    "manifest of odd names": {"checkpoints/ckpt-000002/MANIFEST.json": json.dumps({"x" * 300: {}, "\0": {}, "..": 5})},
    "deep manifest": {"checkpoints/ckpt-000002/MANIFEST.json": "[" * 200_000},
    "a checkpoint of words": {"checkpoints/ckpt-words0/MANIFEST.json": "{}"},
    "a sample of words": {"samples/one.png": "words"},
}  # fmt: skip
PIPES = ("job.json", "events.jsonl", "result.json", "child.json", "log.txt", "beat.json", "samples/1.png",
         "checkpoints/ckpt-000002/MANIFEST.json")  # fmt: skip


def odd_run(studio, name, contents):
    """The folder of a run, dated in the future, that is whole but for these files."""
    folder = studio.runs / f"2999-{name}"
    shutil.copytree(studio.runs / NAME, folder)
    if not contents:
        (folder / "job.json").unlink()
    for file, text in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / file, text)
    return folder


@pytest.mark.parametrize("name", ODD_RUNS)
def test_an_odd_run_is_passed_over_and_named_where_something_is_wrong_with_it(studio, name):
    folder = odd_run(studio, name, ODD_RUNS[name])
    wrong = verify(studio)["wrong"]
    assert all(one["what"] and one["remedy"] and folder.name in one["path"] for one in wrong)
    if "job.json" in ODD_RUNS[name] or "checkpoints" in str(ODD_RUNS[name]) or not ODD_RUNS[name]:
        assert wrong
    whole = next(one for one in runs.summaries(studio) if one.folder.name == NAME)
    assert (whole.state, whole.step) == ("finished", 4)
    assert runs.running(studio) is None and runs.find(studio, NAME).folder.name == NAME
    report(Run(folder))


def test_a_job_whose_paths_no_disk_takes_is_read_or_passed_over(studio):
    said = json.loads((studio.runs / NAME / "job.json").read_text())
    for n, path in enumerate(("/" + "x" * 300, "y" * 300, "/a\0b", "C:\\" + "z" * 300, "/pictures/" + "x" * 300, "")):
        said["pictures"][0]["path"] = said["base"]["path"] = said["publish_to"] = said["cache"] = path
        odd_run(studio, f"path-{n}", {"job.json": json.dumps(said)})
    verify(studio)
    assert len(runs.summaries(studio)) == 7 and len(pictures.sets(studio)) == 1
    assert estimate(studio, TrainSettings(), bases.find(studio, "starter"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("kind", ["pipe", "device", "itself"])
def test_a_pipe_or_a_link_without_an_end_in_a_run_hangs_nobody(studio, kind):
    for file in PIPES:
        folder = odd_run(studio, file.replace("/", "-"), {file: ""})
        (folder / file).unlink()
        if kind == "pipe":
            os.mkfifo(folder / file)
        else:
            (folder / file).symlink_to("/dev/zero" if kind == "device" else folder / file)
    wrong = verify(studio)["wrong"]
    assert {"job.json", "MANIFEST.json", "1.png"} <= {Path(one["path"]).name for one in wrong}
    assert len(runs.summaries(studio)) >= len(PIPES) and runs.running(studio) is None
    for run in runs.all_runs(studio):
        report(run)


def test_odd_bases_presets_and_pictures_are_named(studio):
    (studio.bases / "half").mkdir(parents=True)
    (studio.bases / "half" / "model_index.json").write_text("[1]")
    files.write_text(studio.presets / "mine.toml", "[all]\nrankk = 1")
    files.write_bytes(studio.drawings / "a day" / "bomb.png", bomb(60_000))
    (studio.pictures / "20990101-000000-0000").mkdir()
    (studio.loras / "odd.safetensors").write_bytes(b"\xff" * 9)
    assert {*named(studio)} == {"half", "mine.toml", "bomb.png", "set.json", "odd.safetensors"}


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_drawing_that_is_a_link_is_not_shown_and_is_named(studio, link):
    day = studio.drawings / "2026-01-01"
    day.mkdir()
    Image.new("RGB", (8, 8)).save(day / "own.png")
    Image.new("RGB", (8, 8)).save(studio.home / "mine.png")
    link(studio.home / "mine.png", day / "other.png")
    assert list(scan.drawings_states(studio)) == [f"{day.name}/own.png"]
    assert "other.png is a link" in named(studio)["other.png"]


ODD_PICTURES = {"bomb": lambda: bomb(60_000), "words": lambda: b"words", "gif": lambda: b"GIF89a" + b"\1" * 40,
                "cut": lambda: bomb(8), "eps": lambda: b"%!PS-Adobe-3.0 EPSF\n%%BoundingBox: 0 0 9 9\n"}  # fmt: skip


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_an_odd_file_in_place_of_a_picture_ends_a_run_in_a_sentence(tmp_path, kind):
    (tmp_path / "0001.png").write_bytes(ODD_PICTURES[kind]())
    with pytest.raises(UserError, match="0001.png cannot be read"), cache._opened(tmp_path / "0001.png") as image:
        image.load()


def bomb(side):
    """A PNG that says it is `side` pixels wide and high."""
    size = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))


def test_what_macos_puts_beside_things_is_none_of_them(studio):
    beside = [next((studio.runs / NAME / "samples").glob("*.png")), studio.drawings / "a day" / "one.png",
              studio.presets / "mine.toml", *studio.pictures.glob("*/0001.png"), *studio.loras.glob("*"),
              studio.bases / "b.safetensors"]  # fmt: skip
    before = verify(studio)
    for path in beside:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"._{path.name}").write_bytes(b"\0\x05\x16\x07" * 20)
    assert verify(studio) == before and not before["wrong"]
