"""What the engine answers to the lines of a child's input: a table of commands."""

from collections.abc import Callable, Iterator

from lora_gui import lean
from lora_gui.protocol.events import Event, Planned
from lora_gui.protocol.jobs import ConvertJob, MixJob, PlanJob


def _convert(lines: Iterator[bytes]) -> Iterator[Event]:
    from lora_gui.engine.convert import convert

    return convert(ConvertJob.model_validate_json(next(lines)))


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


COMMANDS: dict[str, Callable[[Iterator[bytes]], Iterator[Event]]] = {"convert": _convert, "mix": _mix, "plan": _plan}
