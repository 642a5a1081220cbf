"""Every file of a studio is cut short and has a bit turned over: it is found, said, and the run goes on."""

import random
import shutil

import pytest
from PIL import Image

from lora_gui import files
from lora_gui.engine.train import checkpoint
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.runs import Run
from lora_gui.studio.things import pictures
from lora_gui.studio.verify import verify
from tests import tiny

FAMILY = tiny.QuickStableDiffusion1()
NAME = "20260101-120000-abcd"
JOURNALS = ("events.jsonl", "log.txt", "child.json", "0001.txt")  # no sum guards them; they cost no LoRA


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
    files.write_text(folder / "log.txt", "nothing to tell\n")
    files.write_json(folder / "child.json", {"pid": 1, "started": 1.0, "job": files.sha256(folder / "job.json")})
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
