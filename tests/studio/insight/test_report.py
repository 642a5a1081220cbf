"""The report of a run, drawn by the real child with the starter as small as can be; read again, kept and mended."""

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from lora_gui import files
from lora_gui.__main__ import main
from lora_gui.errors import UserError
from lora_gui.formats import edit
from lora_gui.formats.metadata import THUMBNAIL, strength_of, trigger_of
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob, TrainPicture
from lora_gui.protocol.task_folder import ADAPTER, MANIFEST, Reached
from lora_gui.settings import DrawSettings, TrainSettings, check
from lora_gui.studio.insight import at_work, best, mended, report, sheets
from lora_gui.studio.insight.at_work import AtWork
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import queue, runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.tasks.order import check_size
from lora_gui.studio.tasks.run import QUEUE
from lora_gui.studio.things import bases
from tests import tiny
from tests.studio.stacks.conftest import lora

STEPS = 160  # of the run, as the preset takes them


def made(studio, name, last, kept=(80, STEPS), **settings):
    """An ended run of the starter whose steps of `kept` are on the disk."""
    pictures = tiny.pictures(studio.pictures / name, 9)
    rate = {"learning_rate": 1.5e-3, "resolution": 64, "steps": STEPS}
    job = TrainJob(
        name=name, trigger="zxy", preset="style", base=bases.find(studio, "starter"), publish_to=str(studio.loras),
        pictures=tuple(TrainPicture(path=one.path, caption=f"{one.caption} (odd) <lora:none:1>") for one in pictures),
        settings=TrainSettings(**(rate | settings)), cache=str(studio.cache),
    )  # fmt: skip
    run = runs.make(studio, job)
    run.files.started.write_text("{}")
    said = events.Started(STEPS), events.Step(STEPS, STEPS, 0.1, 1e-4, 0.0), last
    run.files.events.write_text("".join(events.to_line(event) + "\n" for event in said))
    for step in kept:
        folder = run.files.checkpoint(step)
        folder.mkdir(parents=True)
        files.copy(studio.loras / "ink.safetensors", folder / ADAPTER)
        (folder / MANIFEST).write_text("{}")
    return run


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    found = Studio(tmp_path_factory.mktemp("studio"))
    found.prepare()
    lora(found, "ink", 0)
    return found


@pytest.fixture(scope="module")
def drawer(studio):
    found = Drawer(studio)
    yield found
    found.close()


@pytest.fixture(scope="module")
def drawn(studio, drawer):
    """A run of which the report was made, and how far it came by and by."""
    run = made(studio, "seen", events.Done("loras/ink.safetensors", "ab", STEPS, 3.0))
    run.files.write_result(events.Done("loras/ink.safetensors", "ab", STEPS, 3.0), Reached(0, STEPS, STEPS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "MOST_STEPS", 1)
        patch.setattr(sheets, "STRENGTHS", (0.0, 1.0))
        patch.setattr(best, "STRENGTHS", (0.0, 1.0))
        told = list(report.make(studio, drawer, run, lambda: False))
    return run, told


def test_a_report_is_drawn_said_step_by_step_and_read_again_from_the_runs_folder(studio, drawn):
    run, told = drawn
    found = report.read(run)
    assert told[-1] == (told[-1][1],) * 2 and [done for done, _ in told] == sorted(done for done, _ in told)
    assert found and found.step == STEPS and found.best and len(found.pictures) == 9 and len(found.prompts) == 4
    assert bool(found.says) == (not found.findings)
    home = run.files.insight
    for name in ("strengths", "plain", "seeds", "own", "steps"):
        assert Image.open(home / name / "sheet.png").width > 100
    for _, base, learnt in found.prompts:
        assert (home / base).is_file() and (home / learnt).is_file()
    assert all((home / one.picture).is_file() for one in found.findings if one.picture)
    assert not list(run.folder.glob("*.tmp*")) and not list(run.folder.glob(".*tmp"))


@pytest.mark.parametrize("spoil", [
    lambda told: told["findings"].append({"kind": "molten", "says": "", "remedy": "", "changes": {"no setting": 1}}),
    lambda told: told["findings"].append({"kind": "molten", "says": "", "remedy": "", "picture": "../../secret.png"}),
    lambda told: told["findings"].append({"kind": "unheard", "says": "", "remedy": ""}),
    lambda told: told["best"].update(picture="/etc/secret.png"),
    lambda told: told["best"].update(strength="all"),
    lambda told: told["prompts"].append(["a", "b"]),
    lambda told: told.pop("step"),
])  # fmt: skip
def test_a_report_that_says_what_cannot_be_is_none(drawn, spoil):
    run, _ = drawn
    path = run.files.insight / report.REPORT
    before = path.read_text()
    told = json.loads(before)
    spoil(told)
    path.write_text(json.dumps(told))
    try:
        assert report.read(run) is None
    finally:
        path.write_text(before)
    assert report.read(run)


def test_prompts_have_nothing_of_its_captions_but_colours_and_its_own_no_signs_of_prompts():
    chosen = sheets.unrelated(("a frog and an owl on a blue background",))
    assert len(chosen) == 8 and not {"frog", "owl"} & {thing for thing, _ in chosen}
    assert chosen == sheets.unrelated(("an owl, a frog",))


def test_its_own_captions_are_drawn_as_they_were_learnt(studio):
    said = ("[trigger] and a {dog}", "zxyland by night", "a ZXY (odd) cat", "")
    pictures = tuple(TrainPicture(path=f"{n}.png", caption=one) for n, one in enumerate(said))
    job = TrainJob(name="a", trigger="zxy", preset="style", base=bases.find(studio, "starter"), publish_to="x",
                   pictures=pictures, settings=TrainSettings(), cache="x")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "OWN", 4)
        assert sheets.captions(job) == ("zxy and a dog", "zxy zxyland by night", "a ZXY odd cat", "zxy")


def test_what_is_looked_at_can_be_stopped_and_the_report_before_stays(studio, drawer, drawn, monkeypatch):
    monkeypatch.setattr(sheets, "MOST_STEPS", 1)
    run, _ = drawn
    before = (run.files.insight / report.REPORT).read_text()
    seen = []
    with pytest.raises(UserError, match="stopped"):
        for now in report.make(studio, drawer, run, lambda: len(seen) > 2):
            seen.append(now)
    assert (run.files.insight / report.REPORT).read_text() == before and len(seen) < 10


def test_where_somebody_cancels_a_drawing_of_it_nothing_is_told(studio, drawer, drawn, monkeypatch):
    monkeypatch.setattr(sheets, "draw", lambda drawer, planned, is_stopped, **order: iter([planned]))
    with pytest.raises(UserError, match="Not all of it was drawn"):
        list(report.make(studio, drawer, drawn[0], lambda: False))


def test_two_are_not_made_at_once_and_how_the_one_stands_is_known(studio, drawn, monkeypatch):
    run, _ = drawn
    going, gate = [], []

    def make(*given, **order):
        going.append(given)
        while not gate:
            yield 1, 2
        raise UserError("No.", "Really.")

    monkeypatch.setattr(report, "make", make)
    work = AtWork(studio, None)
    work.begin(run)
    work.begin(run)
    with pytest.raises(UserError, match="another run"):
        work.begin(made(studio, "other", events.Stopped(STEPS)))
    work.stop()
    assert until(lambda: going, 60)
    assert work.standing.goes_on and work.standing.stopping and len(going) == 1
    gate.append(1)
    assert until(lambda: not work.standing.goes_on, 60)
    assert work.standing.problem.what == "No." and work.standing.run == run.folder.name


def test_one_that_ends_in_the_moment_in_which_it_is_stopped_has_ended(studio, drawn, monkeypatch):
    gate, changed, work = [], at_work.replace, AtWork(studio, None)

    def make(*given, **order):
        while not gate:
            time.sleep(0.001)
            yield 1, 2

    def ends(standing, **more):
        gate.append(1)
        until(lambda: not work.standing.goes_on, 0.1)
        return changed(standing, **more)

    monkeypatch.setattr(report, "make", make)
    monkeypatch.setattr(at_work, "replace", ends)
    work.begin(drawn[0])
    work.stop()
    assert until(lambda: not work.standing.goes_on, 60)


@pytest.mark.parametrize(
    ("family", "trained", "samples", "side"),
    [("flux1", 72, 0, 64), ("flux1", 584, 0, 576), ("sd1", 72, 0, 72), ("sd1", 72, 32, 64), ("wuerstchen", 64, 0, 128)],
)
def test_a_run_is_drawn_as_large_as_its_base_draws(studio, drawn, family, trained, samples, side):
    base = drawn[0].job.base.model_copy(update={"family": family})
    learnt_at = drawn[0].job.settings.model_copy(update={"resolution": trained, "sample_resolution": samples})
    job = drawn[0].job.model_copy(update={"base": base, "settings": learnt_at})
    settings = sheets._settings(job, studio.loras / "ink.safetensors")
    assert (settings.width, settings.height) == (side, side)
    check_size(base, check(DrawSettings, settings.model_dump()))


@pytest.mark.parametrize(
    ("spoilt", "says"), [(range(9), "not on this computer any more"), ([4], "The picture 0004.png of this run cannot")]
)
def test_pictures_that_are_gone_or_damaged_are_told_before_anything_is_drawn(studio, spoilt, says):
    run = made(studio, f"spoilt-{len(spoilt)}", events.Stopped(STEPS))
    for number in spoilt:
        path = Path(run.job.pictures[number].path)
        path.unlink() if len(spoilt) > 1 else path.write_bytes(b"no picture")
    with pytest.raises(UserError, match=says):
        list(report.make(studio, None, run, lambda: False))
    assert not list(run.folder.glob("*.tmp*")) and not run.files.insight.exists()


def test_a_run_that_goes_on_is_not_looked_at(studio, drawer):
    waiting = made(studio, "waiting", events.Phase("Encoding"), kept=())
    files.write_json(studio.runs / QUEUE, {"order": [waiting.folder.name], "held": True})
    with pytest.raises(UserError, match="going on"):
        list(report.make(studio, drawer, waiting, lambda: False))
    files.write_json(studio.runs / QUEUE, {"order": []})


def test_of_a_run_that_lacked_memory_the_cause_is_told_without_a_drawing(studio):
    run = made(studio, "large", events.Failed("Too little memory.", "Use less.", cause="memory"), kept=(), batch_size=4)
    assert list(report.make(studio, None, run, lambda: False)) == []
    found = report.read(run)
    assert [one.kind for one in found.findings] == ["memory"] and found.best is None
    assert found.findings[0].changes and mended.in_words(run.job, found.findings[0].changes)


def test_a_mended_run_has_the_same_pictures_and_other_settings_that_are_said(studio):
    run = made(studio, "fast", events.Stopped(STEPS), kept=(), learning_rate=1.5e-2)
    changed = mended.changes(studio, run.job, "molten")
    assert changed == {"learning_rate": 3e-3}
    assert mended.in_words(run.job, changed) == "Learning rate 0.003 instead of 0.015"
    files.write_json(studio.runs / QUEUE, {"order": [], "held": True})
    begun = mended.start(studio, run, changed)
    assert begun.status().state == "waiting" and begun.job.settings.learning_rate == 3e-3
    assert begun.job.pictures == run.job.pictures and begun.job.settings.steps == STEPS
    queue.remove(studio, begun)
    with pytest.raises(UserError, match="No setting"):
        mended.start(studio, run, mended.changes(studio, run.job, "bleed"))


def test_the_best_is_kept_with_word_strength_and_cover_in_its_file(studio, drawn):
    run, _ = drawn
    found = report.read(run)
    path = best.keep(studio, run, best.Best(80, 0.7, "", found.best.picture))
    says = edit.metadata(path)
    assert path.parent == studio.loras and "step-80" in path.name
    assert (trigger_of(says), strength_of(says)) == ("zxy", 0.7)
    assert says[THUMBNAIL].startswith("data:image/jpeg;base64,")
    assert best.keep(studio, run, best.Best(STEPS, 1.0, "")) == studio.loras / "ink.safetensors"
    chosen = best.at_full_strength(run, 80)
    assert chosen.strength == 1 and (run.files.insight / chosen.picture).is_file()


def test_the_command_prints_findings_best_and_pictures(studio, drawn, monkeypatch, capsys):
    run, _ = drawn
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))
    assert main(["insight", run.folder.name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["best"].keys() >= {"step", "strength", "says"} and len(told["pictures"]) == 9
    assert all(one.keys() >= {"kind", "severity", "says", "remedy", "picture"} for one in told["findings"])
    assert main(["insight", run.folder.name, "--mend", "nothing"]) == 1
    assert "was not found" in capsys.readouterr().err
