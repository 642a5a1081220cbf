"""Stop and pause are answered in every phase of a run, and a drawing waits its turn while a training has the device."""

from pathlib import Path

import pytest

from lora_gui import files
from lora_gui.protocol import events
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, runs
from lora_gui.studio.tasks.drawing import Drawer
from tests import forkserver, tiny
from tests.studio.tasks.test_runs import wait_until


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("base"))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", forkserver.command(str(Path(__file__).with_name("slow_worker.py"))))
    found = Studio(tmp_path / "studio")
    yield found
    for run in runs.all_runs(found):
        if beat := run.beat():
            process.kill(beat[0])


def order(studio, base, **settings):
    job = tiny.job(studio.home, base, **settings)
    return job.model_copy(update={"publish_to": str(studio.loras), "cache": str(studio.cache)})


def begun(run, what):
    """Wait until the slow part has begun."""
    wait_until(lambda: f"slow {what}" in (run.log.read_text() if run.log.exists() else ""), 60)


@pytest.mark.parametrize(
    ("part", "called"),
    [("encoding", "_encode_captions"), ("loading", "denoiser"), ("base samples", "_drawing")],
)
@pytest.mark.parametrize("asked", ["stop", "pause"])
def test_what_is_asked_before_the_first_step_is_answered_at_once(studio, base, part, called, asked, monkeypatch):
    monkeypatch.setenv("SLOW", part)
    run = runs.start(studio, order(studio, base))
    begun(run, called)
    getattr(runs, asked)(studio, run)
    wait_until(lambda: run.status().ended)  # not after ten minutes
    assert run.status().state == {"stop": "stopped", "pause": "paused"}[asked]
    assert run.status().step == 0 and not run.status().lora


def test_a_run_that_goes_on_and_is_stopped_while_it_loads_publishes_its_checkpoint(studio, base, monkeypatch):
    paused = paused_at_two(studio, base)
    monkeypatch.setenv("SLOW", "loading")
    runs.resume(studio, paused)
    begun(paused, "denoiser")
    runs.stop(studio, paused)
    wait_until(lambda: paused.status().ended)
    published_as_it_was_learnt(studio, base, paused)


def test_a_paused_run_is_published_without_its_base(studio, base):
    paused = paused_at_two(studio, base)
    job = paused.job
    gone = job.base.model_copy(update={"path": str(studio.home / "gone")})
    paused.files.write_job(job.model_copy(update={"base": gone}))
    noted = files.read_json(paused.files.started)
    files.write_json(paused.files.started, noted | {"job": files.sha256(paused.files.job)})
    (studio.home / "gone").mkdir()
    runs.stop(studio, paused)
    wait_until(lambda: paused.status().state == "stopped", 60)
    published_as_it_was_learnt(studio, base, paused)


def paused_at_two(studio, base):
    run = runs.start(studio, order(studio, base, steps=400, checkpoint_every=2))
    wait_until(lambda: run.checkpoint(), 90)
    runs.pause(studio, run)
    wait_until(lambda: run.status().ended, 60)
    assert run.status().state == "paused" and 2 <= run.status().step < 400
    return run


def published_as_it_was_learnt(studio, base, run):
    """The file is the one that an undisturbed run, stopped in the same step, publishes."""
    status = run.status()
    assert status.state == "stopped" and files.sha256(Path(status.lora)) == status.sha256
    from lora_gui.engine.train.loop import train
    from lora_gui.families import family

    folder = studio.home / "undisturbed"
    job = order(studio, base, steps=400, checkpoint_every=status.step)
    job = TrainJob.model_validate_json(job.model_copy(update={"publish_to": str(folder / "loras")}).model_dump_json())
    for event in train(job, folder, family("sd1")):
        if isinstance(event, events.Step) and event.step == status.step:
            files.touch(folder / "stop")
    assert isinstance(event, events.Stopped) and event.step == status.step and event.sha256 == status.sha256


def test_a_drawing_waits_while_a_training_has_the_device_and_says_so(studio, base, monkeypatch):
    monkeypatch.setenv("SLOW", "loading")
    run = runs.start(studio, order(studio, base))
    begun(run, "denoiser")
    monkeypatch.delenv("SLOW")
    drawer = Drawer(studio)
    try:
        settings = DrawSettings(prompt="zxy", width=64, height=64, steps=2)
        given_up, waits = (drawer.order(run.job.base, settings) for _ in range(2))
        wait_until(lambda: "A training is using the processor" in drawer.status(given_up).phase, 60)
        drawer.cancel(given_up)
        wait_until(lambda: drawer.status(given_up).state == "stopped")
        assert not drawer.status(waits).ended and not run.status().ended
        beside = drawer.order(run.job.base, settings, on_processor=True)
        runs.stop(studio, run)
        assert [list(drawer.wait(id))[-1].state for id in (waits, beside)] == ["done", "done"]
        later = runs.start(studio, order(studio, base, steps=2))  # the child that draws makes room by itself
        wait_until(lambda: later.status().ended, 90)
        assert later.status().state == "finished"
    finally:
        drawer.close()
