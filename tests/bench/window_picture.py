"""Take README's picture of the window: the example pictures, what is made of them, a trigger word, Start.

python tests/bench/window_picture.py [FILE]        needs Chromium and Playwright, as the browser tests do
"""

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from real_page import real_page

WINDOW = Path(__file__).parents[2] / "lora_gui" / "ui" / "window.png"
COLOURS = 256  # as good as all of them here, at half the size
LOADED = "[...document.querySelectorAll('.pictures img')].slice(0, 10).every(one => one.complete && one.naturalWidth)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=WINDOW)
    out = parser.parse_args().file
    with tempfile.TemporaryDirectory() as folder, real_page(Path(folder)) as (page, address):
        page.goto(address)
        page.get_by_role("button", name="Close").click()
        page.get_by_text("Use the example pictures").click()
        page.locator("#trigger input").fill("zxy_style")
        page.get_by_text("is a good trigger word").wait_for()
        page.locator("#plan", has_text="fits in memory").wait_for()
        page.wait_for_function(LOADED)
        page.wait_for_timeout(2000)  # for the first look at the pictures to be told
        page.get_by_text("Looking at the pictures").wait_for(state="hidden")
        end = page.locator("#doctor").bounding_box()
        whole = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        shown = whole.convert("RGB").crop((0, 0, whole.width, round(end["y"] + end["height"]) + 24))
        shown.quantize(COLOURS).save(out, optimize=True)
    print(f"{out.name}: {shown.width} x {shown.height}, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
