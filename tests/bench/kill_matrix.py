"""Kill the training child, and whoever started it, again and again: `python tests/bench/kill_matrix.py --kills 500`.

Every child is a real process with the real worker, forked from one that has loaded the libraries already. After each
death the LoRA's file must be absent or whole, and the run must end with the very bytes of an undisturbed one.
"""

import argparse
import gc
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["OMP_NUM_THREADS"] = "1"  # before torch comes, and for all children: with more it cannot be forked

import psutil  # noqa: E402
import wakepy  # noqa: E402, F401  as all that a child would import
from tqdm import tqdm  # noqa: E402

from lora_gui import families, files, worker  # noqa: E402
from lora_gui.engine.train.loop import train  # noqa: E402
from lora_gui.protocol import events  # noqa: E402
from lora_gui.protocol.jobs import TrainJob  # noqa: E402
from lora_gui.protocol.task_folder import TaskFolder  # noqa: E402
from lora_gui.studio.tasks.status import Follower  # noqa: E402
from tests import tiny  # noqa: E402

SHORT = {"steps": 6, "checkpoint_every": 2, "learning_rate": 1e-3}
IN_A_ROW = 50  # deaths of one run
LIMITS = (8_000, 20_000, 40_000)  # bytes a file may have: the third is passed by the optimizer alone


def child(folder: Path, prepare: Callable[[], object] = lambda: None) -> int:
    """The worker in a process of its own, its output where the studio would send it; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for number, path in ((1, TaskFolder(folder).events), (2, TaskFolder(folder).log)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        prepare()
        code = worker.main(["train", str(folder)])
    finally:
        os._exit(code)


def to_the_end(folder: Path, prepare: Callable[[], object] = lambda: None) -> events.Event:
    """Start the run once more and let it come to its last word."""
    os.waitpid(child(folder, prepare), 0)
    return Follower(TaskFolder(folder).events).new_events()[-1]


def undisturbed(folder: Path, base: Path, **settings: object) -> tuple[TrainJob, str]:
    """What was ordered and the sum of the LoRA that came out."""
    job = tiny.job(folder, base, **settings)
    ordered(folder, job)
    whole = to_the_end(folder)
    assert isinstance(whole, events.Done), whole
    return job, whole.sha256


def ordered(folder: Path, job: TrainJob) -> Path:
    """The same job in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    job = job.model_copy(update={"publish_to": str(folder / "loras")})
    TaskFolder(folder).job.write_text(job.model_dump_json())
    return folder


def published(folder: Path) -> list[str]:
    """The sums of the LoRAs as others see them."""
    return [files.sha256(path) for path in (folder / "loras").glob("*.safetensors") if path.name[0] != "."]


def ends_exactly(folder: Path, whole: str) -> bool:
    """Whether the run comes to its end with that LoRA alone, and sweeps up what the dead have left."""
    last = to_the_end(folder)
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".part", ".tmp", ".gone"))]
    return isinstance(last, events.Done) and published(folder) == [whole] == [last.sha256] and not left


def at_random(work: Path, base: Path, kills: int, rng: random.Random) -> dict[str, int]:
    """kill -9 at random moments, each run fifty times in a row; then it may come to its end."""
    settings = {"steps": 40, "checkpoint_every": 2, "sample_every": 20, "learning_rate": 1e-3}
    job, whole = undisturbed(work / "reference", base, **settings)
    loading = seconds_to_the_first_step(ordered(work / "loading", job))
    done = held = runs = 0
    while done < kills:
        folder, deaths = ordered(work / f"killed-{runs}", job), min(IN_A_ROW, kills - done)
        good = 0
        for n in range(1, deaths + 1):
            far = settings["steps"] * n // (deaths + 1)
            good += dies(folder, rng.uniform(0, 1.6 * loading), far) and set(published(folder)) <= {whole}
        done, runs, held = done + deaths, runs + 1, held + (good if ends_exactly(folder, whole) else 0)
    return {"tried": done, "held": held, "runs": runs}


def seconds_to_the_first_step(folder: Path) -> float:
    """Of the processor's time, so that it holds on a busy computer too."""
    follower, process = Follower(TaskFolder(folder).events), psutil.Process(child(folder))
    while not follower.read().step:
        time.sleep(0.003)
    spent = sum(process.cpu_times()[:2])
    process.wait()
    return spent


def dies(folder: Path, seconds: float, far: int) -> bool:
    """Start the run and kill it once it has had these seconds of the processor, or has come past step `far`."""
    follower, process = Follower(TaskFolder(folder).events), psutil.Process(child(folder))
    while sum(process.cpu_times()[:2]) < seconds and follower.read().step <= far:
        time.sleep(0.003)
    process.kill()
    _, status = os.waitpid(process.pid, 0)
    return os.WIFSIGNALED(status)


def while_publishing(work: Path, base: Path, every: int) -> dict[str, int]:
    """Both processes die at the k-th act upon the disk, from the last checkpoint to the last word."""
    job, whole = undisturbed(work / "publishing", base, **SHORT)
    for name in ("loras", "samples"):
        shutil.rmtree(work / "publishing" / name)
    held = 0
    for tried, k in enumerate(range(1, 1000, every)):
        folder = work / f"publishing-{k}"
        shutil.copytree(work / "publishing", folder)
        ordered(folder, job)
        if not both_die(folder, k):
            return {"tried": tried, "held": held}
        held += set(published(folder)) <= {whole} and ends_exactly(folder, whole)
    raise AssertionError("publishing never came to an end")


def both_die(folder: Path, k: int) -> bool:
    """Start a window that starts the run; whether they died, which they do at the k-th act."""
    read, write = os.pipe()
    window = os.fork()
    if not window:
        try:
            os.waitpid(child(folder, partial(die_at, k, os.getpid(), write)), 0)
        finally:
            os._exit(0)
    os.close(write)
    orphan = int(os.read(read, 20))
    os.read(read, 1)  # nothing comes, but the pipe closes with the last of the two
    os.close(read)
    _, status = os.waitpid(window, 0)
    while psutil.pid_exists(orphan):  # the system takes a moment to bury it
        time.sleep(0.01)
    return os.WIFSIGNALED(status)


def die_at(k: int, window: int, birth: int) -> None:
    """From now on, the k-th act kills the window and this process, whose number is written to `birth`."""
    os.write(birth, str(os.getpid()).encode())
    left = iter(range(k - 1, -1, -1))

    def about_to(act: str, path: Path) -> None:
        if next(left, None) == 0:
            os.kill(window, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    files.about_to = about_to


def on_a_small_disk(work: Path, base: Path) -> dict[str, int]:
    """Files may not grow beyond a limit: the run ends with a sentence, and goes on where there is room."""
    job, whole = undisturbed(work / "roomy", base, **SHORT)
    held = 0
    for limit in LIMITS:
        folder = ordered(work / f"limit-{limit}", job)
        last = to_the_end(folder, partial(limit_files, limit))
        told = isinstance(last, events.Failed) and "could not be saved" in last.what
        held += told and not published(folder) and ends_exactly(folder, whole)
    return {"tried": len(LIMITS), "held": held}


def limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=50, help="deaths at random moments")
    options.add_argument("--every", type=int, default=1, help="of the acts while publishing, each n-th")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    tqdm.set_lock(threading.RLock())  # its own lock is shared with the children, and one killed would never let go
    families.family = lambda key: tiny.QuickStableDiffusion1()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        base = tiny.stable_diffusion_1(work)
        for _ in train(tiny.job(work, base), work / "warm", families.family("sd1")):
            pass  # once in this process, so that no child has to load a library
        gc.collect()
        gc.freeze()  # what is here now is shared with the children and never looked through again
        parts = {
            "killed at random moments": lambda: at_random(work, base, given.kills, random.Random(given.seed)),
            "both killed while publishing": lambda: while_publishing(work, base, given.every),
            "no room on the disk": lambda: on_a_small_disk(work, base),
        }
        for title, part in parts.items():
            print(json.dumps({title: part()}), flush=True)


if __name__ == "__main__":
    main()
