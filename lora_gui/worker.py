"""The child process: a table of commands. A job in, events out as JSON lines; see `protocol`.

`python -m lora_gui.worker train <run folder>`, `publish <run folder>`, `download <folder>`, `draw`, `plan`, `convert`,
`keep`, `mix`, `caption`, `sign_in`; a folder alone is to be trained. `torchrun` or `accelerate launch` in place of
`python` starts several processes that train it together.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lora_gui import drive, environment, files, lean
from lora_gui.errors import SettingError, UserError
from lora_gui.protocol import events
from lora_gui.protocol.failures import in_plain_words
from lora_gui.protocol.gate import Gate
from lora_gui.protocol.lease import Lease
from lora_gui.protocol.lock import Lock
from lora_gui.protocol.orders import Orders
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.protocol.whereabouts import Launched
from lora_gui.protocol.writer import EventWriter, Teller, log_what_fits, own_input

LOOK = 0.2  # seconds between two looks at what the task is asked
BEAT = 10  # looks between two heartbeats
ENTER = 10.0  # seconds for the lock of a folder, in which a probe may stand for a moment
OCCUPIED = 3  # exit code where another worker is in the folder


def main(arguments: list[str]) -> int:
    """Do what the first argument names; the exit code is 0 where the last event is none of failure."""
    command, *rest = arguments if arguments and arguments[0] in COMMANDS else ("train", *arguments)
    try:
        inspect.signature(COMMANDS[command]).bind(*rest)
    except TypeError:
        sys.exit("This is no job of a child process. Start LoRA Studio by launch.sh or launch.bat.")
    if command not in environment.ONLINE:
        environment.go_offline()
    os.environ.update(environment.OF_CHILDREN)
    lean.start()
    log_what_fits()
    return COMMANDS[command](*rest)


def guarded(
    work: Callable[[], Any], writer: EventWriter | Teller, order: str = "", fault: Callable[[], Any] = lambda: None
) -> bool:
    """Whether `work` came to its end; what went wrong is said in plain words, and its cause stands in the log.

    `fault` is done after an error that nobody foresaw.
    """
    try:
        work()
    except UserError as error:
        print(f"{error.what} {error.remedy}", file=sys.stderr)
        if because := error.__cause__ or error.__context__:
            traceback.print_exception(because)
        instead = error.values if isinstance(error, SettingError) else {}
        writer.say(events.Failed(error.what, error.remedy, order, error.cause, instead))
    except Exception as error:  # noqa: BLE001  the only one: nobody else would tell the user
        traceback.print_exc()
        fault()
        what, remedy, cause = in_plain_words(error)
        writer.say(events.Failed(what, remedy, order, cause))
    else:
        return True
    return False


def _train(path: str) -> int:
    if Launched.here().rank:
        return _help(TaskFolder(Path(path)))

    def attended(task: TaskFolder, writer: EventWriter) -> None:
        gate = Gate()
        threading.Thread(target=_attend, args=(task, writer, gate), daemon=True).start()
        _learn(task, writer, gate)

    return _within(path, attended)


def _within(path: str, work: Callable[[TaskFolder, EventWriter], None]) -> int:
    """Do `work` in the folder of a task, which is this process's as long as it lives; the exit code."""
    task = TaskFolder(Path(path))
    if not os.path.isdir(path):  # else it would be made
        sys.exit(f"There is no folder {path}. Name the folder of a run.")
    lock = Lock(task.lock)
    if not lock.hold(ENTER):
        return OCCUPIED
    writer = EventWriter(task, _begun_by_hand(task))
    return 0 if guarded(lambda: work(task, writer), writer) else 1


def _begun_by_hand(task: TaskFolder) -> IO[bytes] | None:
    """Where events go that no parent has opened a place for: a launcher's standard output is that of a terminal."""
    if Launched.here().count == 1 or (task.events.is_file() and os.path.samestat(os.fstat(1), task.events.stat())):
        return None
    return task.begin_by_hand()


def _help(task: TaskFolder) -> int:
    """Train along with the leading process, which alone holds the folder, says and writes; it ends where that does."""
    os.dup2(2, 1)
    threading.Thread(target=_end_with_leading, args=(task,), daemon=True).start()
    teller = Teller()

    def work() -> None:
        job = task.read_job()
        from lora_gui.engine.train.loop import train
        from lora_gui.engine.train.ranks import join
        from lora_gui.families import family

        ranks = join(Launched.here())
        teller.tell = ranks.tell_failure
        for _ in train(job, task.path, family(job.base.family), ranks=ranks):
            pass

    if guarded(work, teller):
        return 0
    time.sleep(ENTER if teller.tell else 0)  # until the leading process has said it, with which this one ends
    return 1


def _end_with_leading(task: TaskFolder) -> None:
    """End this process once the leading one, which was seen to hold the folder, does so no more."""
    came = False
    while not came or task.lives():
        came = came or task.lives()
        time.sleep(LOOK)
    os._exit(0)


def _learn(task: TaskFolder, writer: EventWriter, gate: Gate) -> None:
    kept = 0  # the step that the next start would go on from
    try:
        job = task.read_job()
        from lora_gui.families import facts_of

        facts_of(job.base.family)  # torch is imported only once this is known
        from lora_gui.engine.train.ranks import join

        ranks = join(Launched.here())
        gate.others = ranks.failure
        lease = Lease(task.studio)
        lease.take("a training", lambda who: writer.say(events.Phase(f"Waiting for {who} to be done")))
        with lean.importing():
            from wakepy import keep

            from lora_gui.engine.train.loop import train
            from lora_gui.families import family

            kind = family(job.base.family)
        with keep.running(on_fail="pass"):  # the computer stays awake where its system lets itself be asked
            for event in train(job, task.path, kind, gate.begin, ranks):
                kept = event.step if isinstance(event, events.Saved) else getattr(event, "first_step", kept)
                writer.say(event)
        lease.release()
    except (UserError, OSError) as error:
        if not drive.is_full(error):
            raise
        what = (error.what, error.remedy) if isinstance(error, drive.DiskFullError) else drive.FULL
        writer.say(events.Paused(kept, *what))


def _attend(task: TaskFolder, writer: EventWriter, gate: Gate) -> None:
    """Show that this process lives, and answer a stop or pause at once as long as no step has begun."""
    looks = 0
    while True:
        if looks % BEAT == 0:
            files.overwrite(task.beat, f'{{"pid": {os.getpid()}, "beat": {looks // BEAT}}}')
        looks += 1
        if failed := events.from_line(gate.others()):
            writer.say(failed)
            os._exit(1)
        asked = task.asked()
        if asked and gate.close():
            guarded(functools.partial(_break_off, task, writer, asked), writer)
            os._exit(0)
        time.sleep(LOOK)


def _break_off(task: TaskFolder, writer: EventWriter, asked: str) -> None:
    """End before the first step: whatever an earlier start had learnt is kept or published."""
    if asked == "pause":
        writer.say(events.Paused(task.reached()))
    elif task.newest_checkpoint():
        _publish_checkpoint(task, writer)
    else:
        writer.say(events.Stopped())


def _publish(path: str) -> int:
    """Publish what the newest checkpoint of a run holds; no base is loaded for it."""
    return _within(path, _publish_checkpoint)


def _publish_checkpoint(task: TaskFolder, writer: EventWriter) -> None:
    from lora_gui.engine.train import publish

    for event in publish.from_checkpoint(task.read_job(), task):
        writer.say(event)


def _net(command: str) -> Callable[..., int]:
    """A command that connects: it works in the folder of a task where one is given, or answers what is on its input."""

    def run(*folder: str) -> int:
        def work(task: TaskFolder | None, writer: EventWriter) -> None:
            from lora_gui.net import child

            child.COMMANDS[command](task, writer)

        if folder:
            return _within(folder[0], work)
        writer = EventWriter()
        return 0 if guarded(lambda: work(None, writer), writer) else 1

    return run


def _draw() -> int:
    """Work off orders until the input ends, or until another task waits for the device and there is nothing to do."""
    writer = EventWriter()
    odd = "This drawing was ordered in a way that is not known here."
    orders = Orders(own_input(), lambda id: writer.say(events.Failed(odd, "Start the app again.", id)))
    with lean.importing():
        from lora_gui.engine.draw.drawer import Drawer

    drawers: dict[bool, Drawer] = {}  # one for the device, one for the processor beside it
    leases: dict[str, Lease] = {}
    while job := orders.next(lambda: any(lease.is_wanted() for lease in leases.values())):
        lease = leases.setdefault(job.studio, Lease(Path(job.studio))) if job.studio else None

        def work(job: Any = job, lease: Lease | None = lease) -> None:
            cancelled = lambda: orders.is_cancelled(job.id)  # noqa: E731
            if lease and not job.on_processor:
                lease.take("a drawing", lambda who: writer.say(events.Phase(_waiting_for(who))), cancelled)
            drawer = drawers.get(job.on_processor) or Drawer(on_processor=job.on_processor)
            drawers[job.on_processor] = drawer
            for event in drawer.draw(job, writer.say, cancelled):
                writer.say(event)

        # Nothing of what failed stays in memory; an order that is refused costs nobody the base that is there.
        guarded(work, writer, job.id, functools.partial(drawers.pop, job.on_processor, None))
    return 0


def _waiting_for(who: str) -> str:
    """Why a drawing does not begin, and what can be done about it."""
    from lora_gui.engine.load import device

    on_card = device.pick().type != "cpu"
    what = f"{who[:1].upper()}{who[1:]} is using the {'card' if on_card else 'processor'}"
    return f"{what}: waiting until it ends or pauses" + (", or draw on the processor" if on_card else "")


def _answer(command: str) -> Callable[[], int]:
    """A command that answers the lines on its input."""

    def run() -> int:
        writer = EventWriter()

        def work() -> None:
            from lora_gui.engine import answers

            for event in answers.COMMANDS[command](iter(sys.stdin.buffer)):
                writer.say(event)

        return 0 if guarded(work, writer) else 1

    return run


COMMANDS: dict[str, Callable[..., int]] = {
    "train": _train,
    "publish": _publish,
    "draw": _draw,
    **{name: _answer(name) for name in ("caption", "convert", "keep", "mix", "plan")},
    **{name: _net(name) for name in environment.ONLINE},
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
