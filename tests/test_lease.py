"""One heavy task at a time has the device; whoever waits is told for what, and the holder knows of it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

from lora_gui.protocol.lease import Lease, holder
from lora_gui.protocol.lock import is_held

ROOT = Path(__file__).parent.parent
HOLD = (
    "import sys; from pathlib import Path; from lora_gui.protocol.lease import Lease\n"
    "lease = Lease(Path(sys.argv[1])); lease.take('a training', print); print('has it', flush=True); sys.stdin.read()"
)


def other_process(studio: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(studio)]
    child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "has it\n"
    return child


def test_the_device_is_free_once_its_holder_is_dead_however_it_died(tmp_path):
    child = other_process(tmp_path)
    assert holder(tmp_path) == "a training"
    told: list[str] = []
    tries = iter([False, False, True])
    assert not Lease(tmp_path).take("a drawing", told.append, lambda: next(tries))
    assert told == ["a training"] and not is_held(tmp_path / "device.turn.lock")
    child.kill()
    child.wait()
    lease = Lease(tmp_path)
    assert lease.take("a drawing", told.append) and holder(tmp_path) == "a drawing"
    lease.release()
    assert holder(tmp_path) == ""


def test_the_holder_knows_that_it_is_waited_for_and_whoever_waits_comes_next(tmp_path):
    child, mine, given_up = other_process(tmp_path), Lease(tmp_path), threading.Event()
    waiting = threading.Thread(target=mine.take, args=("a drawing", lambda who: None, given_up.is_set))
    waiting.start()
    other = Lease(tmp_path)
    while not other.is_wanted():
        time.sleep(0.01)
    child.kill()
    child.wait()
    waiting.join(60)
    assert mine.held and not other.is_wanted()
    mine.release()


def test_a_holder_that_says_nothing_readable_is_another_task(tmp_path):
    child = other_process(tmp_path)
    for text in ("[1]", "{", '{"doing": 5}'):
        (tmp_path / "device.json").write_text(text)
        assert holder(tmp_path) == "another task"
    child.kill()
    child.wait()
