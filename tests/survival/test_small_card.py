"""A run that runs out of memory half-way: with the real worker, which a card that is too small stops."""

from pathlib import Path

from lora_gui.protocol import events
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, runs
from tests import forkserver, tiny


def test_it_goes_on_by_itself_from_its_checkpoint_with_less_and_says_so(tmp_path, monkeypatch, tell):
    small_card = forkserver.command(str(Path(__file__).with_name("small_card_worker.py")))
    monkeypatch.setattr(process, "COMMAND", small_card)
    tell("Runs that ran out of memory and went on by themselves with less", 1)
    studio, said = Studio(tmp_path / "studio"), []
    ordered = tiny.job(studio.home, steps=6).model_copy(update={"publish_to": str(studio.loras)})
    run = runs.start(studio, ordered)
    status = runs.follow(studio, run, said.append)
    assert status.notes == ("This computer ran out of memory. Now with save memory by recomputing all blocks.",)
    assert [event.first_step for event in said if isinstance(event, events.Started)] == [0, 2]
    assert status.state == "finished" and Path(status.lora).is_file()
    assert run.job.settings.gradient_checkpointing == "blocks"
