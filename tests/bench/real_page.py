"""A real window on a studio, and a page of a real Chromium that looks at it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import Window, open_window  # noqa: E402


@contextmanager
def real_page(home: Path) -> Iterator[tuple[Page, str]]:
    """The page and the address that opens the window in it; both end with the block."""
    app = open_window(home, ROOT / "app.py")
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            yield browser.new_page(viewport={"width": 1280, "height": 900}), Window(home, app).address
            browser.close()
    finally:
        app.terminate()
        app.wait(60)
