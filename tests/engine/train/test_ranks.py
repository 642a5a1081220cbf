"""Processes that train one LoRA together, on the processor: two learn as one does with twice the batch."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lora_gui.engine.load import device
from lora_gui.engine.train import checkpoint, ranks
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.families.shared.noising import SharedGenerator, normal, uniform
from lora_gui.protocol.events import Done, Failed, Note, Paused, Sample, Saved, Started, Step, from_line
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.protocol.whereabouts import LAUNCHER, Launched
from tests import forkserver, tiny

ROOT = Path(__file__).parents[3]
QUICK = "from lora_gui.families.stable_diffusion_1 import model\nmodel.FAMILY = tiny.QuickStableDiffusion1()\n"
WORKER = f"import os, sys\nfrom lora_gui import worker\nfrom tests import tiny\n{QUICK}"  # its drawings take two steps
MAIN = "sys.exit(worker.main(sys.argv[1:]))"
FAMILY = tiny.QuickStableDiffusion1()
# each step is said, since each is kept
SETTINGS = {"steps": 4, "checkpoint_every": 1, "learning_rate": 1e-3, "caption_dropout": 0.3, "noise_offset": 0.1}


def run_folder(place, base, **settings):
    folder = place / "run"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(tiny.job(place, base, **(SETTINGS | settings)).model_dump_json())
    return TaskFolder(folder)


def free_port():
    """One below those that systems give to connections by themselves, of which any may be given away at once."""
    for port in range(20_000 + 20 * os.getpid() % 10_000, 32_000):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def together(task, count=2, more=""):
    """Start so many processes in a run's folder, as a launcher does."""
    told = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    found = []
    for rank in range(count):
        one = {key: str(value) for key, value in (told | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        with open(task.path.parent / f"log-{rank}.txt", "ab") as log:
            found.append(
                subprocess.Popen(
                    [*forkserver.command("-c", f"{WORKER}{more}{MAIN}"), "train", str(task.path)],
                    cwd=ROOT, env=os.environ | one, stdout=log, stderr=log,
                )
            )  # fmt: skip
    return found


def ended(processes, seconds=300):
    return [one.wait(seconds) for one in processes]


def said(task, kind=object):
    lines = task.events.read_text(encoding="utf-8").splitlines() if task.events.is_file() else []
    return [event for line in lines if isinstance(event := from_line(line), kind)]


def losses(events):
    return [event.loss for event in events if isinstance(event, Step)]


def weights(folder):
    kept, _ = checkpoint.newest(folder / "checkpoints")
    return safetensors.torch.load_file(kept.lora)


def wait_until(true, processes=(), seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end and all(one.poll() is None for one in processes)
        time.sleep(0.02)


TWO = {"sample_every": 2, "flip": True, "preservation": 0.5}


@pytest.fixture(scope="module")
def two(base, tmp_path_factory):
    """A run of two processes to its end; none changes it."""
    task = run_folder(tmp_path_factory.mktemp("two"), base, **TWO)
    assert ended(together(task)) == [0, 0]
    return task


@pytest.mark.parametrize("accumulation, held", [(1, 0.5), (2, 0)])
def test_two_processes_learn_as_one_with_twice_the_batch(two, base, tmp_path, accumulation, held):
    asked = {"accumulation": accumulation, "preservation": held, "flip": True}
    task = two if accumulation == 1 else run_folder(tmp_path / "two", base, **asked)
    assert task is two or ended(together(task)) == [0, 0]
    job = tiny.job(tmp_path / "one", base, **SETTINGS | asked | {"batch_size": 4})
    (tmp_path / "alone").mkdir()
    alone = list(train(job, tmp_path / "alone", FAMILY))
    assert losses(said(task)) == pytest.approx(losses(alone), rel=1e-5) and len(losses(alone)) == 4
    one, two = weights(tmp_path / "alone"), weights(task.path)
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5)
    assert any(event.text == "2 processes train together: each step learns from "
               f"{4 * accumulation} pictures." for event in said(task, Note))  # fmt: skip


def test_the_leading_process_alone_says_and_writes(two):
    task, events = two, said(two)
    assert [type(events[0]), type(events[-1])] == [Started, Done] and sum(isinstance(e, Done) for e in events) == 1
    assert [event.step for event in events if isinstance(event, Saved)] == [1, 2, 3, 4]
    assert sorted({event.step for event in events if isinstance(event, Sample)}) == [0, 2, 4]
    assert len(list((task.studio / "loras").iterdir())) == 1
    assert "Traceback" not in (task.path.parent / "log-1.txt").read_text()
    last, _ = task.read_result()
    assert last.sha256 == events[-1].sha256 and task.read_started()["machine"]


def test_both_pause_at_the_same_step_and_one_process_goes_on(base, tmp_path):
    task = run_folder(tmp_path, base, steps=400)
    processes = together(task)
    wait_until(lambda: said(task, Saved), processes)
    task.ask("pause")
    assert ended(processes) == [0, 0]
    paused = said(task)[-1]
    assert isinstance(paused, Paused) and 0 < paused.step < 400 and task.reached() == paused.step
    job = json.loads(task.job.read_text())
    task.job.write_text(json.dumps(job | {"settings": job["settings"] | {"steps": paused.step + 2}}))
    task.clear()
    alone = [*forkserver.command("-c", f"{WORKER}{MAIN}"), str(task.path)]  # a folder alone is to be trained
    lines = subprocess.run(alone, cwd=ROOT, capture_output=True, text=True)
    events = [from_line(line) for line in lines.stdout.splitlines()]
    assert events[0] == Started(paused.step + 2, paused.step) and isinstance(events[-1], Done)
    changed = "This run had 2 processes and goes on with 1: each step learns from 2 pictures instead of 4"
    assert any(isinstance(event, Note) and event.text.startswith(changed) for event in events)


def test_two_processes_that_were_killed_go_on_to_the_same_weights(two, base, tmp_path):
    task = run_folder(tmp_path, base, **TWO)
    shutil.copytree(two.checkpoint(3), task.checkpoint(3))
    assert ended(together(task)) == [0, 0]
    assert said(task)[0] == Started(4, 3)
    assert {key: value.tolist() for key, value in weights(two.path).items()} == {
        key: value.tolist() for key, value in weights(task.path).items()
    }


def test_what_another_process_fails_with_is_what_the_run_says(base, tmp_path):
    broken = (
        "from lora_gui.engine.train.step import TrainState\n"
        "def broken(self, batches): raise MemoryError\n"
        "if os.environ['RANK'] == '1': TrainState.one_step = broken\n"
    )
    task = run_folder(tmp_path, base)
    assert ended(together(task, more=broken))[0] == 1
    failed = said(task)[-1]
    assert isinstance(failed, Failed) and failed.cause == "memory"
    assert not task.lives()


def test_a_process_whose_other_one_is_killed_ends_and_says_so(base, tmp_path):
    task = run_folder(tmp_path, base, steps=2000)
    processes = together(task)
    wait_until(lambda: said(task, Saved), processes)
    os.kill(processes[1].pid, signal.SIGKILL)  # its fork dies with it
    assert ended(processes[:1]) == [1]
    assert said(task)[-1].what.startswith("Another process of this training has ended") and task.reached() >= 1


def test_the_others_end_with_the_leading_one(base, tmp_path):
    task = run_folder(tmp_path, base, steps=2000)
    processes = together(task)
    wait_until(lambda: said(task, Saved), processes)
    os.kill(processes[0].pid, signal.SIGKILL)
    assert ended(processes, 30)[1] in (0, 1)
    assert task.reached() >= 1


def test_each_process_draws_its_own_rows_of_the_whole_batch():
    alone = torch.Generator().manual_seed(5)
    whole = normal((4, 3, 2), torch.device("cpu"), alone), uniform(4, torch.device("cpu"), alone)
    rows = []
    for rank in range(2):
        shared = SharedGenerator(torch.device("cpu"))
        shared.rank, shared.count = rank, 2
        shared.manual_seed(5)
        rows.append((normal((2, 3, 2), torch.device("cpu"), shared), uniform(2, torch.device("cpu"), shared)))
    for n, both in enumerate(whole):
        assert torch.equal(torch.cat([rows[0][n], rows[1][n]]), both)


def test_a_step_of_several_is_one_exchange(base, tmp_path, monkeypatch):
    """Of the gradients and of the loss at once; counted, since it costs a wait for all others each time."""
    from lora_gui.engine.train.ranks import Ranks

    class Two(Ranks):
        count, averaged = 2, 0

        def average(self, buffer):
            self.averaged += 1

    ranks = Two()
    job = tiny.job(tmp_path, base, **(SETTINGS | {"accumulation": 3, "steps": 2}))
    (tmp_path / "run").mkdir()
    list(train(job, tmp_path / "run", FAMILY, ranks=ranks))
    assert ranks.averaged == 2


@pytest.mark.parametrize("rank, count", [("", ""), ("0", "1"), ("3", "2"), ("x", "2"), ("1", "2")])
def test_an_environment_that_no_launcher_made_means_one_process(rank, count, monkeypatch):
    environment = {"RANK": rank, "WORLD_SIZE": count}
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Launched.here() == Launched()


def test_several_processes_on_the_one_card_of_a_mac_are_refused(monkeypatch):
    monkeypatch.setattr(device, "pick", lambda: torch.device("mps"))
    with pytest.raises(UserError, match="one process"):
        ranks.join(Launched(0, 2, 2, 0))
