"""Another page in the same real Chromium, which holds the window's cookie, tries to drive the window."""

import http.server
import json
import threading
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import comes_to_rest, opened, until
from PIL import Image
from playwright.sync_api import Error, expect

from lora_gui.studio.paths import Studio
from lora_gui.ui.server import keys

PAGE = Path(__file__).with_name("strangers.html")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def stranger():
    """The port of a server that is not the window."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=PAGE.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def bring_a_picture(page, folder):
    path = folder / "one.png"
    Image.new("RGB", (96, 96), "orange").save(path)
    page.locator("#dropzone input.files").set_input_files(str(path))
    expect(page.locator(".pictures img")).to_have_count(1)


def test_a_page_of_somebody_else_gets_nowhere_and_the_window_goes_on(page, window, stranger, tmp_path, tell):
    bring_a_picture(page, tmp_path)
    shown = page.locator(".pictures img").get_attribute("src").split("file=")[1]
    port = urlsplit(page.url).port
    comes_to_rest(page)  # and what was chosen is kept
    before = sorted(path for path in window.home.rglob("*") if path.is_file())
    addresses = [f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "evil.example")]
    row, answers = tell("Ways of others' pages in Chromium"), []
    for name in ("127.0.0.1", "evil.example"):
        other = page.context.new_page()
        other.on("response", lambda answer: answers.append((answer.url, answer.status)))
        other.goto(f"http://{name}:{stranger}/{PAGE.name}")
        found = other.evaluate("([addresses, path]) => attack(addresses, path)", [addresses, shown])
        row.add(len(found), len(found) - sum(map(bool, found.values())))
        assert not [way for way, is_in in found.items() if is_in]
        assert not any(frame.locator("#start").count() for frame in other.frames)
        other.close()
    at_window = [(url, status) for url, status in answers if urlsplit(url).port == port]
    assert at_window and {status for _, status in at_window} <= {401, 403}, at_window
    assert sorted(path for path in window.home.rglob("*") if path.is_file()) == before
    row.more = f"{len(at_window)} refusals seen"
    page.locator("#others").click()
    expect(page.locator(".pictures img")).to_have_count(0)
    bring_a_picture(page, tmp_path)
    page.get_by_role("tab", name="Generate").click()
    expect(page.locator("#prompt textarea")).to_be_visible()
    assert window.complaints == []


def test_a_foreign_name_that_points_here_sees_nothing(page, window):
    """DNS rebinding: the browser takes it for one site, so only the guard can tell."""
    rebound = page.context.new_page()
    answer = rebound.goto(page.url.replace("127.0.0.1", "evil.example"))
    assert answer.status == 403 and "LoRA Studio on this computer" in rebound.content()
    asks = "([path, method]) => fetch(path, { method }).then(answer => answer.status)"
    assert rebound.evaluate(asks, ["/config", "GET"]) == 403
    for path in ("queue/join", "run/predict", "upload"):
        assert rebound.evaluate(asks, [f"/gradio_api/{path}", "POST"]) == 403
    rebound.close()


def test_a_link_from_elsewhere_opens_the_window_and_holds_no_handle_to_it(page, window, stranger):
    """Only a click in a tab of its own may lead here; the page that opened it can neither read nor steer it."""
    other = page.context.new_page()
    other.goto(f"http://127.0.0.1:{stranger}/{PAGE.name}")
    with page.context.expect_page() as came:
        other.evaluate("address => { window.held = window.open(address); }", page.url)
    came.value.locator("#start").wait_for()
    until(page, lambda: other.evaluate("held.closed"))  # the opener is cut off
    with pytest.raises(Error):
        other.evaluate("held.document.title")
    came.value.close()
    other.close()


def test_the_private_page_that_a_start_gives_the_browser_opens_the_window_once(browser, window):
    """From a file to another origin: a redirect of the window would lose its cookie."""
    known = json.loads((window.home / "window.json").read_text())
    given = keys.page(Studio(window.home), f"http://127.0.0.1:{known['port']}/")
    address = given.as_uri()
    context = opened(browser)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.headers.get("referer", "")))
    page.goto(address)
    page.locator("#start").wait_for()
    assert page.url == f"http://127.0.0.1:{known['port']}/" and not given.exists()
    assert not [referrer for referrer in asked if "token" in referrer or "file:" in referrer]
    assert page.evaluate("history.length") <= 2 and "token" not in page.evaluate("document.referrer")
    page.reload()
    page.locator("#start").wait_for()
    context.close()
