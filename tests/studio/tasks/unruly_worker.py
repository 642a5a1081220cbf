"""A child that speaks the worker's protocol and misbehaves as its job asks, by the name of the LoRA or the prompt."""

import json
import os
import sys
import time
from pathlib import Path


def hold(folder: Path) -> None:
    """As the real worker does: it lives because it holds the lock of its folder."""
    from lora_gui.protocol.lock import Lock

    lock = Lock(folder / "task.lock")
    assert lock.hold(5)
    HELD.append(lock)
    (folder / "beat.json").write_text(json.dumps({"pid": os.getpid(), "beat": 0}))


HELD: list = []


def say(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def train(folder: Path) -> None:
    hold(folder)
    name = json.loads((folder / "job.json").read_text())["name"]
    again = "Resumed" in (folder / "events.jsonl").read_text()
    say("Started", steps=100, first_step=3 if again else 0)
    if name == "dies":
        say("Step", step=7, of=100, loss=0.5, learning_rate=1e-4, seconds_left=9.0)
        sys.stdout.write('{"event": "Step", "st')
        sys.stdout.flush()
        os._exit(9)
    if name == "out-of-memory":
        print("torch.OutOfMemoryError: CUDA out of memory.", file=sys.stderr)
        sys.exit(1)
    step = 0
    while folder.exists() and not (folder / "stop").exists():  # the folder goes with the test, at once where it passed
        if name == "counts":
            step += 1
            say("Step", step=step, of=100_000, loss=0.5, learning_rate=1e-4, seconds_left=9.0)
        if (folder / "pause").exists():
            say("Paused", step=3)
            return
        time.sleep(0.02)
    say("Stopped", step=3, lora="", sha256="")


def draw() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if "cancel" in order:
            say("Stopped", id=order["cancel"])
            continue
        job = order["draw"]
        say("Phase", name="Loading")
        if job["settings"]["prompt"] == "die":
            os._exit(9)
        if job["settings"]["prompt"] == "refuse":
            say("Failed", what="No.", remedy="Ask again.", id=job["id"])
        elif job["settings"]["prompt"] == "too large":
            say("Failed", what="No.", remedy="Smaller.", id=job["id"], instead={"width": 768, "height": 512})
        elif job["settings"]["prompt"] == "hang":
            time.sleep(600)
        elif job["settings"]["prompt"] != "wait":
            Path(job["folder"], f"{job['id']}-0.png").write_bytes(b"")
            say("Drawn", id=job["id"], path=str(Path(job["folder"], f"{job['id']}-0.png")), seed=1, number=1, of=1)
            say("Note", text=f"drawn by {os.getpid()}")
            say("Done", id=job["id"])


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        hold(Path(sys.argv[2]))
        say("Stopped", step=3, lora="/published.safetensors", sha256="ab")
    elif sys.argv[1] == "train":
        train(Path(sys.argv[2]))
    else:
        draw()
