"""Runs by their names: pause, resume, stop; and check that everything in the studio is whole."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, note, say
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.tasks.runs import Run

MOST = 64  # processes that train together
WHICH = "a run: its folder, the folder's name, or the name of its LoRA"


def add(commands: Any, register: Register) -> None:
    resume = register(commands, "resume", run_resume, "go on with a run that was paused, stopped or cut short")
    resume.add_argument("run", metavar="RUN", help=WHICH)
    resume.add_argument("--steps", type=int, metavar="N", help="train a finished run further, to N steps in all")
    resume.add_argument(
        "--less-memory", action="store_true", help="the same with less memory, for one that ran out of it"
    )
    resume.add_argument("--here", action="store_true", help="also if it is on another computer, and has ended there")
    add_processes(resume, 0, "as many as before")
    pause = register(commands, "pause", run_pause, "keep everything of the run that is going on and free its memory")
    pause.add_argument("run", metavar="RUN", help=WHICH)
    stop = register(commands, "stop", run_stop, "end a run and save what it has learnt")
    stop.add_argument("run", metavar="RUN", help=WHICH)
    stop.add_argument("--force", action="store_true", help="end one that does not answer; its checkpoint is saved")
    delete = register(commands, "delete-run", run_delete, "move an ended run to the system's bin; its LoRA stays")
    delete.add_argument("run", metavar="RUN", help=WHICH)
    register(commands, "verify", run_verify, "check that runs, LoRAs, pictures and drawings are whole; changes nothing")


def add_processes(parser: argparse.ArgumentParser, default: int, told: str) -> None:
    """The option that lets several processes train together."""
    text = f"train with N processes, each on a card of its own, in batches N times as large (default: {told})"
    parser.add_argument("--processes", type=processes, default=default, metavar="N", help=text)


def processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"processes are 1 to {MOST}")
    return int(text)


def run_resume(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import packing, queue, retries, runs

    run = runs.find(studio, options.run)
    if run.lives():
        if options.steps or options.less_memory or options.processes:
            what = f"The run {run.folder.name} is going on, and nothing of it is changed meanwhile."
            raise UserError(what, "Pause it or wait for its end first; resume alone follows it.")
        note("It is going on already, and is followed now.")
        return followed(studio, run)
    if run.status().state == "elsewhere" and not options.here:
        what = f"The run {run.folder.name} is on another computer, as far as one can see."
        raise UserError(what, "Where it has ended there, go on with: resume --here")
    for sentence in packing.base_differs(studio, run.job.base):
        note(sentence)
    changes = retries.less_memory(run.job.settings) if options.less_memory else {}
    if changes:
        note(retries.in_words(changes))
    going_on = runs.resume(studio, run, options.steps, changes, options.processes)
    queue.hold(studio, False)  # the pause is over, also for those that wait
    return followed(studio, going_on)


def run_pause(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import queue, runs

    run = runs.find(studio, options.run)
    runs.pause(studio, run)
    queue.hold(studio, True)  # whoever pauses wants the computer for something else
    return _end_of(run)


def run_stop(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import runs

    run = runs.find(studio, options.run)
    if options.force and run.lives():
        run.stop()
        runs.end(studio, run)
    else:
        runs.stop(studio, run)
    return _end_of(run)


def run_delete(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What was moved to the bin, and the bytes it took."""
    from lora_gui.studio.tasks import runs

    run = runs.find(studio, options.run)
    size = runs.size(run)
    runs.delete(studio, run)
    return {"in_the_bin": str(run.folder), "bytes": size}


def run_verify(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.verify import verify

    found = verify(studio)
    if found["wrong"]:
        what = f"{len(found['wrong'])} of {found['checked']} things in your studio are not whole."
        told = [f"{one['path']}: {one['what']} {one['remedy']}" for one in found["wrong"]]
        raise EndedEarly(what, "\n".join(told), found)
    return found


def followed(studio: Studio, run: "Run") -> dict[str, Any]:
    """Follow a run to its end; what it made. Raises EndedEarly where it did not come to its last step."""
    from lora_gui.studio.tasks import runs

    status = runs.follow(studio, run, say)
    saved = {"run": str(run.folder)}
    again = f"Go on with: python -m lora_gui resume {run.folder.name}"
    match status.state:
        case "failed":
            raise EndedEarly(status.what, status.remedy, saved)
        case "paused":
            what = status.what or f"Paused at step {status.step} of {status.of}."
            raise EndedEarly(what, status.remedy or again, saved | {"steps": status.step})
        case "stopped":
            kept = (
                f"What was learnt is saved as {status.lora}." if status.lora else "There was nothing worth saving yet."
            )
            raise EndedEarly(
                f"Stopped at step {status.step} of {status.of}.", kept, saved | {"lora": status.lora}
            )
    return saved | {"lora": status.lora, "steps": status.step, "sha256": status.sha256, "seconds": status.seconds}


def _end_of(run: "Run") -> dict[str, Any]:
    """Wait until a run has done what it was asked for, and say where it stands."""
    status = run.status()
    if run.is_elsewhere() and not status.ended:
        note("It is on another computer, and hears of this only where that one has the same folder open.")
    else:
        for _ in run.wait():
            pass
        status = run.status()
    if status.state == "failed":
        raise EndedEarly(status.what, status.remedy, {"run": str(run.folder)})
    shown = {"run": str(run.folder), "state": status.state, "step": status.step, "of": status.of}
    return shown | ({"lora": str(Path(status.lora)), "sha256": status.sha256} if status.lora else {})
