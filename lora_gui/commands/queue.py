"""Runs that wait their turn: add, list, move and remove them, and work the queue off."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, note
from lora_gui.commands.runs import WHICH, followed
from lora_gui.commands.train import add_order, ordered
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.tasks.runs import Run

LOOK = 0.5  # seconds between two looks at a run that another window began


def add(commands: Any, register: Register) -> None:
    parser = register(commands, "queue", run_list, "let trainings wait their turn: add, list, move, remove, run")
    parser.set_defaults(show=_lines)
    topics = parser.add_subparsers(metavar="WHAT", parser_class=type(parser))
    added = register(topics, "add", run_add, "let a training wait its turn, which comes at once where nothing runs")
    add_order(added)
    listed = register(topics, "list", run_list, "say which runs wait, in order")
    moved = register(topics, "move", run_move, "let a waiting run come earlier or later")
    moved.add_argument("run", metavar="RUN", help=WHICH)
    moved.add_argument("place", type=int, metavar="PLACE", help="1 comes next")
    removed = register(topics, "remove", run_remove, "take a waiting run out")
    removed.add_argument("run", metavar="RUN", help=WHICH)
    register(topics, "run", run_run, "train what waits, one after the other, until nothing does")
    for one in (listed, moved, removed):
        one.set_defaults(show=_lines)


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """`{"running": name or "", "held": ..., "waiting": [{"run", "name", "preset", "base", "steps"}]}`."""
    from lora_gui.studio.tasks import queue, runs
    from lora_gui.studio.tasks.run import is_queue_held

    live = runs.running(studio)
    waiting = []
    for run in queue.waiting(studio):
        short = run.summary()
        waiting.append(
            {"run": run.folder.name, "name": short.name, "preset": short.preset, "base": short.base_title}
        )
    return {"running": live.job.name if live else "", "held": is_queue_held(studio.runs), "waiting": waiting}


def run_add(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import queue

    run = queue.add(studio, ordered(options, studio))
    names = [waiting.folder for waiting in queue.waiting(studio)]
    place = names.index(run.folder) + 1 if run.folder in names else 0
    note(f"It waits as number {place}." if place else "Nothing else runs, so it has begun.")
    return {"run": str(run.folder), "place": place}


def run_move(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import queue, runs

    queue.move(studio, runs.find(studio, options.run), options.place)
    return run_list(options, studio)


def run_remove(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    from lora_gui.studio.tasks import queue, runs

    queue.remove(studio, runs.find(studio, options.run))
    return run_list(options, studio)


def run_run(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """What became of each run; one that fails does not stop the next, but Ctrl-C does.

    Raises EndedEarly where one did not come to its last step.
    """
    from lora_gui.studio.tasks import queue, runs

    queue.hold(studio, False)
    ended, by_hand = list[dict[str, Any]](), False
    while (waiting := queue.waiting(studio)) and not by_hand:
        found = queue.advance(studio) or runs.running(studio)
        for run in waiting:
            if (status := run.status()).state == "failed" and not (found and found.folder == run.folder):
                note(f"{status.what} {status.remedy}")  # it could not be started
                ended.append({"run": str(run.folder), "error": status.what})
        if found:
            run = queue.Followed(found.folder)
            note(f"Training {run.job.name}")
            try:
                ended.append({"run": str(run.folder)} | followed(studio, run))
            except UserError as error:
                note(f"{error.what} {error.remedy}")
                ended.append({"run": str(run.folder), "error": error.what})
            by_hand = run.by_hand
        else:
            time.sleep(LOOK)
    return _all_well(ended, queue.waiting(studio))


def _all_well(ended: list[dict[str, Any]], left: list["Run"]) -> dict[str, Any]:
    """What became of the runs. Raises EndedEarly with it where one did not come to its last step."""
    last = {one["run"]: one for one in ended}.values()  # one that was paused may have gone on
    if wrong := sum("error" in one for one in last):
        again = "Go on with those that wait by: python -m lora_gui queue run"
        what = f"{wrong} of {len(last)} trainings did not come to the last step."
        raise EndedEarly(what, again if left else "Why is said above.", {"ended": ended})
    return {"ended": ended}


def _lines(result: dict[str, Any]) -> list[str]:
    first = [f"running: {result['running']}"] if result["running"] else []
    held = ["held: nothing starts until 'queue run' or a resume"] if result["held"] else []
    rows = [
        f"{place}  {one['run']}  {one['name']} ({one['preset']} on {one['base']})"
        for place, one in enumerate(result["waiting"], start=1)
    ]
    return [*first, *held, *(rows or ["Nothing waits."])]
