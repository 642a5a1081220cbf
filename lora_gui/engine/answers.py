"""What the engine answers to the lines of a child's input: a table of commands."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lora_gui import lean
from lora_gui.protocol.events import Event, Phase, Planned
from lora_gui.protocol.jobs import CaptionJob, ConvertJob, KeepJob, MixJob, PlanJob
from lora_gui.protocol.lease import Lease, holder


def _convert(lines: Iterator[bytes]) -> Iterator[Event]:
    from lora_gui.engine.convert import convert

    return convert(ConvertJob.model_validate_json(next(lines)))


def _caption(lines: Iterator[bytes]) -> Iterator[Event]:
    """Once nobody else has the device; beside whoever has it where the processor is to do it."""
    job = CaptionJob.model_validate_json(next(lines))
    if job.studio and not job.on_processor:
        if who := holder(Path(job.studio)):
            yield Phase(f"Waiting for {who} to be done")
        Lease(Path(job.studio)).take("a captioner", lambda who: None)  # held as long as this process lives
    with lean.importing():
        from lora_gui.engine.caption.describe import describe

    yield from describe(job)


def _keep(lines: Iterator[bytes]) -> Iterator[Event]:
    from lora_gui.engine.train.publish import kept

    return kept(KeepJob.model_validate_json(next(lines)))


def _mix(lines: Iterator[bytes]) -> Iterator[Event]:
    from lora_gui.engine.mix import mix

    return mix(MixJob.model_validate_json(next(lines)))


def _plan(lines: Iterator[bytes]) -> Iterator[Event]:
    """Each line is a training that is thought of; the answer is what it needs of memory."""
    with lean.importing():
        from lora_gui.engine.memory.plan import plan
        from lora_gui.families import family

    for line in lines:
        job = PlanJob.model_validate_json(line)
        yield Planned(plan(job, family(job.base.family)).to_json())


COMMANDS: dict[str, Callable[[Iterator[bytes]], Iterator[Event]]] = {
    "caption": _caption,
    "convert": _convert,
    "keep": _keep,
    "mix": _mix,
    "plan": _plan,
}
