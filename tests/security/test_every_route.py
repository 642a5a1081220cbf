"""Every route of the real window against everyone who is not its own page; nothing may reach gradio."""

import base64
import itertools
import json
import os
import socket

import pytest
from PIL import Image

from lora_gui.ui.server import guard, launch
from lora_gui.ui.widgets import thumbnails

FORM = b"--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.png\"\r\n\r\nevil\r\n--x--\r\n"
BODIES = {
    "text/plain": b'{"data": [], "fn_index": 0, "session_hash": "x"}',
    "application/x-www-form-urlencoded": b"data=&fn_index=0",
    "multipart/form-data; boundary=x": FORM,
    "application/json": b'{"data": [], "fn_index": 0, "session_hash": "x"}',
}


def strangers(port):
    """Who is not the window's own page: name to the headers that tell."""
    own, foreign = f"127.0.0.1:{port}", f"evil.example:{port}"
    hosts = (
        foreign, "evil.example", "127.0.0.1", "127.0.0.1:1", f"[::1]:{port}", f"0.0.0.0:{port}",
        f"127.0.0.1.evil.example:{port}", f"127.0.0.1:{port}.evil.example", f"localhost.evil:{port}", "",
    )  # fmt: skip
    origins = (
        "null", "http://evil.example", f"http://{foreign}", f"https://{own}", "http://127.0.0.1", "http://127.0.0.1:3000",
        f"http://localhost:{port}", f"http://127.0.0.1.evil:{port}", f"http://{own}.evil.example", "file://", "",
    )  # fmt: skip
    found = {f"host {host}": {"host": host} for host in hosts}
    found["no host"] = {"host": None}
    found["two hosts"] = {"host": [own, foreign]}
    found["rebound name"] = {"host": foreign, "origin": f"http://{foreign}", "sec_fetch_site": "same-origin"}
    found |= {f"origin {origin}": {"origin": origin} for origin in origins}
    found["two origins"] = {"origin": [f"http://{own}", "http://evil.example"]}
    found |= {f"site {site}": {"sec_fetch_site": site} for site in ("cross-site", "same-site", "else", "")}
    return found


def keyless(port):
    return {
        "no cookie": {"cookie": None},
        "wrong cookie": {"cookie": f"studio-{port}=x"},
        "cookie of another port": {"cookie": "studio-1=x"},
        "the key as cookie": {"cookie": f"studio-{port}=the-key-of-this-test"},
        "letters outside ASCII": {"cookie": f"studio-{port}=\xfc"},
        "nonsense": {"cookie": "=;=;\x01"},
    }


def test_no_stranger_reaches_any_route(window, tell):
    row, without_key = tell(f"Strangers at {len(window.routes)} routes"), keyless(window.port)
    everyone = (strangers(window.port) | without_key).items()
    for (method, path), (name, headers) in itertools.product(window.routes, everyone):
        with row:
            status, _, _ = window.ask(method, path, b"" if method == "POST" else None, **headers)
            up = (method, path) in guard.OPEN and status == 200  # says only that something is there
            if not (status in (400, 401, 403) or (up and name in without_key)) or window.came:
                pytest.fail(f"{name}: {method} {path} gave {status}, reached {window.came}")
    assert len(window.routes) > 60


def test_no_form_of_another_page_has_an_effect(window, tell):
    """What a browser sends without asking first, with the cookie that it would not even send."""
    before, row = sorted(window.studio.home.rglob("*")), tell("Forms of other pages")
    for path, (kind, body) in itertools.product({path for _, path in window.routes}, BODIES.items()):
        with row:
            origin = ("http://evil.example", "null", "http://127.0.0.1:3000")[row.tried % 3]
            status, _, _ = window.ask("POST", path, body, content_type=kind, origin=origin)
            assert status == 403 and window.came == [], path
    assert sorted(window.studio.home.rglob("*")) == before


def test_what_the_page_does_not_need_is_shut_for_the_page_too(window, tell):
    row = tell("Routes of gradio that stay shut")
    for method, path in window.routes:
        if path in guard.SENT if method == "POST" else path in guard.READ or path.startswith(guard.READ_BELOW):
            continue  # the page needs it
        if (method, path) in guard.OPEN:
            continue  # answered for everyone
        with row:
            status, _, _ = window.ask(method, path, b"{}" if method == "POST" else None, origin=f"http://{window.host}")
            assert status == 404 and window.came == [], f"{method} {path}"
    assert row.tried > 40


def test_no_preflight_and_no_odd_method_is_answered_by_anything_but_the_guard(window, tell):
    """Gradio answers preflights by itself, and echoes the origin that asks."""
    row, own = tell("Preflights and odd methods"), {"origin": f"http://{window.host}"}
    everyone = strangers(window.port) | keyless(window.port) | {"its own page": own}
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    methods = ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "get", "QUERY")
    paths = ("/", "/config", guard.UPLOAD, "/gradio_api/queue/join", "/gradio_api/run/predict", "/nowhere", "*")
    for method, path, (name, headers) in itertools.product(methods, paths, everyone.items()):
        with row:
            given = {"origin": "http://evil.example"} | headers if name not in ("its own page",) else headers
            status, answered, _ = window.ask(method, path, **(asked | given))
            echoed = [key for key in answered if key.lower().startswith("access-control-")]
            if not (status in (400, 401, 403, 404, 405) and not echoed) or window.came:
                pytest.fail(f"{name}: {method} {path} gave {status} {echoed}, reached {window.came}")


def test_a_websocket_gets_nowhere(window):
    key = base64.b64encode(os.urandom(16)).decode()
    for path in ("/", "/queue/join", "/gradio_api/queue/join"):
        with socket.create_connection(("127.0.0.1", window.port), timeout=60) as line:
            line.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {window.host}\r\nCookie: {window.cookie}\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
            )
            assert b" 101 " not in line.recv(100)
    assert not [kind for kind, _, _ in window.came if kind == "websocket"]
    window.came.clear()


def test_the_window_opens_for_its_own_page_and_forbids_frames(window):
    status, headers, page = window.ask("GET", "/")
    assert status == 200 and b"LoRA Studio" in page
    assert window.ask("GET", "/favicon.ico")[2] == launch.ICON.read_bytes(), "the tab shows the program's own icon"
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    config = json.loads(window.ask("GET", "/config")[2])
    assert not any(config.get(part) for part in ("is_space", "space_id", "mcp_server", "vibe_mode", "dev_mode", "pwa"))
    assert all(one["api_visibility"] == "private" for one in config["dependencies"])
    window.came.clear()


def test_only_pictures_of_ours_are_fetched_and_nothing_is_a_page(window, tmp_path, tell):
    studio = window.studio
    picture = studio.drawings / "2026-01-01" / "a.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(picture)
    for name in ("a.svg", "a.html", "a.js", "a.xml", "a.xhtml", "a.pdf", "a.txt", "a"):
        (picture.parent / name).write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    secret = studio.home / "secret.txt"
    secret.write_text("hidden words")
    (picture.parent / "link.png").symlink_to(secret)
    status, _, where = window.ask(
        "POST", guard.UPLOAD, FORM, content_type="multipart/form-data; boundary=x", origin=f"http://{window.host}"
    )
    assert status == 200
    shown = (str(picture), thumbnails.Thumbnails(studio)(picture).removeprefix(guard.FILE), where.decode()[2:-2])
    row = tell("Addresses of files")
    for path in shown:
        with row:
            assert window.ask("GET", guard.FILE + path.replace(" ", "%20"))[0] == 200
    saved = [p for p in picture.parent.iterdir() if p.name not in ("a.png", "link.png")]
    for path in saved:
        with row:
            status, headers, _ = window.ask("GET", guard.FILE + str(path).replace(" ", "%20"))
            assert status == 200 and headers["content-disposition"].startswith("attachment"), path
            assert headers["content-type"] == "application/octet-stream"
            assert "sandbox" in headers["content-security-policy"]
    day, root = str(picture.parent), str(launch.__file__)
    refused = [
        str(secret), f"{day}/link.png", f"{day}/../../secret.txt", f"{day}/%2e%2e/%2e%2e/secret.txt", "secret.txt",
        "/etc/passwd", "//etc/passwd", "/proc/self/environ", "~/.ssh/id_rsa", ".env", "C:/Windows/win.ini", root,
        "C%3A%5CWindows%5Cwin.ini", "%5C%5Cevil%5Cshare%5Ca.png", "//evil/share/a.png", "http://127.0.0.1:1/a.png",
        "http://169.254.169.254/latest", "https://example.com/a.png", "file:///etc/passwd", "ftp://x/a", "data:,x",
        f"{day}/a.png%00.html", "%00", "", ".", "..", day, str(studio.home / launch.RECORD), str(studio.cache),
        f"{studio.drawings}-evil/a.png", f"{studio.drawings}/..%2fsecret.txt", f"{day}/....//....//secret.txt",
    ]  # fmt: skip
    for path, method in itertools.product(refused, ("GET", "HEAD")):
        with row:
            status, _, body = window.ask(method, guard.FILE + path.replace(" ", "%20"))
            assert status in (403, 404) and b"hidden" not in body and b"root:" not in body, path
    window.came.clear()


def test_a_second_visit_with_the_same_key_is_refused_and_the_next_key_is_for_the_owner_only(window):
    record = window.studio.home / launch.RECORD
    assert window.ask("GET", "/?token=the-key-of-this-test", cookie=None)[0] == 401
    assert b"the-key-of-this-test" not in record.read_bytes() and window.cookie.encode() not in record.read_bytes()
    assert os.name == "nt" or (record.stat().st_mode | window.studio.cache.stat().st_mode) & 0o077 == 0


def test_the_window_listens_on_this_computer_only(window):
    import psutil

    listening = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening if address.port == window.port} == {"127.0.0.1"}
