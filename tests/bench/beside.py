"""This checkout beside another one, whole commands in turn: `beside.py OTHER [--runs N] [--python PATH]`.

Opens the window, draws and trains on the starter, each N times in either checkout, one after the other so that whatever
else the computer does slows both. Prints one JSON object: the median seconds of each, and their ratio.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "lora_gui" / "starter" / "examples" / "style"
TRAIN = ("train", "--pictures", str(PICTURES), "--trigger", "zxy_style", "--name", "x", "--set", "steps=40",
         "--set", "sample_every=0")  # fmt: skip
DRAW = ("draw", "--prompt", "a red apple on a blue background", "--count", "4", "--seed", "1")


def environment(checkout: Path, home: Path) -> dict[str, str]:
    return os.environ | {"LORA_GUI_HOME": str(home), "PYTHONPATH": str(checkout)}


def command(*arguments: str) -> Callable[[str, Path, Path], None]:
    """Run a command of the command line to its end."""

    def run(python: str, checkout: Path, home: Path) -> None:
        whole = [python, "-m", "lora_gui", *arguments, "--json"]
        subprocess.run(whole, cwd=checkout, env=environment(checkout, home), check=True, capture_output=True)

    return run


def opened(python: str, checkout: Path, home: Path) -> None:
    """Start the window and wait until it answers."""
    window = subprocess.Popen(
        [python, "app.py", "--no-browser"], cwd=checkout, env=environment(checkout, home),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not _answers(home / "window.json"):
            if window.poll() is not None:
                raise SystemExit("The window did not open.")
            time.sleep(0.02)
    finally:
        window.terminate()
        window.wait()


def _answers(record: Path) -> bool:
    try:
        port = json.loads(record.read_text())["port"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", method="HEAD")
        with urllib.request.urlopen(request, timeout=1) as answer:
            return answer.status == 200
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return False


WORK = {"open": opened, "draw": command(*DRAW), "train": command(*TRAIN)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="a checkout of another commit")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="of an environment both can use")
    options = parser.parse_args()
    checkouts = {"this": ROOT, "other": options.other.resolve()}
    found: dict[str, dict[str, float]] = {}
    for name, work in WORK.items():
        seconds: dict[str, list[float]] = {kind: [] for kind in checkouts}
        for _ in range(options.runs):
            for kind, checkout in checkouts.items():
                home = Path(tempfile.mkdtemp(prefix="beside-"))
                began = time.monotonic()
                work(options.python, checkout, home)
                seconds[kind].append(time.monotonic() - began)
                shutil.rmtree(home, ignore_errors=True)
        medians = {kind: round(statistics.median(taken), 2) for kind, taken in seconds.items()}
        spread = {f"{kind}_range": [round(min(taken), 2), round(max(taken), 2)] for kind, taken in seconds.items()}
        found[name] = medians | {"ratio": round(medians["this"] / medians["other"], 2)} | spread
        print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
