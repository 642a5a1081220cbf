"""A run goes to another computer and comes back: packed, trained by its one command, and taken into the library."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lora_gui import files
from lora_gui.__main__ import main
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainPicture
from lora_gui.protocol.task_folder import LAST
from lora_gui.studio.finding import look
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.tasks import packing, runs, taking
from lora_gui.studio.tasks.packing import pack
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.tasks.taking import take
from lora_gui.studio.things import bases, loras
from tests import tiny
from tests.studio.things.test_loras import SAYS, lora

ROOT = Path(__file__).parents[3]
SETTINGS = {"steps": 3, "checkpoint_every": 1, "sample_prompts": ("zxy",)}
LIGHT = ("launch.sh", "requirements.lock")  # of the program, where it is not to run
needs_links = pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("base"))


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path / "home")
    found.loras.mkdir(parents=True)
    return found


@pytest.fixture
def light(monkeypatch):
    monkeypatch.setattr(packing, "_PROGRAM", LIGHT)


def made(studio, base, **settings):
    """A run that nobody has begun, with pictures of the studio."""
    job = tiny.job(studio.home / "made", base, **(SETTINGS | settings))
    pictures = []
    for one in job.pictures:
        target = studio.pictures / "20260101-000000-0000" / Path(one.path).name
        files.copy(Path(one.path), target)
        pictures.append(TrainPicture(path=str(target), caption=one.caption))
    return runs.make(studio, job.model_copy(update={"pictures": tuple(pictures)}))


def test_a_strangers_run_whose_folder_is_called_as_a_command_gives_none(tmp_path):
    base = Base(key="b", title="B", family="sd1", path="b")
    text = packing._texts(base, {"place": ""}, "$(touch hit)", "to", False)["start.sh"]
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "launch.sh").write_text('printf "%s\\n" "$@"')
    said = subprocess.run(["bash", "-c", text, str(tmp_path / "start.sh")], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[:3] == ["--do", "resume", "$(touch hit)"] and not (tmp_path / "hit").exists()


def there(folder, run):
    return Run(folder / "studio" / "runs" / run.folder.name)


def has_come_back(studio, folder, run, steps=3):
    """What another computer would have made of a packed run."""
    away = there(folder, run)
    loras_there = folder / "studio" / "loras"
    loras_there.mkdir()
    lora(loras_there / "tiny.safetensors", SAYS)
    (away.folder / "samples").mkdir(parents=True, exist_ok=True)
    shutil.copy(away.job.pictures[0].path, away.folder / "samples" / "final-0.png")
    digest = files.sha256(loras_there / "tiny.safetensors")
    said = [events.Started(steps), events.Step(steps, steps, 0.5, 1e-3, 0),
            events.Sample(steps, f"runs/{run.folder.name}/samples/final-0.png", "zxy", 1),
            events.Done("loras/tiny.safetensors", digest, steps, 9.0)]  # fmt: skip
    with open(away.files.events, "a", encoding="utf-8") as file:
        file.writelines(events.to_line(one) + "\n" for one in said)
    files.write_json(away.files.started, {"start": "x", "machine": "another", "in": True})
    return away


@pytest.mark.skipif(os.name == "nt", reason="its command is for bash")
@pytest.mark.soak
def test_a_packed_run_is_trained_by_its_one_command_with_two_processes_and_taken_back(studio, base, tmp_path):
    run = made(studio, base, ema_decay=0.5, rank_dropout=0.2, lora_plus=2, dora=True)
    folder = tmp_path / "packed"
    told = pack(studio, run, folder, with_base=True)
    assert told["run"] == run.folder.name and "bash start.sh" in (folder / "README.txt").read_text()
    shutil.move(folder, tmp_path / "rented")
    folder = tmp_path / "rented"
    shutil.rmtree(base.parent / "moved", ignore_errors=True)
    python = folder / "program" / ".venv" / "bin" / "python"  # as the launcher would have installed it
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    listed = b"".join((folder / "program" / f"requirements.{kind}").read_bytes() for kind in ("txt", "lock"))
    (folder / "program" / ".venv" / "installed-requirements").write_bytes(listed)
    started = subprocess.run(["bash", "start.sh"], cwd=folder, env=os.environ | {"PROCESSES": "2"},
                             capture_output=True, text=True, timeout=300)  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert "2 processes train together" in started.stderr
    found = take(studio, folder)
    assert found["left"] == [] and found["checkpoint"] == 3 and found["samples"] == 2
    assert (Run(run.folder).files.checkpoint(3) / LAST).is_file()  # the weights behind the average came along
    status = Run(run.folder).status()
    assert (status.state, status.step, status.lora) == ("finished", 3, found["lora"])
    assert loras.describe(Path(found["lora"])).steps == 3 and Path(found["lora"]).parent == studio.loras
    drawn = [str(run.folder / "samples" / f"{name}-0.png") for name in ("base", "final")]
    assert [one.path for one in status.samples] == drawn
    again = take(studio, folder)
    assert again["lora"] == found["lora"] and len(list(studio.loras.iterdir())) == 1


def test_a_packed_folder_names_nothing_of_this_computer(studio, base, tmp_path, light):
    run = made(studio, base)
    pack(studio, run, tmp_path / "packed")
    texts = [path for path in (tmp_path / "packed").rglob("*") if path.is_file() and "program" not in path.parts]
    assert len(texts) > 10
    for path in texts:
        assert str(tmp_path).encode() not in path.read_bytes(), path
    said = json.loads((tmp_path / "packed" / "pack.json").read_text())["base"]
    assert said["files"]["unet/config.json"] == {
        "size": (base / "unet" / "config.json").stat().st_size, "sha256": files.sha256(base / "unet" / "config.json")
    }  # fmt: skip
    assert not (tmp_path / "packed" / "studio" / "bases").exists()
    assert "Packed into packed for another computer" in run.status().notes[-1]


def test_a_base_that_is_not_there_or_another_one_is_told_of(studio, base, tmp_path, light):
    run = made(studio, base)
    pack(studio, run, tmp_path / "packed")
    away, home = there(tmp_path / "packed", run), Studio(tmp_path / "packed" / "studio")
    with pytest.raises(UserError, match="is not here yet"):
        packing.base_differs(home, away.job.base)
    shutil.copytree(base, home.bases / base.name)
    assert packing.base_differs(home, away.job.base) == []
    config = home.bases / base.name / "unet" / "config.json"
    config.write_text(config.read_text() + " ")
    assert packing.base_differs(home, away.job.base)[0].startswith("unet/config.json of the base is not the file")
    assert packing.base_differs(studio, run.job.base) == []  # this one is no packed studio


def test_what_cannot_be_packed_leaves_nothing(studio, base, tmp_path, light):
    run = made(studio, base)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="is there already"):
        pack(studio, run, tmp_path / "there")
    apart = run.job.base.model_copy(update={"parts": {"vae": str(tmp_path / "ae.safetensors")}})
    whole = run.job
    run.files.write_job(whole.model_copy(update={"base": apart}))
    with pytest.raises(UserError, match="made of several files of other programs"):
        pack(studio, run, tmp_path / "packed")
    run.files.write_job(whole)
    Path(run.job.pictures[0].path).unlink()
    with pytest.raises(UserError):
        pack(studio, run, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir() if "packed" in path.name] == []


def test_the_commands_pack_a_set_and_take_it_back(studio, tmp_path, light, monkeypatch, capsys):
    monkeypatch.setenv(HOME, str(studio.home))
    from lora_gui.studio.things import pictures

    chosen, _ = pictures.import_pictures(studio, [next(iter(pictures.examples().values()))])
    name = chosen.folder.name
    assert main(["pack", name, "--to", str(tmp_path / "p"), "--json"]) == 1
    assert "--trigger" in json.loads(capsys.readouterr().out)["remedy"]
    order = ["pack", name, "--to", str(tmp_path / "p"), "--trigger", "zxy_q", "--name", "q", "--json"]
    assert main(order) == 0
    told = json.loads(capsys.readouterr().out)
    away = has_come_back(studio, tmp_path / "p", Run(Path("runs") / told["run"]))
    said = json.loads(away.files.job.read_text())
    said["base"]["parts"] = {"vae": "/etc/passwd"}  # of a stranger's computer
    away.files.job.write_text(json.dumps(said))
    assert main(["take", str(tmp_path / "p"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    run = Run(Path(found["run"]))
    assert run.folder.parent == studio.runs and run.status().state == "finished" and run.job.name == "q"
    assert run.job.base.parts == {}
    assert Path(run.job.pictures[0].path).parent == chosen.folder  # of this studio: it can be trained further


def test_a_run_that_was_cut_off_there_goes_on_here(studio, base, tmp_path, light):
    run = made(studio, base)
    pack(studio, run, tmp_path / "p")
    away = there(tmp_path / "p", run)
    files.append_line(away.files.events, events.to_line(events.Started(3)))
    with open(away.files.events, "ab") as file:
        file.write(b'{"event": "Step", "step": 2, "o')
    take(studio, tmp_path / "p")
    status = Run(run.folder).status()
    assert (status.state, status.step) == ("paused", 0) and "had not ended" in status.what


def test_a_run_that_went_on_here_meanwhile_is_not_overwritten(studio, base, tmp_path, light):
    run = made(studio, base)
    pack(studio, run, tmp_path / "p")
    has_come_back(studio, tmp_path / "p", run)
    files.append_line(run.files.events, events.to_line(events.Paused(2)))
    before = run.files.events.read_bytes()
    found = take(studio, tmp_path / "p")
    assert found["run"] != str(run.folder) and run.files.events.read_bytes() == before
    assert take(studio, tmp_path / "p")["run"] == found["run"]


def spoilt(how, folder, away, outside):
    """One thing in a folder that came back is not what it should be."""
    lora_there, sample = folder / "studio" / "loras" / "tiny.safetensors", away.folder / "samples" / "final-0.png"
    if how == "another LoRA":
        lora(lora_there, SAYS | {"ss_steps": "999"})
    elif how == "no LoRA":
        lora_there.write_bytes(b"x" * 100)
    elif how == "a linked LoRA":
        shutil.move(lora_there, outside / "secret")
        lora_there.symlink_to(outside / "secret")
    elif how == "linked events":
        shutil.move(away.files.events, outside / "secret")
        away.files.events.symlink_to(outside / "secret")
    elif how == "a linked run":
        shutil.move(away.folder, outside / "secret")
        away.folder.symlink_to(outside / "secret")
    elif how == "a pipe":
        away.files.events.unlink()
        os.mkfifo(away.files.events)
    elif how == "a name outside":
        (folder / "pack.json").write_text(json.dumps({"run": "../../../x"}))
    elif how == "a LoRA outside":
        text = away.files.events.read_text().replace("loras/tiny.safetensors", "../../../../etc/passwd")
        away.files.events.write_text(text)
    elif how == "a linked sample":
        shutil.move(sample, outside / "secret")
        sample.symlink_to(outside / "secret")
    elif how == "no picture":
        sample.write_bytes(b"\x89PNG\r\n")
    elif how == "an odd name":
        shutil.move(sample, sample.with_name("final-0.png.html"))


REFUSED = ("another LoRA", "no LoRA", "a linked LoRA", "linked events", "a linked run", "a pipe", "a name outside",
           "a LoRA outside")  # fmt: skip
LEFT = ("a linked sample", "no picture", "an odd name")


@needs_links
@pytest.mark.parametrize("how", [*REFUSED, *LEFT])
def test_what_came_back_is_checked_like_any_strangers(studio, base, tmp_path, light, how):
    run, outside = made(studio, base), tmp_path / "outside"
    outside.mkdir()
    pack(studio, run, tmp_path / "p")
    away = has_come_back(studio, tmp_path / "p", run)
    spoilt(how, tmp_path / "p", away, outside)
    before = sorted(path.relative_to(tmp_path) for path in outside.rglob("*"))
    if how in REFUSED:
        with pytest.raises(UserError):
            take(studio, tmp_path / "p")
        assert not list(studio.loras.iterdir())
    else:
        found = take(studio, tmp_path / "p")
        assert found["samples"] == 0 and len(found["left"]) == 1
        assert Run(run.folder).status().samples == ()
    assert sorted(path.relative_to(tmp_path) for path in outside.rglob("*")) == before
    assert not any(path.is_symlink() for path in studio.home.rglob("*"))


def test_a_folder_that_is_no_pack_is_refused(studio, tmp_path):
    (tmp_path / "x").mkdir()
    for text in (None, "{}", "[]", '{"run": 5}', '{"run": "x"}'):
        if text:
            (tmp_path / "x" / "pack.json").write_text(text)
        with pytest.raises(UserError):
            take(studio, tmp_path / "x")
    assert taking.take is take and not studio.runs.exists()


def test_a_run_whose_base_lay_elsewhere_is_taken_back_with_the_base_of_its_name(studio, base, tmp_path, light, capsys,
                                                                               monkeypatch):
    run = made(studio, base)
    there = bases.at(studio, base)
    run.files.write_job(run.job.model_copy(update={"base": there}))
    place = pack(studio, run, tmp_path / "p")["folder"]
    has_come_back(studio, tmp_path / "p", run)
    shutil.rmtree(run.folder)  # as of a picture set, which is no run here yet
    monkeypatch.setenv(HOME, str(studio.home))
    assert main(["take", place, "--json"]) == 0
    assert "is not here. To go on on this computer, put it at" in capsys.readouterr().err
    shutil.rmtree(run.folder)
    look.add(studio, base)
    assert main(["take", place, "--json"]) == 0
    assert f"Here it goes on with the base {there.key}, in {base}." in capsys.readouterr().err
    assert Run(run.folder).job.base.path == str(base)


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on other systems alone")
@pytest.mark.parametrize("kind", ["name", "error"])
def test_what_cannot_be_packed_leaves_nothing_whatever_the_reason(studio, base, tmp_path, light, monkeypatch, kind):
    if kind == "error":
        monkeypatch.setattr(packing, "_texts", lambda *_: {}["a fault of ours"])
    with pytest.raises((UserError, KeyError), match="not in UTF-8" if kind == "name" else "a fault"):
        pack(studio, made(studio, base), tmp_path / "there" / ("pk\udce9" if kind == "name" else "pk"))
    assert not list((tmp_path / "there").iterdir())
