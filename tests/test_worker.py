"""The child process: events and nothing else on its output, plain words for every end."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from safetensors import SafetensorError

from lora_gui import drive, files, worker
from lora_gui.engine.load.opening import opening
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.protocol import events
from lora_gui.protocol.events import Done, Drawn, Failed, Started, Stopped
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.studio.tasks import status
from tests import forkserver, tiny

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("base"))


STARTED = (sys.executable, "-m", "lora_gui.worker")  # as the app does it; other tests fork


def child(*arguments, text=None, command=None):
    """Run a child to its end; returns its exit code, its events and its log."""
    command = command or forkserver.command("-m", "lora_gui.worker")
    ended = subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, input=text, capture_output=True, encoding="utf-8", timeout=300
    )
    said = [events.from_line(line) for line in ended.stdout.splitlines()]
    assert None not in said, ended.stdout
    return ended.returncode, said, ended.stderr


def run_folder(tmp_path, base, **settings):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "job.json").write_text(tiny.job(tmp_path, base, **settings).model_dump_json(), encoding="utf-8")
    return folder


def test_a_run_ends_with_done_and_shows_that_it_lived(base, tmp_path):
    folder = run_folder(tmp_path, base, steps=2)
    code, said, _ = child("train", folder, command=STARTED)
    assert code == 0
    assert said[0] == Started(2)
    assert isinstance(said[-1], Done) and (folder / said[-1].lora).is_file()  # relative to the studio
    assert json.loads((folder / "beat.json").read_text())["pid"] > 0
    last, reached = TaskFolder(folder).read_result()
    assert last == replace(said[-1], lora=str(folder / said[-1].lora)) and (reached.step, reached.of) == (2, 2)


def test_a_drawing_child_works_off_orders_until_its_input_ends(base, tmp_path):
    def order(id, **settings):
        drawing = {"prompt": "zxy", "width": 64, "height": 64, "steps": 2} | settings
        where = {"key": "tiny", "title": "Tiny", "family": "sd1", "path": str(base)}
        return {"draw": {"id": id, "base": where, "settings": drawing, "folder": str(tmp_path / "out")}}

    orders = [
        order("one"),
        order("two", stack=[{"lora": str(tmp_path / "gone.safetensors"), "strength": 1}]),
        {"cancel": "three"},
        order("three"),
        order("four", count=2),
    ]
    code, said, _ = child("draw", text="".join(json.dumps(one) + "\n" for one in orders), command=STARTED)
    assert code == 0
    ends = {event.id: event for event in said if isinstance(event, Done | Stopped | Failed)}
    assert [type(ends[id]) for id in ("one", "two", "three", "four")] == [Done, Failed, Stopped, Done]
    assert ends["two"].what == "gone.safetensors is not there any more."
    assert [one.name for one in said if isinstance(one, events.Phase)].count("Loading Tiny") == 1, "the base stays"
    assert len([event for event in said if isinstance(event, Drawn) and event.id == "four"]) == 2


def test_no_library_meets_the_pipe_that_a_drawing_child_reads():
    """On Windows one that asks about standard input waits for as long as a thread reads it: nothing was ever drawn."""
    code = """if 1:
        import os, sys
        from lora_gui import worker
        def orders(lines, refused):
            print(os.read(0, 9), lines.readline(), file=sys.stderr, flush=True)
            raise SystemExit
        worker.Orders = orders
        worker.main(["draw"])"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=b"an order\n", capture_output=True, timeout=60)
    assert ended.stderr.splitlines()[0] == b"b'' b'an order\\n'"


def test_a_planning_child_that_is_asked_nothing_starts_and_ends():
    code, said, log = child("plan", text="")
    assert (code, said, "Traceback" in log) == (0, [], False)


def test_a_converting_child_names_the_file_that_is_not_there(tmp_path):
    order = {"file": str(tmp_path / "gone.safetensors"), "to": "kohya", "out": str(tmp_path / "out.safetensors")}
    code, said, _ = child("convert", text=json.dumps(order) + "\n")
    assert code == 1 and "gone.safetensors" in said[-1].what and type(said[-1]) is Failed


def test_a_mistake_of_the_user_is_one_sentence_and_no_traceback(base, tmp_path):
    folder = run_folder(tmp_path, base)
    job = (folder / "job.json").read_text(encoding="utf-8")
    (folder / "job.json").write_text(job.replace('"sd1"', '"sd11"'), encoding="utf-8")
    code, said, log = child("train", folder)
    assert code == 1
    assert said == [Failed("No family of bases is called 'sd11'.", "Did you mean 'sd1'?")]
    assert "Traceback" not in log


def test_the_cause_of_a_refusal_is_in_the_log(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "job.json").write_text("{}", encoding="utf-8")
    code, said, log = child("train", folder)
    assert code == 1
    assert [event.what for event in said] == ["The run run is damaged."]
    assert "The run run is damaged." in log and "ValidationError" in log


@pytest.mark.parametrize("typed", [(), ("train",), ("publish", "a", "b"), ("draw", "a")])
def test_a_child_that_somebody_starts_by_hand_says_how_the_app_is_started(typed):
    with pytest.raises(SystemExit, match="launch.sh"):
        worker.main([*typed])


def test_a_run_that_is_misspelt_is_not_made(tmp_path):
    with pytest.raises(SystemExit, match="There is no folder"):
        worker._within(str(tmp_path / "gone"), lambda *_: None)
    assert not [*tmp_path.iterdir()]


def test_an_unforeseen_error_is_said_in_plain_words_and_its_traceback_is_in_the_log(base, tmp_path):
    folder = run_folder(tmp_path, base, steps=2)
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    config = json.loads((broken / "unet" / "config.json").read_text())
    (broken / "unet" / "config.json").write_text(json.dumps(config | {"norm_num_groups": 0}))
    job = (folder / "job.json").read_text(encoding="utf-8")
    (folder / "job.json").write_text(job.replace(str(base), str(broken)), encoding="utf-8")
    code, said, log = child("train", folder)
    assert code == 1
    assert said[-1].what == "Something went wrong that was not foreseen."
    assert "Traceback" in log


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"),
        RuntimeError("Invalid buffer size: 17.59 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_has_its_own_words(error):
    assert worker.in_plain_words(error)[0] == "This computer ran out of memory."


@pytest.mark.parametrize("text", ["CUDA error: not allocated yet", "allocate a license first", "memory format"])
def test_what_only_sounds_like_too_little_memory_has_not(text):
    assert worker.in_plain_words(RuntimeError(text))[2] == ""


def test_what_a_library_prints_never_stands_among_the_events(tmp_path):
    code = (
        "import os; from lora_gui.protocol.writer import EventWriter; from lora_gui.protocol.events import Note\n"
        "writer = EventWriter(); print('printed', flush=True); os.write(1, b'by C\\n'); writer.say(Note('said'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == events.to_line(events.Note("said")) + "\n"
    assert ended.stderr == "printed\nby C\n"


# The worker, which comes to step 20 and no further: it is not at its end before it was killed.
TO_STEP_20 = """if 1:
    import sys, time
    from lora_gui import worker
    from lora_gui.protocol.events import Step
    say = worker.EventWriter.say
    def said(writer, event):
        say(writer, event)
        time.sleep(600 * (isinstance(event, Step) and event.step >= 20))
    worker.EventWriter.say = said
    sys.exit(worker.main(sys.argv[1:]))"""


def test_a_killed_child_leaves_a_run_that_goes_on_to_the_same_file(base, tmp_path):
    settings = {"steps": 30, "checkpoint_every": 5, "learning_rate": 1e-3}
    folder = run_folder(tmp_path, base, **settings)
    command = forkserver.command("-c", TO_STEP_20, "train", str(folder))
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(folder.glob("checkpoints/ckpt-0000[12]*")):
        time.sleep(0.02)
        assert process.poll() is None
    psutil.Process(json.loads((folder / "beat.json").read_text())["pid"]).kill()
    assert process.wait() == -signal.SIGKILL
    job = tiny.job(tmp_path, base, **settings)
    again = list(train(job, folder, family("sd1")))
    (tmp_path / "undisturbed").mkdir()
    undisturbed = list(train(job, tmp_path / "undisturbed", family("sd1")))
    assert again[0].first_step > 0 == undisturbed[0].first_step
    assert again[-1].sha256 == undisturbed[-1].sha256


@pytest.mark.parametrize("asked", ["publish", "pause"])
def test_a_start_that_ends_before_its_first_step_says_how_far_those_before_it_came(base, tmp_path, asked):
    folder = run_folder(tmp_path, base, steps=40)
    task = TaskFolder(folder)
    steps = [events.Step(step, 40, 0.5, 1e-4, 1.0) for step in (20, 30)]
    for event in (Started(40), *steps, events.Paused(31), Started(40, 31), events.Step(32, 40, 0.5, 1e-4, 1.0)):
        files.append_line(task.events, events.to_line(event))
    if asked == "pause":
        task.ask(asked)
    _, said, _ = child("train" if asked == "pause" else asked, folder)
    before = status.brief(task.events)
    (last, reached) = task.read_result()
    assert last == said[-1] and (reached.first, reached.of) == (before.first, before.of) == (31, 40)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk_under_the_log_ends_no_work_and_no_words():
    """Progress bars, warnings and tracebacks are printed there, by us and by libraries."""
    code = (
        "import sys; from lora_gui import worker; from lora_gui.protocol.writer import EventWriter, log_what_fits\n"
        "from lora_gui.protocol.events import Note\n"
        "log_what_fits(); writer = EventWriter()\n"
        "def work():\n"
        "    print('x' * 100_000, flush=True); print('bar', file=sys.stderr, flush=True)\n"
        "    raise OSError(28, 'No space left on device', 'model.safetensors')\n"
        "worker.guarded(work, writer)"
    )
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=full)
    assert events.from_line(ended.stdout.decode()) == Failed("The disk is full.", "Make some space and try again.")


NO_ROOM = [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), SafetensorError("No space left on device"),
           ValueError("Disk quota exceeded (os error 122)")]  # fmt: skip


@pytest.mark.parametrize("error", NO_ROOM)
@pytest.mark.parametrize("inside", [False, True])
def test_a_full_disk_while_a_base_is_opened_is_no_damaged_base(error, inside):
    def work():
        with opening(Base(key="a", title="A base", family="sd1", path="/a")):
            if not inside:
                raise error
            try:
                raise error
            except Exception as first:
                raise ValueError("cannot read it") from first

    with pytest.raises(drive.DiskFullError, match="The disk is full"):
        work()
    assert worker.in_plain_words(error)[:2] == drive.FULL


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), ValueError("x"), SafetensorError("x")])
def test_what_else_goes_wrong_while_a_base_is_opened_is_said_of_the_base(error):
    base = Base(key="a", title="A base", family="sd1", path="/a")
    with pytest.raises(UserError, match="A base cannot be opened"), opening(base):
        raise error
