"""How an order of drawings stands, step by step as the child tells it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_gui.protocol import events


@dataclass(frozen=True)
class DrawStatus:
    """How an order stands. `done` and `of` count drawings; within one, `step` and `steps` count its steps."""

    state: str = "queued"  # queued, drawing, done, stopped, failed
    preview: Path | None = None
    drawings: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = ()  # of the drawings
    done: int = 0
    of: int = 0
    step: int = 0
    steps: int = 0
    phase: str = ""
    part: int = 0  # of the phase, counted from 0
    parts: int = 0  # 0 where that is not known
    notes: tuple[str, ...] = ()
    what: str = ""
    remedy: str = ""
    instead: dict[str, Any] = field(default_factory=dict)  # values of settings that mend what failed

    @property
    def ended(self) -> bool:
        return self.state in ("done", "stopped", "failed")


def after(status: DrawStatus, event: events.Event) -> DrawStatus:
    """The status of an order once `event` has happened."""
    match event:
        case events.Phase(name, part, parts):
            return replace(status, state="drawing", phase=name, part=part, parts=parts)
        case events.Preview(_, path, step, of):
            return replace(status, state="drawing", phase="", preview=Path(path), step=step, steps=of)
        case events.Drawn(_, path, seed, _, of):
            drawings, seeds = (*status.drawings, Path(path)), (*status.seeds, seed)
            return replace(status, state="drawing", phase="", drawings=drawings, seeds=seeds, done=len(drawings), of=of)
        case events.Note(text) if text not in status.notes:
            return replace(status, notes=(*status.notes, text))
        case events.Done():
            return replace(status, state="done", phase="")
        case events.Stopped():
            return replace(status, state="stopped", phase="")
        case events.Failed(what, remedy, instead=instead):
            return replace(status, state="failed", what=what, remedy=remedy, instead=instead, phase="")
    return status
