"""How long the window takes to open, against a bare two-tab Gradio app: `python tests/bench/window_open.py [--runs N]`.

Both are started in turn, so that a busy computer is unfair to neither. Times are from the start of the process to the
first 200 on `/`, and to the page being ready in Chromium (its heading, tabs and Start button are there).
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent.parent
BARE = """
import os, sys
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
with gr.Blocks() as app:
    with gr.Tab("One"):
        box = gr.Textbox(label="Name"); button = gr.Button("Start", elem_id="start")
        button.click(lambda name: name, box, box)
    with gr.Tab("Two"):
        gr.Image(); gr.Slider(0, 1); gr.Button("Draw")
app.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), share=False)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(kind: str, browser: Browser) -> dict[str, float]:
    """Seconds until the server answered and until the page was ready."""
    port, home = free_port(), Path(tempfile.mkdtemp())
    ours = [str(ROOT / "app.py"), "--no-browser", "--port", str(port)]
    command = [sys.executable, *(ours if kind == "studio" else ["-c", BARE, str(port)])]
    environment = os.environ | {"LORA_GUI_HOME": str(home)}
    page = browser.new_context().new_page()
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        address = wait_for(home, port, kind)
        answered = time.perf_counter() - began
        address = with_key(home, address) if kind == "studio" else address  # asking took the first key
        page.goto(address, wait_until="commit", timeout=60_000)
        page.locator("#start").wait_for(timeout=60_000)
        return {"answered": answered, "ready": time.perf_counter() - began}
    finally:
        page.context.close()
        process.terminate()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def wait_for(home: Path, port: int, kind: str) -> str:
    """The address, once it answers 200; the studio wants its key first."""
    address = f"http://127.0.0.1:{port}/"
    while True:
        try:
            asked = with_key(home, address) if kind == "studio" else address
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with opener.open(asked, timeout=5) as answer:
                if answer.status == 200:
                    return address
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)


def with_key(home: Path, address: str) -> str:
    """The address with the key that opens the studio's window now; each opens it once."""
    return f"{address}?token={json.loads((home / 'window.json').read_text(encoding='utf-8'))['token']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    found: dict[str, list[dict[str, float]]] = {"studio": [], "bare": []}
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for number in range(runs + 1):
            for kind in ("studio", "bare") if number % 2 else ("bare", "studio"):
                times = measure(kind, browser)
                if number:  # the first of each only warms the disk
                    found[kind].append(times)
        browser.close()
    figures: dict[str, object] = {"runs": runs}
    for what in ("answered", "ready"):
        studio, bare = (statistics.median(times[what] for times in found[kind]) for kind in ("studio", "bare"))
        figures[what] = {"studio": round(studio, 2), "bare": round(bare, 2), "ratio": round(studio / bare, 3)}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
