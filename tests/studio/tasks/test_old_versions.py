"""Studios that an older version of the app wrote: `tests/data/studio-v0` is what commit 15cdd87 left on the disk.

`{STUDIO}` stands there where that version wrote the folder it ran in; a studio may have been moved since.
"""

import json
import shutil
from pathlib import Path

import pytest

from lora_gui import files
from lora_gui.protocol import events
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import loras, pictures
from lora_gui.studio.verify import verify
from tests import tiny

OLD = Path(__file__).parents[2] / "data" / "studio-v0"
ELSEWHERE = "/home/ada/.local/share/lora-studio"  # where the studio stood when its runs were made
LOSSES = ((2, 0.5535241365432739), (4, 0.6553198099136353))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("base"), width=32)  # as wide as it was then


@pytest.fixture(params=["in its place", "moved"])
def studio(request, base, tmp_path):
    """The old studio with the base that its runs name, in the place it was made in or moved from there."""
    home = tmp_path / "a studio"
    shutil.copytree(OLD, home)
    shutil.copytree(base, home / "bases" / "tiny")
    place = str(home) if request.param == "in its place" else ELSEWHERE
    for path in home.glob("runs/*/*.json*"):
        path.write_text(path.read_text(encoding="utf-8").replace("{STUDIO}", place), encoding="utf-8")
    for path in home.glob("runs/*/child.json"):
        noted = json.loads(path.read_text()) | {"job": files.sha256(path.with_name("job.json"))}
        path.write_text(json.dumps(noted, indent=1))
    return Studio(home)


def run_of(studio, name):
    return runs.find(studio, name)


def publishes_here(studio, run, step):
    """Follow the run to its end: it is finished, and its LoRA is among those of this studio, whole."""
    status = runs.follow(studio, run, lambda event: None)
    assert (status.state, status.step, status.what) == ("finished", step, "")
    assert Path(status.lora).parent.samefile(studio.loras) and files.sha256(Path(status.lora)) == status.sha256
    assert loras.describe(Path(status.lora)).steps == step
    return status


def test_every_old_run_is_listed_the_newest_first(studio):
    assert [run.job.name for run in runs.all_runs(studio)] == ["failed", "killed", "stopped", "paused", "finished"]
    assert runs.running(studio) is None


@pytest.mark.parametrize(
    ("name", "state", "step", "losses", "samples"),
    [
        ("finished", "finished", 6, (*LOSSES, (6, 0.5895614624023438)), [(0, "base-0.png"), (6, "final-0.png")]),
        ("paused", "paused", 4, LOSSES, [(0, "base-0.png")]),
        ("stopped", "stopped", 4, LOSSES, [(0, "base-0.png"), (4, "final-0.png")]),
        ("killed", "failed", 4, LOSSES, [(0, "base-0.png")]),
        ("failed", "failed", 2, LOSSES[:1], [(0, "base-0.png")]),
    ],
)
def test_an_old_run_tells_how_it_stands(studio, name, state, step, losses, samples):
    status = run_of(studio, name).status()
    assert (status.state, status.step, status.of, status.losses) == (state, step, 6, losses)
    assert [(sample.step, Path(sample.path).name) for sample in status.samples] == samples
    assert status.notes and not status.lora or Path(status.lora).parent.samefile(studio.loras)


def test_the_samples_that_are_there_can_be_shown(studio):
    shown = [Path(sample.path) for sample in run_of(studio, "finished").status().samples]
    assert shown[1].is_file() and shown[1].parent.parent.samefile(run_of(studio, "finished").folder)


def test_an_old_run_that_diverged_says_so_and_offers_what_helps(studio):
    status = run_of(studio, "failed").status()
    assert status.what.startswith("The training broke before step 4") and status.cause == "diverged"


@pytest.mark.parametrize(("word", "cause"), [("memory", "memory"), ("calm", "diverged"), ("", "")])
def test_what_an_old_run_said_it_lacked_is_the_cause(word, cause):
    line = {"event": "Failed", "what": "It broke.", "remedy": "Try again.", "id": "", "lacking": word}
    said = events.from_line(json.dumps(line))
    assert isinstance(said, events.Failed) and said.cause == cause


def test_an_old_run_that_was_killed_says_why_it_ended(studio):
    status = run_of(studio, "killed").status()
    assert status.what and status.remedy and status.resumable


@pytest.mark.parametrize("name", ["paused", "killed"])
def test_an_old_run_goes_on_from_its_checkpoint_and_publishes_here(studio, name):
    run, said = run_of(studio, name), []
    again = runs.resume(studio, run)
    runs.follow(studio, again, said.append)
    assert [event.first_step for event in said if isinstance(event, events.Started)] == [4]
    publishes_here(studio, again, 6)


def test_an_old_finished_run_is_trained_further(studio):
    again = runs.resume(studio, run_of(studio, "finished"), steps=8)
    assert publishes_here(studio, again, 8).first == 6 and again.job.extended_at == (6,)


def test_old_loras_pictures_and_checkpoints_are_found_whole(studio):
    assert {path.stem for path in studio.loras.glob("*.safetensors")} == {"finished", "stopped"}
    found = loras.describe(studio.loras / "finished.safetensors")
    assert (found.family, found.rank, found.trigger, found.steps) == ("sd1", 1, "zxy_style", 6)
    [folder] = pictures.picture_sets(studio)
    made = pictures.load(folder)
    assert made.title == "my pictures" and [one.caption for one in made.pictures] == ["thing 0", "thing 1"]
    assert verify(studio)["wrong"] == []


def test_text_encoders_of_an_old_run_go_on_at_the_rate_they_had(studio):
    path = run_of(studio, "killed").folder / "job.json"
    told = json.loads(path.read_text())
    assert "text_encoder_learning_rate" not in told["settings"]
    path.write_text(json.dumps(told | {"settings": told["settings"] | {"train_text_encoder": True}}))
    settings = run_of(studio, "killed").job.settings
    assert settings.text_rate == settings.learning_rate
    path.write_text(json.dumps(told))
    assert run_of(studio, "killed").job.settings.text_encoder_learning_rate == 0
