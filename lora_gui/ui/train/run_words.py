"""How a run stands, in words; nothing here knows a component of the window."""

from collections.abc import Iterable
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.studio.doctor import doctor
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import learning, retries
from lora_gui.studio.tasks.runs import Run
from lora_gui.studio.tasks.status import RunStatus
from lora_gui.studio.things import pictures, presets
from lora_gui.ui.widgets import markup


def preset_titles(studio: Studio, keys: Iterable[str]) -> dict[str, str]:
    """What presets are called; one that is gone, as its key says."""
    known = presets.presets(studio)
    return {key: known[key].title if key in known else key.capitalize() for key in keys}


def head(studio: Studio, run: Run) -> str:
    try:
        job = run.job
    except UserError as error:
        return markup.problem(error)
    count = markup.counted(len(job.pictures), "picture")
    preset = preset_titles(studio, [job.preset])[job.preset]
    under = f"{preset} on {job.base.title}, {count}, trigger word {job.trigger}"
    return f'<h2 class="run-name">{markup.text(job.name)}</h2>{markup.quiet(under)}'


def learnt(studio: Studio, run: Run, status: RunStatus) -> tuple[str, ...]:
    """What the measures of an ended run say, with its pictures called as on the desk; by numbers once their set is
    gone."""
    called: dict[str, str] = {}
    try:
        for folder in {Path(picture.path).parent.name for picture in run.job.pictures if status.measured}:
            called |= {one.path.name: one.file for one in doctor.of_set(pictures.load(studio.pictures / folder))}
    except UserError:
        pass
    return learning.said(status.measured, called)


def progress(status: RunStatus) -> str:
    """One line or bar for every state."""
    if status.ended:
        return _ending(status)
    share = status.step / status.of if status.of else -1.0
    if status.state == "stopping":
        return markup.bar(share, "Stopping", "what there is will be saved")
    if status.state == "pausing":
        return markup.bar(share, "Pausing", "everything is kept")
    if status.state == "elsewhere":
        at = f"step {status.step} of {status.of}" if status.of else ""
        return markup.bar(share, "On another computer", f"{at}, as far as has come here".removeprefix(", "))
    if status.phase:
        counting = f" {status.done} of {status.phase_of}" if status.phase_of else ""
        at = f"step {status.step} of {status.of}" if status.step else ""
        return markup.bar(share if status.step else -1.0, f"{status.phase}{counting}", at)
    if not status.step:
        return markup.bar(-1.0, "Starting", "the first step takes a moment")
    left = f"{markup.duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    return markup.bar(share, f"Step {status.step} of {status.of}", left)


def early(status: RunStatus) -> str:
    """Why the first samples of a run that goes on may look worse than those before it."""
    begun = not status.ended and any(0 < sample.step < status.of / 2 for sample in status.samples)
    is_early = begun and not any(sample.step >= status.of / 2 for sample in status.samples)
    return markup.quiet("At first drawings may look worse: it forgets a little before it learns.") if is_early else ""


def _ending(status: RunStatus) -> str:
    at = f"Your run stopped at {status.step:,} of {status.of:,}."
    if status.state == "failed":
        return markup.notice(f"{at} {status.what}" if status.step else status.what, status.remedy)
    if status.state == "paused" and status.what:
        return markup.notice(f"{at} {status.what}", status.remedy)
    if status.state == "paused":
        where = f"Paused at step {status.step:,} of {status.of:,}." if status.of else "Paused before the first step."
        return markup.notice(where, "Everything is kept, and the memory is free.", kind="note")
    if status.state in ("finished", "stopped") and status.what:
        return markup.notice(f"{at} {status.what}", status.remedy, kind="note")
    if status.state == "finished":
        timed = status.seconds and not status.first
        took = f" in {markup.duration(status.seconds).removeprefix('about ')}" if timed else ""
        return markup.notice(
            "Your LoRA is ready.", f"{status.step} steps{took}; saved as {Path(status.lora).name}.", kind="good"
        )
    if status.lora:
        return markup.notice(
            f"Stopped at step {status.step}.",
            f"What was learnt by then is saved as {Path(status.lora).name}.",
            kind="good",
        )
    return markup.notice(
        f"Stopped at step {status.step}.", "That was too early for a LoRA, so nothing was saved.", kind="note"
    )


def go_on(run: Run, status: RunStatus) -> str:
    """What the button says that starts an ended run again."""
    if status.state == "finished":
        return f"Train {more(status.of or status.step):,} more steps"
    try:
        if retries.changes(run.job, status.cause):
            return "Retry with less memory" if status.cause == "memory" else "Retry with a lower learning rate"
    except UserError:  # damaged; the head of the page says so
        pass
    if status.state == "elsewhere":
        return "Go on here"
    return "Resume" if run.checkpoint() or status.state == "paused" else "Try again"


def more(steps: int) -> int:
    """How many steps are added at once: about a quarter, in round numbers."""
    return max(10, round(steps / 40) * 10)
