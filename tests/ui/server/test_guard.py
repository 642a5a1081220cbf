"""Who may talk to the window; asked of the guard itself, with a small app behind it that counts what reaches it."""

import asyncio
import os

import pytest
from starlette.requests import ClientDisconnect

from lora_gui.ui.server import guard as guarding
from lora_gui.ui.server.guard import Guard
from lora_gui.ui.server.uploads import Uploads

PORT, TOKEN = 7999, "a-token-of-this-start"
HOST = f"127.0.0.1:{PORT}"


class Behind:
    """An ASGI app that counts, and answers with a file of the type `kind`, unless the browser `breaks` off."""

    def __init__(self):
        self.calls = 0
        self.kind = b"image/png"
        self.breaks = False

    async def __call__(self, scope, receive, send):
        self.calls += 1
        if self.breaks:
            raise ClientDisconnect
        headers = [(b"content-type", self.kind), (b"Content-Disposition", b"inline"), (b"x-frame-options", b"ALLOW")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"in"})


def ask(guard, method="GET", path="/config", query="", kind="http", **headers):
    """The first message that comes back."""
    sent = []

    async def send(message):
        sent.append(message)

    length = {"content-length": "0"} if method == "POST" else {}
    given = {"host": HOST} | length | {name.replace("_", "-"): value for name, value in headers.items()}
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
def folders(tmp_path):
    for name in ("uploads", "drawings", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
    return tmp_path


@pytest.fixture
def guard(behind, folders):
    uploads = Uploads(folders / "uploads", budget=1000, spare=0)
    pages = {"of-a-page"}
    takes = lambda key: key in pages and not pages.remove(key)  # noqa: E731
    return Guard(behind, PORT, TOKEN, lambda used: used + "+", takes, uploads, (folders / "drawings",))


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
    link = {"sec_fetch_site": site, "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert ask(guard, path="/", cookie=cookie, **link)["status"] == 200
    for other in ({"sec_fetch_mode": "no-cors"}, {"sec_fetch_dest": "iframe"}, {"sec_fetch_dest": "image"}):
        assert ask(guard, path="/", cookie=cookie, **(link | other))["status"] == 403
    assert behind.calls == 1


def test_a_websocket_is_closed(guard, behind):
    assert ask(guard, kind="websocket")["type"] == "websocket.close"
    assert behind.calls == 0


def test_only_what_launch_and_browsers_ask_by_themselves_needs_no_cookie_and_the_startup_comes_once(guard, behind):
    for method, path in (("HEAD", "/"), ("GET", "/manifest.json")):
        assert ask(guard, method, path)["status"] == 200 and behind.calls == 0
        assert ask(guard, method, path, host="evil.example")["status"] == 403
    assert ask(guard, "POST", "/manifest.json")["status"] == 401
    assert ask(guard, "POST", "/gradio_api/startup-events")["status"] == 401
    assert ask(guard, path="/gradio_api/startup-events")["status"] == 200
    assert ask(guard, path="/gradio_api/startup-events")["status"] == 401
    assert behind.calls == 1


def test_a_key_opens_once_and_the_next_one_opens_again(guard, cookie):
    assert ask(guard, path="/", query=f"token={TOKEN}")["status"] == 401
    assert ask(guard, path="/", query=f"token={TOKEN}%2B")["status"] == 303
    assert ask(guard, path="/", query=f"token={TOKEN}", cookie=cookie)["status"] == 200, "the page's own reload"


def test_where_the_window_is_open_already_a_key_leaves_the_address_too(guard, cookie):
    query = f"token={TOKEN}%2B"
    assert ask(guard, path="/", query=query, cookie=cookie)["status"] == 303
    assert ask(guard, path="/", query=query)["status"] == 401, "it was used"


def test_a_key_of_a_private_page_opens_once_and_leaves_the_printed_one_good(guard):
    """Whoever comes along a link, as from that page, goes on by a page of the window's own, which keeps the cookie."""
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    answer = ask(guard, path="/", query="token=of-a-page", **link)
    headers = dict(answer["headers"])
    assert answer["status"] == 200 and headers[b"refresh"] == b"0; url=/" and b"HttpOnly" in headers[b"set-cookie"]
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert ask(guard, path="/", query="token=of-a-page")["status"] == 401
    assert ask(guard, path="/", query=f"token={TOKEN}")["status"] == 303


def test_what_the_page_has_no_need_of_is_shut_even_for_itself(guard, behind, cookie):
    for path in ("/gradio_api/info", "/gradio_api/openapi.json", "/monitoring", "/gradio_api/proxy=http://a", "/login"):
        assert ask(guard, path=path, cookie=cookie)["status"] == 404
    for path in ("/gradio_api/call/train", "/gradio_api/run/train", "/gradio_api/vibe-edit", "/login"):
        assert ask(guard, "POST", path, cookie=cookie)["status"] == 404
    assert behind.calls == 0


def test_a_request_that_is_too_large_or_does_not_say_is_refused_before_it_is_read(guard, behind, cookie):
    upload, too_large = "/gradio_api/upload", str(guarding.LARGEST_CALL + 1)
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict"):
        assert ask(guard, "POST", path, cookie=cookie, content_length=too_large)["status"] == 413
    assert ask(guard, "POST", upload, cookie=cookie, content_length=str(guarding.LARGEST_UPLOAD + 1))["status"] == 413
    assert ask(guard, "POST", upload, cookie=cookie, content_length=None)["status"] == 411
    assert ask(guard, "POST", upload, cookie=cookie, content_length="-5")["status"] == 411
    assert ask(guard, "POST", upload, cookie=cookie, transfer_encoding="chunked")["status"] == 411
    assert behind.calls == 0


def test_an_upload_without_room_is_refused_before_it_is_read(guard, behind, cookie):
    assert ask(guard, "POST", "/gradio_api/upload", cookie=cookie, content_length="1000")["status"] == 200
    assert ask(guard, "POST", "/gradio_api/upload", cookie=cookie, content_length="1001")["status"] == 413
    assert behind.calls == 1


def test_an_upload_that_is_broken_off_is_no_error_of_the_server_and_makes_room_again(guard, behind, cookie):
    behind.breaks = True
    for _ in range(2):
        with pytest.raises(IndexError):  # nobody is there to be answered
            ask(guard, "POST", "/gradio_api/upload", cookie=cookie, content_length="1000")
    assert behind.calls == 2


@pytest.mark.parametrize("where", ["elsewhere/a.png", "drawings/../elsewhere/a.png", "drawings/link.png", "a\0b"])
def test_a_file_from_elsewhere_is_never_fetched(guard, behind, cookie, folders, where):
    (folders / "drawings" / "link.png").symlink_to(folders / "elsewhere" / "a.png")
    assert ask(guard, path=f"/gradio_api/file={folders}/{where}", cookie=cookie)["status"] == 404
    assert behind.calls == 0


@pytest.mark.skipif(not hasattr(os, "link"), reason="needs hard links")
@pytest.mark.parametrize("folder", ["drawings", "uploads"])
def test_a_file_that_also_lies_elsewhere_is_never_fetched(guard, behind, cookie, folders, folder):
    os.link(folders / "elsewhere" / "a.png", folders / folder / "hard.png")
    for method in ("GET", "HEAD"):
        assert ask(guard, method, f"/gradio_api/file={folders}/{folder}/hard.png", cookie=cookie)["status"] == 404
    assert behind.calls == 0
    assert ask(guard, path=f"/gradio_api/file={folders}/{folder}/a.png", cookie=cookie)["status"] == 200


@pytest.mark.parametrize("where", ["drawings/a.png", "http://127.0.0.1/a.png", "//evil/share/a.png", "", "~/a.png"])
def test_a_path_that_is_not_whole_or_leads_outside_is_never_fetched(guard, behind, cookie, where):
    assert ask(guard, path=f"/gradio_api/file={where}", cookie=cookie)["status"] == 404
    assert behind.calls == 0


@pytest.mark.parametrize(
    ("kind", "is_shown"),
    [
        (b"image/png", True),
        (b"image/webp", True),
        (b"image/jpeg; q=1", True),
        (b"image/svg+xml", False),
        (b"text/html", False),
        (b"application/pdf", False),
        (b"", False),
    ],
)
def test_of_the_files_only_pictures_are_shown_and_none_may_run_a_script(
    guard, behind, cookie, folders, kind, is_shown
):
    behind.kind = kind
    answer = ask(guard, path=f"/gradio_api/file={folders}/drawings/a.png", cookie=cookie)
    headers = {name.lower(): value for name, value in answer["headers"]}
    assert (headers[b"content-disposition"] == b"attachment") is not is_shown
    assert is_shown or headers[b"content-type"] == b"application/octet-stream"
    assert b"sandbox" in headers[b"content-security-policy"] and headers[b"x-content-type-options"] == b"nosniff"
    assert [value for name, value in answer["headers"] if name.lower() == b"x-frame-options"] == [b"DENY"]
