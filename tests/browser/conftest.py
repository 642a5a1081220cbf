"""A real window in a process of its own, and a real Chromium that looks at it."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 120  # seconds; a busy computer may take long to start a Python and a browser
REBOUND = "MAP evil.example 127.0.0.1"  # a foreign name that points at this computer, for the tests of strangers
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


@dataclass
class Window:
    """A running window and the studio folder it serves."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    complaints: list[str] = field(default_factory=list)  # what the browser's console called an error

    @property
    def address(self) -> str:
        """With the key, of which each opens the window once."""
        known = json.loads((self.home / "window.json").read_text(encoding="utf-8"))
        return f"http://127.0.0.1:{known['port']}/?token={known['token']}"


def _chromium():
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser():
    """Ended with its module: while Playwright's loop runs in this thread, no other test can run one of its own."""
    path = _chromium()
    if path is None:
        sentence = "The browser tests need Chromium, and none is installed (Debian, Ubuntu: sudo apt install chromium)."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", f"--host-resolver-rules={REBOUND}"]
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def open_window(home, app):
    """Start the script `app` on `home`; its process, once the window is there."""
    command = [sys.executable, str(app), "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"LORA_GUI_HOME": str(home)})
    until = time.monotonic() + PATIENCE
    while not (home / "window.json").is_file():
        assert process.poll() is None and time.monotonic() < until, "the window did not open"
        time.sleep(0.2)
    return process


@pytest.fixture(scope="module")
def window(request, tmp_path_factory):
    """The app, whose children are forked where the module does not say that it is `WHOLE`."""
    script = ROOT / "app.py" if getattr(request.module, "WHOLE", False) else Path(__file__).with_name("app_forking.py")
    home = tmp_path_factory.mktemp("a studio") / "with spaces"
    home.mkdir()
    app = open_window(home, script)
    yield Window(home, app)
    app.terminate()
    app.wait(PATIENCE)
    for run in runs.all_runs(Studio(home)):  # a run outlives its window; that of a test that failed shall not
        if beat := run.beat():
            psutil.Process(beat[0]).kill()


def forget_what_was_chosen(window):
    """What the page of the test before still asks for may be answered, and kept, after it was closed."""
    draft = window.home / "draft.json"
    while draft.exists():
        draft.unlink()
        time.sleep(0.3)


def until(page, true):
    """Wait for what no locator tells, such as what lies on the disk."""
    given_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < given_up, "it did not come true"
        time.sleep(0.05) if page.is_closed() else page.wait_for_timeout(50)  # in which Playwright hears of requests


def comes_to_rest(page):
    """Wait until the page has asked for nothing for longer than the time between two looks."""
    asked = []
    page.on("request", lambda one: asked.append(one.url))

    def rests():
        asked.clear()
        page.wait_for_timeout(2500)
        return not asked

    until(page, rests)


SEEN = "name => [...document.querySelectorAll(`#${name} :is(input, textarea)`)].some(one => one.checkVisibility())"


def unfold(page, name):
    """Open a fold, and wait until it can be typed in.

    A frame after its fields are seen for the first time gradio puts into them what they held at first, whatever was
    typed meanwhile; on a busy computer a frame takes longer than Playwright to type.
    """
    page.locator(f"#{name} > button.label-wrap").click()
    page.wait_for_function(SEEN, arg=name)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def opened(browser):
    """A context of its own, as of another browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    return context


@pytest.fixture
def page(browser, window):
    forget_what_was_chosen(window)
    context, under_way = opened(browser), set()
    page = context.new_page()
    page.on("request", lambda one: under_way.add(one) if one.method == "POST" else None)
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda one: under_way.discard(one))
    page.on("console", lambda said: window.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    # A page that is left breaks off what it was asking for, and says so; the page that comes shall have no complaint.
    page.on("framenavigated", lambda frame: None if frame.parent_frame else window.complaints.clear())
    with page.expect_response("**/run/predict"):  # the first look
        page.goto(window.address)
    page.wait_for_load_state("networkidle")  # and all others were answered
    page.locator("#start, #run-state").first.wait_for(state="attached")  # where a run stands, the form may not be there
    page.locator("html:not(.opening)").wait_for()  # and drawn
    yield page
    for _ in range(60):  # what is asked for yet would be kept for the next test; a few tests hold back their answers
        if page.is_closed() or not under_way:
            break
        page.wait_for_timeout(50)
    context.close()
