"""A look over drives laid out as other programs do it: every base once, told by its header, used where it lies."""

import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.settings import TrainSettings
from lora_gui.studio.finding import found, look, patience, places, walk
from lora_gui.studio.finding.settings_files import named_in
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import QUEUE
from lora_gui.studio.things import base_removal, bases
from tests.studio.finding import layouts
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import make, sparse
from tests.tiny import outcome


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """The only drive there is, and no home but an empty one."""
    monkeypatch.setenv(places.DRIVES, str(tmp_path / "drive"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    patience._drive.cache_clear()
    (tmp_path / "drive").mkdir()
    yield tmp_path / "drive"
    patience._drive.cache_clear()  # to the app, the folders of all tests lie on one drive; it is silent for a minute


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


def looked(studio):
    return outcome(look.look(studio))[0]


def test_every_program_is_found_and_every_base_once_and_nothing_is_touched(studio, drive, tmp_path):
    made = layouts.everything(drive, tmp_path / "elsewhere")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    result = looked(studio)
    assert {one.path: one.program for one in result.bases} == {
        str(path): name.partition(",")[0] if "inner" not in name else "Forge"
        for name, path in made.items()
        if name != "Pinokio"
    } | {str(made["Pinokio"]): "Fooocus"}
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {studio.home / found.FILE}
    assert {path: time for path, time in after.items() if path in before} == before
    listed = bases.list_bases(studio)
    assert {"juggernaut", "any", "One", "mine", "model"} <= {base.key for base in listed}
    assert len({base.key for base in listed}) == len(listed) == len(made)  # FLUX.1 lacks its parts, the starter is more


def test_what_is_no_base_is_counted_by_what_its_header_says_whatever_it_is_called(studio, drive):
    folder = layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models"
    sparse(folder / "loras" / "sdxl base.safetensors", like.LORA)
    sparse(folder / "checkpoints" / "a lora.safetensors", like.SDXL)
    sparse(folder / "checkpoints" / "control.safetensors", like.CONTROLNET)
    sparse(folder / "vae" / "v.safetensors", like.VAE4)
    (folder / "checkpoints" / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with open(folder / "checkpoints" / "old.ckpt", "wb") as file:
        file.truncate(2_000_000)
    result = looked(studio)
    assert [Path(one.path).name for one in result.bases] == ["a lora.safetensors"]
    assert result.others == {"ControlNet": 1, "LoRA": 1, "autoencoder (VAE)": 1, "damaged file": 1}
    assert any("1 file in an old format" in sentence for sentence in result.left)


def test_links_that_circle_end_and_the_same_file_counts_once(studio, drive):
    models = layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models"
    path = sparse(models / "checkpoints" / "a.safetensors", like.SDXL)
    (models / "checkpoints" / "round").symlink_to(models)
    (models / "again").symlink_to(models / "checkpoints")
    os.link(path, models / "b.safetensors")
    (models / "nowhere.safetensors").symlink_to(models / "gone")
    assert len(looked(studio).bases) == 1


def test_what_was_found_is_used_where_it_lies_and_noticed_when_it_changes_or_goes(studio, drive):
    models = layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models" / "checkpoints"
    path = sparse(models / "a.safetensors", like.SDXL)
    looked(studio)
    base = bases.find(studio, "a")
    assert (base.path, base.family, base.like) == (str(path), "sdxl", "sdxl")
    sparse(path, like.SD15)
    assert bases.find(studio, "a").family == "sd1"
    assert [one.path for one in found.now(found.remembered(studio).things).changed] == [str(path)]
    path.unlink()
    assert [one.path for one in found.now(found.remembered(studio).things).gone] == [str(path)]
    with pytest.raises(UserError, match="There is no base 'a'"):
        bases.find(studio, "a")


def test_the_cache_of_the_hub_is_read_through_its_links(studio, drive, tmp_path):
    """As huggingface_hub lays it out: snapshots of links into blobs, of which one repository has a single file."""
    whole = make(tmp_path / "made", "sd15")
    for number, file in enumerate(sorted(path for path in whole.rglob("*") if path.is_file())):
        blob = tmp_path / "hub" / "models--a--Whole" / "blobs" / f"{number:040}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blob)
        link = tmp_path / "hub" / "models--a--Whole" / "snapshots" / layouts.HASH / file.relative_to(whole)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    one = sparse(tmp_path / "hub" / "models--b--One" / "blobs" / "1.safetensors", like.SDXL)
    link = tmp_path / "hub" / "models--b--One" / "snapshots" / layouts.HASH / "one.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(one)
    result = looked(studio)
    assert sorted(Path(one.path).name for one in result.bases) == [layouts.HASH, "one.safetensors"]
    assert {base.key for base in bases.list_bases(studio)} == {"starter", "Whole", "one"}


def test_two_bases_of_one_name_are_told_apart_by_where_they_were_found(studio, drive):
    for mark, name in (("comfy/sd.py", "ComfyUI"), ("fooocus_version.py", "Fooocus")):
        sparse(layouts.marked(drive / name, mark) / "models" / "checkpoints" / "same.safetensors", like.SDXL)
    looked(studio)
    assert sorted(base.key for base in bases.list_bases(studio))[:2] == ["same", "same (Fooocus)"]


def test_a_drive_that_does_not_answer_is_left_with_a_sentence_and_hides_nothing(studio, drive, monkeypatch):
    quick = sparse(layouts.marked(drive / "Fooocus", "fooocus_version.py") / "models" / "a.safetensors", like.SDXL)
    silent = layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models"
    sparse(silent / "b.safetensors", like.SDXL)
    stuck, models, looked_into = threading.Event(), walk.models, look._Looking._models

    def slow(folder, seen, apart):
        if folder == silent:
            stuck.wait(60)
        yield from models(folder, seen, apart)

    def into(looking, place):
        with monkeypatch.context() as meanwhile:  # the others have time, on a busy computer too
            meanwhile.setattr(patience, "SILENCE", 0.1 if place.path == silent else 60.0)
            yield from looked_into(looking, place)

    monkeypatch.setattr(walk, "models", slow)
    monkeypatch.setattr(look._Looking, "_models", into)
    result = looked(studio)
    stuck.set()
    assert [one.path for one in result.bases] == [str(quick)]
    assert any(str(silent) in sentence and "did not answer" in sentence for sentence in result.left)


def test_a_remembered_base_on_a_silent_drive_makes_no_list_wait(studio, drive, monkeypatch):
    path = sparse(layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models" / "a.safetensors", like.SDXL)
    looked(studio)
    stuck, state = threading.Event(), patience._state
    monkeypatch.setattr(patience, "_state", lambda one: stuck.wait(60) if one == path else state(one))
    monkeypatch.setattr(patience, "SILENCE", 0.3)
    assert [base.key for base in bases.list_bases(studio)] == ["starter"]
    begun = time.monotonic()
    for _ in range(20):  # once it was silent, nobody waits for it again for a while
        assert [one.path for one in found.now(found.remembered(studio).things).silent] == [str(path)]
    assert time.monotonic() - begun < 20 * 0.3
    stuck.set()


def test_settings_of_other_programs_lead_to_no_whole_drive_and_no_home(studio, drive, tmp_path):
    comfy = layouts.marked(drive / "ComfyUI", "comfy/sd.py")
    (tmp_path / "home").mkdir()
    sparse(tmp_path / "home" / "private.safetensors", like.SDXL)
    (comfy / "extra_model_paths.yaml").write_text("a:\n  base_path: /\n  b: ~\n  c: .\n  d: ../../home\n")
    assert looked(studio).bases == []
    (comfy / "extra_model_paths.yaml").write_text("a: &a [*a, *a]\n" + "x" * 2_000_000)
    assert looked(studio).bases == []


def test_one_that_is_added_by_hand_stays_and_one_that_is_removed_is_only_forgotten(studio, drive, tmp_path):
    path = sparse(tmp_path / "mine" / "b.safetensors", like.SDXL)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    look.add(studio, path)
    assert looked(studio).bases[0].program == found.BY_HAND
    removal = base_removal.of(studio, bases.find(studio, "b"))
    assert "stay where they lie" in removal.sentence and not removal.size
    base_removal.carry_out(studio, removal)
    assert [base.key for base in bases.list_bases(studio)] == ["starter"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    with pytest.raises(UserError, match="is a LoRA"):
        look.add(studio, sparse(tmp_path / "c.safetensors", like.LORA))
    with pytest.raises(UserError, match="comes with the app"):
        base_removal.of(studio, bases.find(studio, "starter"))


def test_a_base_that_a_run_waits_for_is_not_removed(studio, drive, tmp_path):
    path = sparse(tmp_path / "mine" / "b.safetensors", like.SDXL)
    look.add(studio, path)
    base, run = bases.find(studio, "b"), studio.runs / "20261128-100000-abcd"
    waits = TrainJob(name="x", trigger="zxy", preset="style", base=base, pictures=(), settings=TrainSettings())
    TaskFolder(run).write_job(waits)
    assert base_removal.of(studio, base)
    files.write_json(studio.runs / QUEUE, {"order": [run.name]})
    with pytest.raises(UserError, match="in use by the run x"):
        base_removal.of(studio, base)


def test_a_list_that_is_damaged_or_of_others_shows_what_is_whole_of_it(studio, drive):
    path = sparse(layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models" / "a.safetensors", like.SDXL)
    looked(studio)
    known = found.remembered(studio).things[0]
    studio.home.joinpath(found.FILE).write_text(
        '{"things": [{"path": "../x", "family": "sdxl"}, 7, {"path": "rel", "family": "sdxl", "like": "", "size": 1,'
        f' "time": 1, "program": ""}}, {{"path": {json.dumps(str(path))}, "family": "sdxl", "like": "sdxl",'
        f' "size": {known.size}, "time": {known.time}, "program": "ComfyUI"}}]}}'
    )
    assert found.remembered(studio).things == (known,)
    studio.home.joinpath(found.FILE).write_text("{")
    assert found.remembered(studio).things == ()


def test_drives_are_named_as_people_name_folders_and_what_is_there_is_a_base(studio, drive, tmp_path, monkeypatch):
    path = sparse(layouts.marked(drive / "ComfyUI", "comfy/sd.py") / "models" / "a.safetensors", like.SDXL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(places.DRIVES, os.pathsep.join(["drive", "~nobody-of-this-name/x"]))
    assert [one.path for one in looked(studio).bases] == [str(path)]
    assert str(path) in {base.path for base in bases.list_bases(studio)}


def test_a_system_that_names_no_drives_leaves_the_home(monkeypatch, tmp_path):
    def nothing(all):
        raise OSError("a reader without a card")

    monkeypatch.delenv(places.DRIVES, raising=False)
    monkeypatch.setattr(places.psutil, "disk_partitions", nothing)
    monkeypatch.setattr(places, "home_folder", lambda: tmp_path)
    assert places.drives() == [tmp_path]


def test_a_home_that_nobody_has_is_a_path_like_any_other(studio, drive):
    with pytest.raises(UserError, match="~nobody-of-this-name"):
        look.add(studio, Path("~nobody-of-this-name/model.safetensors"))
    settings = drive / "extra.yaml"
    settings.write_text("a: {base_path: ~nobody-of-this-name/x, checkpoints: models}")
    assert named_in(settings, "checkpoints", drive) == [drive / "~nobody-of-this-name/x/models"]
