"""Who may talk to the window: this computer's own browser, from the window's own address, with the window's own token.

Loopback alone is no defence: any web page can send requests to 127.0.0.1, and a foreign name can point there.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

CSP = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'none'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
OWN_CALLS = {("GET", "/gradio_api/startup-events"), ("HEAD", "/")}  # what launch() asks itself to see whether it is up
YEAR = 31_536_000  # seconds


class Guard:
    """ASGI middleware; everything that is not the window's own browser gets 401 or 403 and reaches no handler."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], port: int, token: str) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}".encode(), f"localhost:{port}".encode()}
        self._token = token.encode()
        self._cookie_name = f"studio-{port}"  # cookies ignore ports, so the name holds it
        self._cookie = hashlib.sha256(
            self._token
        ).hexdigest()  # not the token: other servers on this host name can read it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # the window uses none
        elif not self._is_ours(scope):
            await _answer(
                send, 403, "This address belongs to LoRA Studio on this computer and is not open to other pages."
            )
        elif (scope["method"], scope["path"]) in OWN_CALLS or self._has_cookie(scope):
            await self._app(scope, receive, _with_headers(send))
        elif self._has_token(scope):
            cookie = f"{self._cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={YEAR}"
            await _answer(send, 303, "", (b"location", b"/"), (b"set-cookie", cookie.encode()))
        else:
            await _answer(
                send, 401, "Start LoRA Studio again with launch.sh or launch.bat: it opens this window with its key."
            )

    def _is_ours(self, scope: Scope) -> bool:
        """Host and Origin are compared with fixed names, never with each other, or a foreign name could point here."""
        hosts, origins = _headers(scope, b"host"), _headers(scope, b"origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False
        if any(origin.lower() != b"http://" + hosts[0].lower() for origin in origins):
            return False
        foreign = any(site in (b"cross-site", b"same-site") for site in _headers(scope, b"sec-fetch-site"))
        return not foreign or (scope["method"] == "GET" and scope["path"] == "/")

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
        if scope["method"] != "GET" or scope["path"] != "/":
            return False
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        return hmac.compare_digest(given.encode("utf-8"), self._token)  # bytes: text outside ASCII would raise


def _headers(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key.lower() == name]


def _with_headers(send: Send) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS, *headers]})
    await send({"type": "http.response.body", "body": text.encode("utf-8")})
