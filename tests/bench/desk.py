"""How long the picture desk takes from a key to its paint: `python tests/bench/desk.py [--counts 150 1000]`.

A real window on a studio of its own and a real Chromium. Of each kind of step many are measured, from the key event to
the frame in which the page stands changed; also how long the desk takes to be there, and how many pictures are loaded.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page
from real_page import real_page

from lora_gui import files
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index
from lora_gui.ui.draft import Drafts, TrainDraft

SIZES = ((512, 512), (640, 400), (400, 640))
TIMES, DELETED = 60, 10  # of each step; pictures
MEASURE = """
window.times = [];
addEventListener('keydown', ({ timeStamp }) => requestAnimationFrame(() => { // and once that frame is done
  const channel = new MessageChannel();
  channel.port1.onmessage = () => window.times.push(performance.now() - timeStamp);
  channel.port2.postMessage('');
}), true);
"""

GONE = """
let began = 0;
addEventListener('keydown', ({ timeStamp }) => { began = timeStamp; }, { capture: true, once: true });
window.gone = new Promise(done => new MutationObserver((changes, observer) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  observer.disconnect();
  channel.port1.onmessage = () => done(performance.now() - began);
  channel.port2.postMessage('');
})).observe(document.querySelector('#picture-desk .pictures'), { childList: true }));
0;
"""


def made(studio: Studio, count: int) -> Path:
    """The folder of a set of so many pictures, all with captions, chosen in the draft."""
    folder, rng = studio.pictures / "20260101-000000-0000", np.random.default_rng(1)
    files.make_folder(folder)
    for n in range(1, count + 1):
        width, height = SIZES[n % len(SIZES)]
        small = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        small.resize((width, height)).save(folder / f"{n:04}.png", compress_level=1)
        (folder / f"{n:04}.txt").write_text(f"a thing number {n} on a table beside a window", encoding="utf-8")
    labels = tuple(f"photo {n}.png" for n in range(1, count + 1))
    picture_index.write(folder, picture_index.Index(title="many", labels=labels))
    Drafts(studio).train.change(lambda _: TrainDraft(folder=folder.name, trigger="zxy_style"))
    return folder


def timed(page: Page, keys: list[str]) -> list[float]:
    """ms from each key to its paint."""
    page.evaluate("window.times = []")
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_timeout(40)
    page.wait_for_timeout(200)
    return [float(one) for one in page.evaluate("window.times")]


def told(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"  {name:34} median {statistics.median(ordered):6.1f} ms, 95 % within {late:6.1f}, most {ordered[-1]:6.1f}")


def measured(page: Page, address: str, folder: Path, count: int) -> None:
    began = time.monotonic()
    page.goto(address)
    page.locator("#picture-desk figure img").first.wait_for(timeout=120_000)
    print(f"{count} pictures: the first is seen {time.monotonic() - began:.1f} s after the address was opened")
    page.wait_for_function("document.querySelector('#doctor')?.textContent && "
                           "!document.querySelector('#doctor').textContent.includes('Looking')", timeout=600_000)
    page.evaluate(MEASURE)
    page.locator("#picture-desk figure").first.focus()
    told("an arrow to the next picture", timed(page, ["ArrowRight"] * TIMES))
    told("an arrow to the next row", timed(page, ["ArrowDown"] * (TIMES // 4)))
    told("to the last, and to the first", timed(page, ["End", "Home"] * 10))
    told("Shift and an arrow: the crop", timed(page, ["Shift+ArrowRight", "Shift+ArrowLeft"] * 10))
    page.keyboard.press("Enter")
    told("a letter of a caption", timed(page, list("seen from above at night ") * 3))
    told("Enter: kept, and to the next caption", timed(page, ["Enter"] * TIMES))
    page.keyboard.press("Escape")
    there = page.evaluate("document.querySelectorAll('#picture-desk figure img').length")
    print(f"  {there} of {count} pictures were loaded by then")
    told("Delete: gone from the desk", [deleted(page) for _ in range(DELETED)])
    began = time.monotonic()
    while len(list(folder.glob("[0-9]*.png"))) > count - DELETED:
        time.sleep(0.01)
    print(f"  and all {DELETED} gone from the disk {(time.monotonic() - began) * 1000:.0f} ms after the last")


def deleted(page: Page) -> float:
    """ms from the key to the frame without the picture."""
    page.evaluate(GONE)
    page.keyboard.press("Delete")
    return float(page.evaluate("window.gone"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[150, 1000])
    options = parser.parse_args()
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "studio"
            home.mkdir()
            pictures = made(Studio(home), count)
            with real_page(home) as (page, address):
                measured(page, address, pictures, count)


if __name__ == "__main__":
    main()
