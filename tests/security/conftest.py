"""The real window, served by this process, with a counter between the guard and all of gradio."""

import contextlib
import http.client
import os
import time
from dataclasses import dataclass, field

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.ui.server import launch

TOKEN = "the-key-of-this-test"


class Counter:
    """Lets everything through and notes what came."""

    def __init__(self, app, came):
        self._app, self._came = app, came

    async def __call__(self, scope, receive, send):
        if scope["type"] != "lifespan":
            self._came.append((scope["type"], scope.get("method"), scope["path"]))
        await self._app(scope, receive, send)


@dataclass
class Window:
    """`came` is what passed the guard; `routes` are all that gradio and FastAPI have, with their methods."""

    studio: Studio
    port: int
    came: list = field(default_factory=list)
    routes: list = field(default_factory=list)
    cookie: str = ""

    def __post_init__(self):
        self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)  # kept open: there are thousands
        self._used = 0.0

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, **headers):
        """Status, headers and body; `None` leaves a header out."""
        given = {"host": self.host, "cookie": self.cookie} | {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None:
            given = {"content-length": str(len(body))} | given
        if body or time.monotonic() - self._used > 2:  # unread bodies and long pauses close the line
            self._line.close()
        self._line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            for one in value if isinstance(value, list) else [value]:
                if one is not None:
                    self._line.putheader(name, one)
        self._line.endheaders(body)
        answer = self._line.getresponse()
        is_stream = "event-stream" in answer.getheader("content-type", "")
        said = b"" if is_stream else answer.read()
        if body or is_stream:
            self._line.close()
        self._used = time.monotonic()
        return answer.status, answer.headers, said


def flat(routes):
    """Every route, also of the routers inside, as (method, path with its blanks filled in)."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from flat(inner.routes)
        else:
            path = route.path.replace("{path_or_url:path}", "x").replace("{url_path:path}", "http://x.example/")
            for name in route.param_convertors:
                path = path.replace(f"{{{name}}}", "1").replace(f"{{{name}:path}}", "x")
            yield from ((method, path) for method in sorted(route.methods))


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        studio = Studio(tmp_path_factory.mktemp("a studio"))
        launch.prepare_cache(studio)
        launch.clean_environment(studio.cache / launch.UPLOADS)
        from lora_gui.studio.tasks.drawing import Drawer
        from lora_gui.ui.window import build

        came, options = [], launch.options

        def counting(*given):
            made = options(*given)
            guarded = made["app_kwargs"]["lifespan"]

            @contextlib.asynccontextmanager
            async def counted(app):
                app.middleware_stack = Counter(app.middleware_stack, came)
                async with guarded(app):
                    yield

            made["app_kwargs"]["lifespan"] = counted
            return made

        patch.setattr(launch, "options", counting)
        built = build(studio, Drawer(studio))
        served = Window(studio, launch._launch(built, studio, None, TOKEN), came)
        served.routes += flat(built.app.routes)
        _, headers, _ = served.ask("GET", f"/?token={TOKEN}")
        served.cookie = headers["set-cookie"].split(";")[0]
        served.came.clear()
        yield served
        built.close()
