"""Who may talk to the window; asked of the guard itself, with a small app behind it that counts what reaches it."""

import asyncio

import pytest

from lora_gui.ui.guard import Guard

PORT, TOKEN = 7999, "a-token-of-this-start"
HOST = f"127.0.0.1:{PORT}"


class Behind:
    """An ASGI app that counts."""

    def __init__(self):
        self.calls = 0

    async def __call__(self, scope, receive, send):
        self.calls += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


def ask(guard, method="GET", path="/config", query="", kind="http", **headers):
    """The first message that comes back."""
    sent = []

    async def send(message):
        sent.append(message)

    given = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None],
    }
    if kind == "http":
        scope["method"] = method
    asyncio.run(guard(scope, None, send))
    return sent[0]


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def guard(behind):
    return Guard(behind, PORT, TOKEN)


@pytest.fixture
def cookie(guard):
    answer = ask(guard, path="/", query=f"token={TOKEN}")
    return dict(answer["headers"])[b"set-cookie"].decode().split(";")[0]


def test_the_token_is_exchanged_for_a_cookie_and_a_clean_address(guard):
    answer = ask(guard, path="/", query=f"token={TOKEN}")
    headers = dict(answer["headers"])
    assert answer["status"] == 303 and headers[b"location"] == b"/"
    assert b"HttpOnly" in headers[b"set-cookie"] and b"SameSite=Strict" in headers[b"set-cookie"]
    assert TOKEN.encode() not in headers[b"set-cookie"]


def test_the_cookie_opens_and_brings_the_headers_that_forbid_framing(guard, behind, cookie):
    answer = ask(guard, cookie=cookie, origin=f"http://{HOST}")
    assert answer["status"] == 200 and behind.calls == 1
    assert b"frame-ancestors 'none'" in dict(answer["headers"])[b"content-security-policy"]


@pytest.mark.parametrize("query", ["", "token=", "token=wrong", "token=%C3%BC", "token=%00"])
def test_without_the_right_token_nothing_opens(guard, behind, query):
    assert ask(guard, path="/", query=query)["status"] == 401
    assert behind.calls == 0


@pytest.mark.parametrize("wrong", ["studio-7999=x", "studio-7999=ü", "other=1", "=;=", "studio-7998=x"])
def test_a_wrong_cookie_does_not_open(guard, behind, wrong):
    assert ask(guard, cookie=wrong)["status"] == 401
    assert behind.calls == 0


@pytest.mark.parametrize(
    "host",
    [
        None,
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        f"[::1]:{PORT}",
        f"127.0.0.1.evil:{PORT}",
    ],
)
def test_a_foreign_host_name_is_refused_even_with_the_cookie(guard, behind, cookie, host):
    assert ask(guard, cookie=cookie, host=host)["status"] == 403
    assert behind.calls == 0


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        f"https://{HOST}",
        "http://127.0.0.1:3000",
        f"http://127.0.0.1.evil:{PORT}",
        f"http://localhost:{PORT}",
    ],
)
def test_a_foreign_origin_is_refused_even_with_the_cookie(guard, behind, cookie, origin):
    assert ask(guard, "POST", cookie=cookie, origin=origin)["status"] == 403
    assert behind.calls == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_of_another_site_is_refused_except_for_opening_the_page(guard, behind, cookie, site):
    assert ask(guard, "POST", "/gradio_api/upload", cookie=cookie, sec_fetch_site=site)["status"] == 403
    assert ask(guard, "POST", "/", cookie=cookie, sec_fetch_site=site)["status"] == 403
    assert ask(guard, path="/", cookie=cookie, sec_fetch_site=site)["status"] == 200
    assert behind.calls == 1


def test_a_websocket_is_closed(guard, behind):
    assert ask(guard, kind="websocket")["type"] == "websocket.close"
    assert behind.calls == 0


def test_only_the_two_questions_of_launch_itself_need_no_cookie(guard, behind):
    assert ask(guard, path="/gradio_api/startup-events")["status"] == 200
    assert ask(guard, "HEAD", "/")["status"] == 200
    assert ask(guard, "POST", "/gradio_api/startup-events")["status"] == 401
    assert behind.calls == 2
