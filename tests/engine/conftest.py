"""One tiny base and one finished run on it, shared by the tests of the engine."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lora_gui.engine.train import loop
from lora_gui.engine.train.loop import train
from lora_gui.protocol.events import Done, Event
from lora_gui.protocol.jobs import TrainJob
from tests import tiny

FAMILY = tiny.QuickStableDiffusion1()


@dataclass(frozen=True)
class Run:
    job: TrainJob
    folder: Path
    events: list[Event]

    @property
    def lora(self) -> Path:
        done = self.events[-1]
        assert isinstance(done, Done)
        return Path(done.lora)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True, scope="session")
def unhurried():
    """On a busy computer a step takes so long that the loss is looked at after each, and told: here, as they count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_READ_AFTER", 3600.0)
        yield


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("base"))


@pytest.fixture
def run(base, tmp_path):
    """`run(**settings)` trains in a fresh folder; `run(folder=...)` goes on in one."""

    def start(folder: Path | None = None, **settings) -> Run:
        folder = folder or tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        job = tiny.job(folder, base, **settings)
        return Run(job, folder, list(train(job, folder, FAMILY)))

    return start


@pytest.fixture(scope="session")
def once(base, tmp_path_factory):
    """`once(**settings)` is a run, made when a test first asks for it. Others look at it too: none changes it."""
    made: dict[str, Run] = {}

    def start(**settings) -> Run:
        told = repr(sorted(settings.items()))
        if told not in made:
            folder = tmp_path_factory.mktemp("once")
            job = tiny.job(folder, base, **settings)
            made[told] = Run(job, folder, list(train(job, folder, FAMILY)))
        return made[told]

    return start


@pytest.fixture(scope="session")
def finished(base, tmp_path_factory) -> Run:
    """Eight steps on all layers."""
    folder = tmp_path_factory.mktemp("finished")
    job = tiny.job(folder, base, steps=8, layers="all", sample_every=4, checkpoint_every=4)
    return Run(job, folder, list(train(job, folder, FAMILY)))
