"""How long from the press of Draw to the drawing on the page: `python tests/bench/draw_seen.py [--times 10]`.

A real window on a studio of its own, a real Chromium and the starter as it draws unless told otherwise. Each time is
from the click to the frame in which the new drawing stands among the others; the first, which loads the base, is told
apart. Prints one JSON object, in seconds.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page
from real_page import real_page

from lora_gui import files

PROMPTS = ("red apple on a blue background", "cat face on a white background", "rocket on a black background")
PAUSE = 2500  # ms between a drawing that is seen and the next press, as somebody has who looks at it
SEEN = """
let began = 0;
const shown = () => document.querySelectorAll('#gallery .thumbnail-item img').length, before = shown();
document.querySelector('#draw').addEventListener('click', ({ timeStamp }) => { began = timeStamp; },
  { capture: true, once: true });
window.seen = new Promise(done => {
  const look = () => {
    const pictures = [...document.querySelectorAll('#gallery .thumbnail-item img')];
    if (pictures.length > before && pictures.every(one => one.complete)) done(performance.now() - began);
    else requestAnimationFrame(look);
  };
  look();
});
0;
"""


def seen(page: Page, prompt: str) -> float:
    """Seconds from the press to the frame with the drawing."""
    page.locator("#prompt textarea").fill(prompt)
    page.wait_for_timeout(PAUSE)
    page.evaluate(SEEN)
    page.locator("#draw").click()
    return float(page.evaluate("window.seen")) / 1000


def measured(page: Page, address: str, times: int) -> dict[str, float]:
    page.goto(address)
    page.get_by_role("tab", name="Generate").click()
    page.locator("#draw").wait_for()
    found = [seen(page, PROMPTS[n % len(PROMPTS)]) for n in range(times + 1)]
    rest = sorted(found[1:])
    figures = {"first": found[0], "median": statistics.median(rest), "least": rest[0], "most": rest[-1]}
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="drawings after the first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "studio"
        files.make_folder(home)
        with real_page(home) as (page, address):
            print(json.dumps(measured(page, address, options.times)))


if __name__ == "__main__":
    main()
