"""What an open window costs while nothing lives: `python tests/bench/idle.py [--seconds N] [--tree OTHER]`.

CPU of the server and of the whole browser, in percent of one core, with the page in sight and hidden, and how many
requests it made; `--tree` measures another copy of the app beside this one, each with a studio of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent.parent
SETTLE = 4.0  # seconds after the page is there until it is measured
HIDE = """
Object.defineProperty(document, 'hidden', {get: () => true});
document.dispatchEvent(new Event('visibilitychange'));
"""


def busy(process: psutil.Process) -> float:
    """Seconds of CPU of a process and of all below it."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += sum(one.cpu_times()[:2])
        except psutil.Error:  # ended meanwhile
            continue
    return total


def measured(page: Page, server: psutil.Process, seconds: float) -> dict[str, float]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    chromium = [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
    before = busy(server), sum(sum(one.cpu_times()[:2]) for one in chromium), time.perf_counter()
    page.wait_for_timeout(seconds * 1000)
    took = time.perf_counter() - before[2]
    after = busy(server), sum(sum(one.cpu_times()[:2]) for one in chromium if one.is_running())
    shares = [round(100 * (now - then) / took, 2) for now, then in zip(after, before[:2], strict=True)]
    return {"server": shares[0], "browser": shares[1], "requests": len(asked)}


def measure(tree: Path, browser: Browser, seconds: float) -> dict[str, dict[str, float]]:
    home = Path(tempfile.mkdtemp())
    command = [sys.executable, str(tree / "app.py"), "--no-browser"]
    process = subprocess.Popen(
        command, cwd=tree, env=os.environ | {"LORA_GUI_HOME": str(home)}, stdout=subprocess.DEVNULL
    )
    try:
        while not (home / "window.json").is_file():
            time.sleep(0.1)
        known = json.loads((home / "window.json").read_text(encoding="utf-8"))
        page = browser.new_context().new_page()
        page.goto(f"http://127.0.0.1:{known['port']}/?token={known['token']}")
        page.locator("#start").wait_for()
        page.wait_for_timeout(SETTLE * 1000)
        found = {"in sight": measured(page, psutil.Process(process.pid), seconds)}
        page.evaluate(HIDE)
        page.wait_for_timeout(1000)
        found["hidden"] = measured(page, psutil.Process(process.pid), seconds)
        page.context.close()
        return found
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--tree", type=Path, help="another copy of the app, measured too")
    given = parser.parse_args()
    with sync_playwright() as driver:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        trees = {"this": ROOT} | ({"other": given.tree} if given.tree else {})
        print(json.dumps({name: measure(tree, browser, given.seconds) for name, tree in trees.items()}, indent=1))
        browser.close()


if __name__ == "__main__":
    main()
