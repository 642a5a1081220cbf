"""Settings files on the command line: written of a run, and trained from, with the real worker on a tiny base."""

import json

import pytest

from lora_gui import __main__ as cli
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import bases, presets, settings_files
from tests import making, tiny

SHORT = {"steps": 4, "rank": 4, "alpha": 2, "batch_size": 2, "resolution": 64, "precision": "fp32",
         "optimizer": "adamw", "sample_every": 0}  # fmt: skip


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "studio"))
    return Studio.default()


def test_a_run_is_trained_from_what_was_written_of_one_as_short_as_it_was(studio, tmp_path, capsys):
    base = bases.find(studio, str(tiny.stable_diffusion_1(tmp_path / "tiny")))
    tiny.pictures(tmp_path / "pictures", count=2)
    settings = presets.fill(studio, "style", base, 2, SHORT)
    assert settings.warmup_steps > settings.steps  # as the preset has it, and shortened at training
    said = {"name": "cat", "trigger": "zxy_style", "preset": "style"}
    file = settings_files.keep(studio, said, base, settings)
    line = ["settings", "train", str(file), "--pictures", str(tmp_path / "pictures"), "--base", base.path]
    assert cli.main([*line, "--ground", "black", "--vram", "24", "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["steps"] == 4 and made["lora"] == str(studio.loras / "cat.safetensors")
    written = tmp_path / "again.toml"
    assert cli.main(["settings", "write", "cat", "--out", str(written)]) == 0
    read, trained = settings_files.read(studio, written), runs.find(studio, "cat").job.settings
    assert TrainSettings(**read.values) == trained and trained.warmup_steps == 0 and trained.steps == 4


def test_what_a_file_of_others_does_not_say_is_asked_for_and_a_name_that_no_drive_takes_is_a_sentence(
    studio, tmp_path, capsys
):
    settings = tmp_path / "kohya.toml"
    settings.write_text('network_dim = 8\noutput_name = "mine"\n')
    assert cli.main(["settings", "train", str(settings), "--pictures", "x"]) == 1
    assert capsys.readouterr().err == "kohya.toml says no trigger.\nAdd --trigger.\n"
    run = making.run(studio, "cat", studio.loras / "cat.safetensors")
    assert cli.main(["settings", "write", run.folder.name, "--out", str(tmp_path / f"{'n' * 300}.toml")]) == 1
    assert "is too long for the drive.\nChoose a shorter one." in capsys.readouterr().err
