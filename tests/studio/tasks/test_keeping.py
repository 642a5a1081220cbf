"""What a run has kept is put among the LoRAs as other programs read it, once."""

import pytest
from safetensors.numpy import load_file

from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.studio.library import notes
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import keeping
from lora_gui.studio.things import loras
from tests.studio.tasks.test_resume import ended
from tests.studio.things.test_loras import lora


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path / "studio")
    found.loras.mkdir(parents=True)
    return found


def learnt(run, value):
    return lora(run.folder / "checkpoints" / "ckpt-000003" / "adapter.safetensors", value=value)


def test_the_lora_of_a_paused_run_is_kept_once_among_the_loras_to_draw_with(studio):
    run = ended(studio, events.Paused(3), name="fox")
    learnt(run, 0.25)
    path = keeping.newest(studio, run)
    assert path == studio.loras / "fox-step-3.safetensors" and keeping.newest(studio, run) == path
    assert notes.of(studio, path.stem).step == 3
    other = ended(studio, events.Paused(3), name="fox")
    learnt(other, 0.5)
    kept = keeping.newest(studio, other)
    assert kept.name == "fox-step-3-2.safetensors"
    assert {str(one.max()) for one in load_file(kept).values()} == {"0.5", "2.0"}


def test_it_says_of_itself_what_the_end_of_a_run_does(studio):
    run = ended(studio, events.Paused(3), name="x" * 60)
    learnt(run, 0.25)
    told = loras.describe(keeping.newest(studio, run))
    assert (told.family, told.dialect, told.trigger, told.steps) == ("sd1", "kohya", run.job.trigger, 3)
    assert told.title == told.name == "x" * 60 + "-step-3" and told.base_key == run.job.base.key


def test_only_a_lora_that_has_learnt_something_is_kept(studio):
    run = ended(studio, events.Paused(3))
    with pytest.raises(UserError):
        keeping.newest(studio, run)
    learnt(run, 0.0)
    with pytest.raises(UserError, match="has not learnt anything yet"):
        keeping.newest(studio, run)
    assert not [*studio.loras.iterdir()]
