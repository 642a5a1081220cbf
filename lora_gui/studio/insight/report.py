"""What a run has learnt, as a report in its own folder: drawn, measured, judged, and read again by anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import TrainSettings, check
from lora_gui.studio.insight import best, mended, numbers, pictured, sheets, verdicts
from lora_gui.studio.insight.best import Best
from lora_gui.studio.insight.finding import KINDS, Finding
from lora_gui.studio.insight.measures import Picture
from lora_gui.studio.insight.numbers import Numbers, near
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.tasks.status import RunStatus

LIMIT = 5_000_000  # bytes of a report
REPORT = "report.json"  # in the folder of what was drawn
_OURS = re.compile(r"(?:[a-z]+/)?[\w-]+\.png|")  # names of what was drawn, in that folder
MOST_PICTURES = 200  # of a run that drawings are compared with, from all over the set
STOPPED = UserError("This was stopped before all was drawn.", "Look again; what it draws takes a minute or two.")
NOT_YET = UserError("This run is still going on.", "Look at what it learnt once it has ended.")


@dataclass(frozen=True)
class Told:
    """One of the pictures it learnt from: the drawing that is nearest, and its loss over that of step 0 if known."""

    number: int
    caption: str
    picture: str
    drawing: str
    traced: float  # 1 is the same line by line, 0 has none in common
    loss: float | None = None


@dataclass(frozen=True)
class Report:
    """`says` is the one sentence of a run of which nothing is wrong; file names are those in the run's folder."""

    step: int
    says: str
    findings: tuple[Finding, ...]
    best: Best | None
    pictures: tuple[Told, ...] = ()
    prompts: tuple[tuple[str, str, str], ...] = ()  # prompt, drawn by the base, drawn with the LoRA
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"findings": [one.to_json() for one in self.findings]}


@dataclass(frozen=True)
class Compared:
    """The pictures that drawings are compared with, and what is to be said where that is not all of them."""

    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


_REPORTS = TypeAdapter(Report)


def make(
    studio: Studio, drawer: Drawer, run: Run, is_stopped: Callable[[], bool], **order: Any
) -> Iterator[tuple[int, int]]:
    """Draw, measure and judge; how many are drawn of how many, then the report lies in the run's folder in place of an
    earlier one.

    `order` goes to `Drawer.order`. Raises UserError where the run goes on, where its base, LoRA or pictures cannot be
    used, where nothing can be drawn, and once `is_stopped`.
    """
    status = run.status()
    if not status.ended:
        raise NOT_YET
    if status.state == "failed" and not run.checkpoint():
        told = Report(status.step, "", tuple(_failed(studio, run.job, status)), None)
        files.write_json(run.files.insight / REPORT, told.to_json())
        return
    compared = compared_with(run.job)  # before all is drawn: without them that tells nothing
    files.sweep(run.folder)
    home = files.half_made(run.files.insight)
    try:
        drawn = sheets.plan(studio, run, home)
        for now in sheets.draw(drawer, drawn, is_stopped, **order):
            drawn = now
            yield drawn.drawn, drawn.of
        if is_stopped():
            raise STOPPED
        if problem := next((cell.problem for one in drawn.grids.values() for cell in one.cells if cell.problem), ""):
            raise UserError("Not all could be drawn.", problem)
        files.write_json(home / REPORT, judged(studio, run, home, drawn, compared).to_json())
        files.remove_folder(run.files.insight)
        files.move(home, run.files.insight)
    finally:
        files.remove_folder(home)


def read(run: Run) -> Report | None:
    """The report of a run; None where none was made, or where it cannot be read. A run may come from a stranger: a
    report that names settings or files which cannot be its own is none."""
    try:
        said = files.read_json(run.files.insight / REPORT, LIMIT)
        found: Report = _REPORTS.validate_python(said)
        for one in found.findings:
            check(TrainSettings, one.changes)
            KINDS[one.kind]
        names = [*(one.picture for one in found.findings), *(name for _, *both in found.prompts for name in both)]
        names += [found.best.picture] if found.best else []
    except (OSError, KeyError, ValueError, UserError):
        return None
    return found if all(_OURS.fullmatch(name) for name in names) else None


def judged(studio: Studio, run: Run, home: Path, drawn: sheets.Sheets, compared: Compared) -> Report:
    """By what was drawn into `home`, which the pictures of the findings are written into, too."""
    job, status = run.job, run.status()
    measured = numbers.measured(drawn.grids, compared.pictures)
    case = verdicts.Case(job, measured, status.measured)
    found = [*_failed(studio, job, status), *verdicts.findings(studio, case)]
    pictures = pictured.draw(home, case, found)
    unseen = {one.step: one.unseen for one in status.measured if one.unseen is not None and one.step}
    proposed = best.best(measured, job.preset, status.step, unseen, [one.kind for one in found])
    prompts = tuple((p.prompt, _name(home, p.base.path), _name(home, p.learnt.path)) for p in measured.asked)
    said = verdicts.praise(case) if not any(one.severity != "low" for one in found) else ""
    told = _pictures(job, measured, status.measured[-1].pictures if status.measured else {})
    return Report(status.step, said, tuple(pictures), proposed, told, prompts, compared.notes)


def compared_with(job: TrainJob) -> Compared:
    """Raises UserError where none is there any more, or one of them cannot be read."""
    paths, notes = _chosen(job)
    return Compared(tuple(map(_read, paths)), notes)


def _read(path: Path) -> Picture:
    try:
        return Picture.read(path)
    except UserError as error:
        what = f"The picture {path.name} of this run cannot be read."
        raise UserError(what, f"Put it back, or take {path} away, then look again.") from error


def _chosen(job: TrainJob) -> tuple[list[Path], tuple[str, ...]]:
    paths, count = [Path(one.path) for one in job.pictures], len(job.pictures)
    there = [path for path in paths if path.is_file()]
    if not there:
        raise UserError("The pictures of this run are not on this computer any more.", "Bring them back.")
    if len(there) <= MOST_PICTURES:
        left = count - len(there)
        gone = f"{left} of its pictures {'is' if left == 1 else 'are'} not there any more."
        return there, (gone,) if left else ()
    spread = [there[n * len(there) // MOST_PICTURES] for n in range(MOST_PICTURES)]
    return spread, (f"Drawings were compared with {MOST_PICTURES} of your {count} pictures.",)


def _pictures(job: TrainJob, measured: Numbers, losses: dict[str, float]) -> tuple[Told, ...]:
    drawings = [*measured.own, *(pair.learnt for pair in (*measured.seeds, *measured.asked))]
    captions = {Path(one.path): one.caption for one in job.pictures}
    told = []
    for number, picture in enumerate(measured.pictures, 1):
        found = near(picture, drawings)
        path = picture.path or Path()
        drawing = found.picture.path or Path()
        loss = losses.get(path.name)
        told.append(Told(number, captions.get(path, ""), path.name, drawing.name, round(found.traced, 3), loss))
    return tuple(told)


def _failed(studio: Studio, job: TrainJob, status: RunStatus) -> list[Finding]:
    """What ended the run, where something can be done about it."""
    if status.state != "failed" or status.cause not in ("memory", "diverged"):
        return []
    return [Finding(status.cause, status.what, status.remedy, changes=mended.changes(studio, job, status.cause))]


def _name(home: Path, path: Path | None) -> str:
    return path.relative_to(home).as_posix() if path else ""


