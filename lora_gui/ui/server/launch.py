"""Open the window: a clean environment first, then one server for this studio, then the browser once it answers.

Nothing heavy is imported before the environment is clean, because gradio reads it when it is imported.
"""

import functools
import gc
import os
import secrets
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_gui import environment, files
from lora_gui.errors import UserError
from lora_gui.protocol.lock import Lock
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.ui.server import browser as browsers
from lora_gui.ui.server import keys, uploads

HOST = "127.0.0.1"
RECORD = "window.json"  # in the studio folder, while a window is open
UPLOADS = "uploads"  # in the cache
ICON = Path(files.__file__).with_name("icon.png")  # of the browser's tab
FIRST_PORT, LAST_PORT = 7860, 7899
TRIES = 5
PATIENCE = 60.0  # seconds the other start gets to come up
THUMBNAILS, MONTH = 500_000_000, 30 * 86_400  # bytes and seconds that small copies are kept within
HOSTED = (
    "SPACE_ID",
    "SPACE_HOST",
    "SPACE_AUTHOR_NAME",
    "SYSTEM",
    "SPACES_ZERO_GPU",
    "KAGGLE_KERNEL_RUN_TYPE",
    "OPENID_PROVIDER_URL",
)


def open_window(port: int | None = None, browser: bool = True) -> None:
    """Serve the window until Ctrl-C. Where one is open already, show that. Raises UserError for a taken port."""
    studio = Studio.default()
    if closed := studio.prepare():
        print(closed, flush=True)
    lock = Lock(studio.home / "window.lock")  # freed by the system when the process ends, however it ends
    if lock.hold():
        try:
            _serve(studio, port, browser)
        finally:
            lock.release()
    else:
        _show_running(studio, browser)


def refuse_others() -> UserError:
    """Why there is no window for other computers, and what to do instead."""
    return UserError(
        "LoRA Studio opens for this computer only: your pictures would cross the network unencrypted.",
        f"From another computer, type: ssh -L {FIRST_PORT}:{HOST}:{FIRST_PORT} YOU@THIS-COMPUTER, and open the printed "
        "address there.",
    )


def clean_environment(cache: Path) -> dict[str, str]:
    """Take out what would change how gradio behaves, and keep its files in a folder of our own; what was before."""
    before = environment.go_offline()
    for name in list(os.environ):
        if name.startswith(("GRADIO_", "OAUTH_")) or name in HOSTED:
            del os.environ[name]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(cache.resolve())
    return before


def free_port(wanted: int | None) -> int:
    """`wanted`, or the first free port of ours. Raises UserError where `wanted` is in use."""
    for port in (wanted,) if wanted is not None else range(FIRST_PORT, LAST_PORT + 1):
        if _is_free(port):
            return port
    if wanted is None:
        raise UserError(f"All ports from {FIRST_PORT} to {LAST_PORT} are in use.", "Name a free one with --port.")
    raise UserError(f"Port {wanted} is in use by another program.", "Choose another one with --port, or leave it out.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name != "nt":  # there it would mean sharing the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def _serve(studio: Studio, wanted: int | None, browser: bool) -> None:
    free_port(wanted)  # a taken one is said before all else is made
    threading.Thread(target=gpu.memory, daemon=True).start()  # known by the time the window is there
    token = secrets.token_urlsafe(32)
    prepare_cache(studio)
    before = clean_environment(studio.cache / UPLOADS)
    gc.disable()  # what is imported and laid out stays to the end, and is not worth looking through again and again
    from lora_gui.studio.tasks.drawing import Drawer
    from lora_gui.studio.tasks.queue import Attendant
    from lora_gui.ui.window import build

    drawer, attendant = Drawer(studio), Attendant(studio)
    window = build(studio, drawer)
    gc.freeze()
    gc.enable()
    record = studio.home / RECORD
    record.unlink(missing_ok=True)  # of a start that was killed
    try:
        port = _launch(window, studio, wanted, token)
        _keep_key(studio, port, token)
        threading.Thread(target=_clear_keys, args=(studio,), daemon=True).start()
        _show(studio, port, token, before if browser else None)
        window.block_thread()
    finally:
        record.unlink(missing_ok=True)
        keys.clear(studio)
        attendant.close()
        drawer.close()


def prepare_cache(studio: Studio) -> None:
    """The folders for what can be made anew, for their owner only and within their size."""
    from lora_gui.ui.widgets.thumbnails import folder

    files.make_private_folder(studio.cache)
    keys.clear(studio)
    uploads.empty(studio.cache / UPLOADS)
    files.make_folder(folder(studio))
    uploads.clear(folder(studio), THUMBNAILS, MONTH)


def _keep_key(studio: Studio, port: int, token: str) -> None:
    """Write down, for the owner only, how a second start opens this window."""
    files.write_json(studio.home / RECORD, {"pid": os.getpid(), "port": port, "token": token}, private=True)


def _next_key(studio: Studio, port: int, used: str) -> str:
    """The key for the next time, because each opens the window once: addresses stand in histories."""
    token = secrets.token_urlsafe(32)
    try:
        _keep_key(studio, port, token)
    except UserError:  # the disk is full, and a window that cannot be opened again would be worse
        return used
    return token


def _launch(window: Any, studio: Studio, wanted: int | None, token: str) -> int:
    """Start the server; the port, which another program may take in between, so it is tried a few times."""
    for _ in range(TRIES):
        port = free_port(wanted)
        try:
            window.launch(**options(studio, port, token))
        except OSError:
            continue
        return port
    raise UserError("No port could be opened for the window.", "Name a free one with --port.")


def options(studio: Studio, port: int, token: str) -> dict[str, Any]:
    """How gradio is launched: on this computer only, with nothing that is not needed."""
    import gradio

    from lora_gui.ui.server.guard import LARGEST_UPLOAD, Guard, outermost
    from lora_gui.ui.theme import CSS, PAGE, Look
    from lora_gui.ui.widgets.thumbnails import folder

    served = folder(studio), studio.drawings  # pictures that the app itself made, nothing else
    for path in served:
        files.make_folder(path)
    gradio.set_static_paths([*served])  # shown where they lie, not copied first
    guard = functools.partial(
        Guard,
        port=port,
        token=token,
        renew=functools.partial(_next_key, studio, port),
        takes=keys.Keys(studio).takes,
        uploads=uploads.Uploads((studio.cache / UPLOADS).resolve()),
        served=served,
    )
    return {
        "server_name": HOST,
        "server_port": port,
        "share": False,
        "inbrowser": False,
        "prevent_thread_lock": True,
        "show_error": False,
        "quiet": True,
        "favicon_path": ICON,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": [],
        "strict_cors": True,
        "root_path": "",
        "state_session_capacity": 64,
        "max_file_size": LARGEST_UPLOAD,
        "allowed_paths": [str(path.resolve()) for path in served],
        "blocked_paths": [],
        "theme": Look(),
        "css_paths": CSS,
        "head": "".join(f"<script>{script.read_text(encoding='utf-8')}</script>" for script in PAGE),
        "app_kwargs": {"lifespan": outermost(guard), "docs_url": None, "redoc_url": None, "openapi_url": None},
    }


def _clear_keys(studio: Studio) -> None:
    while True:
        time.sleep(keys.LOOK)
        keys.clear(studio, keys.LIFE)


def _show(studio: Studio, port: int, token: str, browser: Mapping[str, str] | None) -> None:
    """Print the address, which opens the window once; the browser, in the environment given, comes with another key."""
    print(
        f"LoRA Studio is open at http://{HOST}:{port}/?token={token}\n"
        "That address opens it once, in any browser of yours; start again for another one.\n"
        "Ctrl-C closes it; a training that is going on continues.",
        flush=True,
    )
    if browser is None:
        return
    try:
        is_shown = browsers.show(keys.page(studio, f"http://{HOST}:{port}/").resolve().as_uri(), browser)
    except UserError as error:
        print(error.what, flush=True)
        is_shown = False
    if not is_shown:
        print("No browser was started: open the address above in yours.", flush=True)


def _show_running(studio: Studio, browser: bool) -> None:
    """Wait for the window that another start is opening, then show it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        match files.read_json(studio.home / RECORD):
            case {"port": int(port), "token": str(token)} if _answers(port):
                _show(studio, port, token, os.environ if browser else None)
                return
        time.sleep(0.2)
    raise UserError(
        "LoRA Studio is running but does not answer.", "Close it, or restart the computer, and start again."
    )


def _answers(port: int) -> bool:
    request = urllib.request.Request(f"http://{HOST}:{port}/", method="HEAD")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
