"""A small web server for the tests: files by range, on two origins, with faults that are ordered beforehand.

`with Server() as server:` listens on this computer only. A subclass answers in `reply`; whatever it answers can be cut
short, refused, slowed down or lied about by `server.fault(...)`, and everything that was asked and sent stands in
`server.asked`.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

PIECE, DROP = 16 << 10, 1 << 10  # bytes that are sent at once, and of a line that is all but dead each 0.05 s


@dataclass(frozen=True)
class Asked:
    """What a client asked; `sent` grows while the answer is being sent."""

    method: str
    path: str  # without the query, unquoted
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    host: str
    sent: list[int] = field(default_factory=list)  # bytes of the body, piece by piece

    @property
    def bearer(self) -> str:
        """The token that came with it."""
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered. The body of a file is answered by range where one is asked for."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_file: bool = False

    @classmethod
    def of(cls, value, status: int = 200, **headers: str) -> "Reply":
        """As JSON; `_` in the names of headers stands for a hyphen."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


@dataclass
class Fault:
    """What goes wrong with answers to `METHOD path` that match, so many times."""

    match: str
    times: int = 1
    reply: Reply | None = None  # instead of the real one
    cut_after: int = -1  # bytes of the body, and the line drops
    drip_after: int = -1  # bytes of the body, and the rest takes minutes: whoever wants to meet it on its way has time
    length: int = -1  # what Content-Length or Content-Range says instead of the truth
    spoil: bool = False  # every byte of the body is changed
    ignores_ranges: bool = False
    stall: float = 0.0  # seconds before anything is said


class Server:
    """See above. `rate` limits each answer to so many bytes a second; 0 is as fast as can be."""

    def __init__(self, rate: int = 0) -> None:
        self.rate = rate
        self.asked: list[Asked] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def elsewhere(self) -> str:
        """The same server by another name, as another origin: what is redirected to goes there."""
        return f"http://localhost:{self._server.server_port}"

    def fault(self, match: str, **how) -> Fault:
        """Order a fault for answers whose `METHOD path` matches the regular expression; `times=1` unless told."""
        made = Fault(match, **how)
        with self._lock:
            self._faults.append(made)
        return made

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._faults.clear()

    def sent(self, match: str = "") -> int:
        """Bytes of bodies that were sent in answer to `METHOD path` that match, all of them together."""
        return sum(sum(one.sent) for one in self.requests(match))

    def requests(self, match: str = "") -> list[Asked]:
        """What was asked so far, where `METHOD path` matches."""
        return [one for one in list(self.asked) if re.search(match, f"{one.method} {one.path}")]

    def reply(self, asked: Asked) -> Reply:
        raise NotImplementedError

    def answer(self, asked: Asked) -> tuple[Reply, Fault]:
        """The answer, and what goes wrong with it."""
        fault = self._due(asked)
        time.sleep(fault.stall)
        reply = fault.reply or self.reply(asked)
        if fault.spoil:
            reply = replace(reply, body=bytes(byte ^ 255 for byte in reply.body))
        if reply.is_file and not fault.ignores_ranges:
            reply = _ranged(reply, asked.headers.get("range", ""))
        return reply, fault

    def _due(self, asked: Asked) -> Fault:
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.match, f"{asked.method} {asked.path}"):
                    fault.times -= 1
                    return fault
        return Fault("")


def _ranged(reply: Reply, wanted: str) -> Reply:
    """The part that is asked for by `bytes=first-last`."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    whole = len(reply.body)
    if not found:
        return reply
    first, last = int(found[1]), min(int(found[2] or whole - 1), whole - 1)
    if first >= whole:
        return Reply(416, b"", {"Content-Range": f"bytes */{whole}"})
    headers = {**reply.headers, "Content-Range": f"bytes {first}-{last}/{whole}"}
    return replace(reply, status=206, body=reply.body[first : last + 1], headers=headers)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked stands in the server."""

        def do_GET(self) -> None:  # noqa: N802  so it is called by the library
            with contextlib.suppress(ConnectionError):
                asked = self._asked()
                server.asked.append(asked)
                self._send(asked, *server.answer(asked))

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _asked(self) -> Asked:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"".join(self._chunks())
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            return Asked(self.command, unquote(parts.path), query, headers, body, self.headers.get("Host", ""))

        def _chunks(self) -> Iterator[bytes]:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _send(self, asked: Asked, reply: Reply, fault: Fault) -> None:
            headers = {"Content-Length": str(len(reply.body)), **reply.headers}
            if fault.length >= 0:
                headers["Content-Length"] = str(fault.length)
                if "Content-Range" in headers:
                    headers["Content-Range"] = re.sub(r"/\d+", f"/{fault.length}", headers["Content-Range"])
            self.send_response(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if asked.method == "HEAD":
                return
            whole = reply.body if fault.cut_after < 0 else reply.body[: fault.cut_after]
            start = 0
            while start < len(whole):
                drips = 0 <= fault.drip_after <= start
                piece = whole[start : start + (DROP if drips else PIECE)]
                start += len(piece)
                asked.sent.append(len(piece))  # first: who has the last byte may ask at once what was sent
                self.wfile.write(piece)
                time.sleep(0.05 if drips else len(piece) / server.rate if server.rate else 0)
            if fault.cut_after >= 0 or fault.length >= 0:
                self._drop()

        def _drop(self) -> None:
            """End the connection at once, as a line that is cut does."""
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_WR)

    return Handler
