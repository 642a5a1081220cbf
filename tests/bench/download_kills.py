"""Kill the child that downloads a base at random moments, and say how much had to be fetched twice.

    python -m tests.bench.download_kills [--kills 20] [--rate 3] [--seed 0]

A small Hub of this computer serves the starter's files as Stable Diffusion 1.5, at so many MB/s. A kill can cost what
was on its way: sent by the server, and not yet on the disk. What was on the disk before a kill is there after it.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from lora_gui.protocol.task_folder import unfinished
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import downloads
from lora_gui.studio.things import bases
from tests.net.hub import SmallHub

KNOWN = bases.known_bases()["sd15"]


def on_disk(studio: Studio) -> int:
    """Bytes of the base that are here, whole or not."""
    folder = unfinished(studio.bases / KNOWN.key)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def child_of(download: downloads.Download) -> int:
    """The process that works in its folder."""
    place = os.fsencode(download.task.path)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place in path.read_bytes():
                return int(path.parent.name)
        except OSError:
            continue
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3.0, help="MB/s of the small Hub")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    model = {p.relative_to(bases.SHIPPED).as_posix(): p.read_bytes() for p in bases.SHIPPED.rglob("*") if p.is_file()}
    with tempfile.TemporaryDirectory() as home, SmallHub(rate=int(given.rate * 1e6)) as hub:
        os.environ.update(hub.environment() | {"HF_HOME": f"{home}/hf"})
        hub.add(KNOWN.repo, model, KNOWN.revision)
        studio = Studio(Path(home) / "studio")
        lost = killed = 0
        while killed < given.kills:
            download = downloads.start(studio, KNOWN.key)
            time.sleep(dice.uniform(0.0, 2.0))
            before = on_disk(studio)
            if not (pid := child_of(download)):
                print(f"it had come before kill {killed + 1}: {download.status()}")
                break
            os.kill(pid, signal.SIGKILL)
            killed += 1
            while download.task.lives():
                time.sleep(0.01)
            lost += max(0, before - on_disk(studio))
        hub.rate = 0
        *_, last = downloads.start(studio, KNOWN.key).wait()
        needed = sum(one.size for one in _plan(studio).values())
        sent = hub.sent("GET .*(cdn|resolve)")
        right = all((studio.bases / KNOWN.key / name).read_bytes() == model[name] for name in _plan(studio))
    print(f"{killed} kills; {last.state}, {'every file is right' if right else 'NOT every file is right'}")
    print(f"{needed / 1e6:.1f} MB needed, {sent / 1e6:.1f} MB sent; lost from the disk: {lost} bytes")
    again = sent - needed
    print(f"fetched twice: {again / 1e6:.2f} MB in all, {again / max(killed, 1) / 1e3:.0f} KB a kill")
    return 0 if right and last.state == "finished" and lost == 0 and killed == given.kills else 1


def _plan(studio: Studio):
    from lora_gui.net.base_plan import Plan

    return Plan.model_validate_json((studio.bases / KNOWN.key / ".origin.json").read_bytes()).files


if __name__ == "__main__":
    sys.exit(main())
