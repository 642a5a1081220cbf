"""Who may talk to the window: this computer's own browser, from the window's own address, with the window's own key.

Loopback alone is no defence: any web page can send requests to 127.0.0.1, and a foreign name can point there. Whatever
is not named here is shut, also for the window's own page: gradio brings routes that nobody asked for.
"""

import contextlib
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect

from lora_gui.ui.server.uploads import Uploads

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CSP = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'none'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    b"content-security-policy": CSP.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
FILE_CSP = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
SHOWN = (b"image/png", b"image/webp", b"image/jpeg")  # every other file is only ever saved, never shown as a page

UPLOAD, FILE, STARTED = "/gradio_api/upload", "/gradio_api/file=", "/gradio_api/startup-events"
# What the page asks for, seen in a real browser; everything else gradio answers to is shut.
READ = {"/", "/config", "/theme.css", "/gradio_api/theme.css", "/favicon.ico", "/gradio_api/app_id"}
READ |= {"/gradio_api/queue/data", "/gradio_api/upload_progress"}
READ_BELOW = ("/static/", "/assets/", "/svelte/", FILE)
SENT = {UPLOAD, "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset"}
# Answered without a key, and says no more than that something is there: `launch()` and a second start ask the first,
# browsers the second, which the page links, and for which they send no cookie.
OPEN = {("HEAD", "/"): "", ("GET", "/manifest.json"): "{}"}
LARGEST_CALL = 4_000_000  # bytes of what a form may send
LARGEST_UPLOAD = 2_000_000_000  # bytes of one file and what surrounds it

FOREIGN = "This address belongs to LoRA Studio on this computer and is not open to other pages."
NO_KEY = "Start LoRA Studio again with launch.sh or launch.bat: it opens this window with its key."
YEAR = 31_536_000  # seconds


class Guard:
    """ASGI middleware; everything that is not the window's own browser gets 401 or 403 and reaches no handler.

    `token` opens the window once: it becomes a cookie, and `renew` turns it into the token for the next time. So does
    any other that `takes` takes, see `keys`. `served` are the folders whose files may be fetched, besides the uploads.
    """

    def __init__(
        self,
        app: App,
        port: int,
        token: str,
        renew: Callable[[str], str],
        takes: Callable[[str], bool],
        uploads: Uploads,
        served: tuple[Path, ...],
    ) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}".encode(), f"localhost:{port}".encode()}
        self._token, self._renew, self._takes = token, renew, takes
        self._cookie_name = f"studio-{port}"  # cookies ignore ports, so the name holds it
        self._cookie = secrets.token_urlsafe(32)  # not the token: other servers on this host name can read it
        self._uploads = uploads
        self._served = [folder.resolve() for folder in (uploads.folder, *served)]
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # the window uses none
        elif not self._is_ours(scope):
            await _answer(send, 403, FOREIGN)
        elif (scope["method"], scope["path"]) in OPEN:
            await _answer(send, 200, OPEN[scope["method"], scope["path"]])
        elif (scope["method"], scope["path"]) == ("GET", STARTED) and not self._has_started:
            self._has_started = True  # launch() asks for this once, without a cookie
            await self._app(scope, receive, _with_headers(send))
        elif self._has_token(scope):  # before the cookie: no key is left unused in the address and the history
            cookie = f"{self._cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={YEAR}"
            await _answer(send, *_onwards(scope), (b"set-cookie", cookie.encode()))
        elif self._has_cookie(scope):
            with contextlib.suppress(ClientDisconnect):  # a page that is left breaks off what it sends
                await self._let_in(scope, receive, send)
        else:
            await _answer(send, 401, NO_KEY)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The window's own page asks; what it has no need of, or is too large, is refused before it is read."""
        path = scope["path"]
        if not self._is_needed(scope["method"], path):
            await _answer(send, 404, "The window has no such part.")
            return
        size = _length(scope)
        if size is None or _headers(scope, b"transfer-encoding"):
            await _answer(send, 411, "A request has to say how long it is.")
        elif size > (LARGEST_UPLOAD if path == UPLOAD else LARGEST_CALL):
            await _answer(send, 413, "This is larger than the window takes.")
        elif path != UPLOAD:
            await self._app(scope, receive, _with_headers(send, path.startswith(FILE)))
        elif why_not := self._uploads.expect(size):
            await _answer(send, 413, why_not)
        else:
            try:
                await self._app(scope, receive, _with_headers(send))
            finally:
                self._uploads.came(size)

    def _is_needed(self, method: str, path: str) -> bool:
        if path.startswith(FILE):
            return method in ("GET", "HEAD") and self._is_served(path.removeprefix(FILE))
        if method == "POST":
            return path in SENT
        return method in ("GET", "HEAD") and (path in READ or path.startswith(READ_BELOW))

    def _is_served(self, given: str) -> bool:
        """Whether the file lies where it may be fetched from; links are followed only once the name itself is fine.

        A file that has a second name lies elsewhere, too, and is none that the app made.
        """
        if "\0" in given or not os.path.isabs(given):
            return False
        named = Path(os.path.abspath(given))
        if not any(named.is_relative_to(f) and named.resolve().is_relative_to(f) for f in self._served):
            return False
        try:
            return named.stat().st_nlink <= 1
        except OSError:
            return False

    def _is_ours(self, scope: Scope) -> bool:
        """Host and Origin are compared with fixed names, never with each other, or a foreign name could point here."""
        hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            return False
        if all(site in (b"same-origin", b"none") for site in _headers(scope, b"sec-fetch-site")):
            return True
        mode, kind = _headers(scope, b"sec-fetch-mode"), _headers(scope, b"sec-fetch-dest")
        is_link = (mode, kind) == ([b"navigate"], [b"document"])  # to the window, in a tab of its own
        return is_link and scope["method"] == "GET" and scope["path"] == "/"

    def _has_cookie(self, scope: Scope) -> bool:
        for header in _headers(scope, b"cookie"):
            try:
                jar = SimpleCookie(header.decode("latin-1"))
            except CookieError:
                continue
            given = jar.get(self._cookie_name)
            if given and hmac.compare_digest(given.value.encode(), self._cookie.encode()):
                return True
        return False

    def _has_token(self, scope: Scope) -> bool:
        """Whether it comes with a key that was never used, which is used now."""
        if scope["method"] != "GET" or scope["path"] != "/":
            return False
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        # bytes: text outside ASCII would raise
        if hmac.compare_digest(given.encode("utf-8"), self._token.encode()):
            self._token = self._renew(self._token)
            return True
        return bool(given) and self._takes(given)


def outermost(guard: Callable[[App], Guard]) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """A lifespan that puts the guard around all of an app before it serves.

    As a middleware it would stand within those of gradio, which answer preflights by themselves.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = guard(app.middleware_stack)
        yield

    return lifespan


def _onwards(scope: Scope) -> tuple[int, str, tuple[bytes, bytes]]:
    """To the page without the key. Whoever follows a link gets there by a page of ours: along a redirect that another
    page began, no browser sends the cookie."""
    by_link = any(site not in (b"none", b"same-origin") for site in _headers(scope, b"sec-fetch-site"))
    return (200, "LoRA Studio opens.", (b"refresh", b"0; url=/")) if by_link else (303, "", (b"location", b"/"))


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _length(scope: Scope) -> int | None:
    """Bytes of the body; None where what is sent does not say."""
    given = _headers(scope, b"content-length")
    if not given:
        return None if scope["method"] == "POST" else 0
    return int(given[0]) if len(given) == 1 and given[0].isdigit() else None


def _with_headers(send: Send, is_file: bool = False) -> Send:
    """`send` with the guard's headers in place of others of the same name; of a file, only pictures are shown."""

    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = {key.lower(): value for key, value in message.get("headers", ())} if is_file else {}
            ours = HEADERS | ({b"content-security-policy": FILE_CSP} if is_file else {})
            if is_file and headers.get(b"content-type", b"").split(b";")[0] not in SHOWN:
                ours |= {b"content-type": b"application/octet-stream", b"content-disposition": b"attachment"}
            kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in ours]
            message = {**message, "headers": [*kept, *ours.items()]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    body = text.encode("utf-8")
    plain = (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*plain, *HEADERS.items(), *headers]})
    await send({"type": "http.response.body", "body": body})
