"""Two windows in which somebody clicks about: `python tests/bench/clicking.py --minutes 60 [--seed N]`.

One real app in a studio of its own, and two pages of a real Chromium in turn, at a human pace. It ends well where no
log holds a traceback, no page showed or logged an error, and Check my studio finds everything whole.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import BrowserContext, Error, Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 15_000  # ms that a click may wait; on a busy computer what was there may be gone by then
START_UP = 600  # seconds that a busy computer may take to open the window
WORDS = (
    "zxy_style", "zxy_style", "ohwx_cat", "", "x", "a<b>", "cat", "<script>alert(1)</script>", "../../etc/passwd",
    "NUL", "Ünïcödé 🦊", "' OR 1=1 --", "{{7*7}} ${1+1}", "w" * 300, "\u202eevil",
)  # fmt: skip
PROMPTS = ("zxy_style red apple", "a house", "", "<b>bold</b> (weighted:1.3)", "\u202eapple " * 40, "{{x}} ${y}")
EXAMPLES = "button:has-text('Use the example pictures')"
ODD = ("-1", "0", "1e9", "7.5", "", "3", "12")
TINY = (  # what keeps a training or a drawing short
    ("#setting-steps input", (4, 8, 20, 60)),
    ("#setting-resolution input", (64,)),
    ("#setting-batch_size input", (1, 2)),
    ("#setting-sample_every input", (0, 4)),
    ("#setting-checkpoint_every input", (1, 3)),
    ("#setting-sample_resolution input", (64,)),
)
SMALL = (("#draw-width input", (64, 96)), ("#draw-height input", (64,)), ("#draw-steps input", (2, 5)))


class Person:
    """Somebody at one of the windows. An act returns nothing; what is not there cannot be clicked."""

    def __init__(self, page: Page, address: str, rng: random.Random, files: list[str]) -> None:
        self.page, self.address, self.rng, self.files = page, address, rng, files
        self.wrong: list[str] = []  # what the page complained of since it was last asked
        page.on("dialog", lambda dialog: dialog.accept())
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def there(self, name: str) -> Locator:
        """What can be clicked now. Raises Error where nothing can."""
        found = self.page.locator(f"{name}:visible:not([disabled])")
        if not found.count():
            raise Error(f"{name} is not there")
        return found.nth(self.rng.randrange(found.count()))

    def go(self, tab: str, name: str) -> None:
        """To a tab. Raises Error where `name` is not to be seen there."""
        self.there(f"#tab-{tab}-button").click()
        self.page.wait_for_timeout(300)
        self.there(name)

    def press(self, name: str) -> Callable[[], None]:
        return lambda: self.there(name).click()

    def write(self, name: str, choices: tuple) -> Callable[[], None]:
        def act() -> None:
            place = self.there(name)
            place.fill(str(self.rng.choice(choices)))
            place.press("Tab")

        return act

    def open(self, name: str) -> None:
        """Unfold what is folded."""
        head = self.there(f"{name} button.label-wrap")
        if "open" not in (head.get_attribute("class") or "").split():
            head.click()

    def choose(self, name: str) -> None:
        """Another entry of a list."""
        self.there(f"{name} input").click()
        self.there("ul[role=listbox] li").click()

    def tiny(self, box: str, base: str, fields: tuple) -> None:
        """The tiny base, and numbers that it is quick with."""
        self.open(box)
        self.there(f"{base} input").click()
        self.page.locator("ul[role=listbox] li", has_text="base").first.click()
        self.page.wait_for_timeout(1000)  # the fields are filled anew
        for name, choices in fields:
            self.write(name, choices)()

    def start(self) -> None:
        self.go("train", "#start")
        if not self.page.locator("#chosen:visible").count():
            self.press(EXAMPLES)()
            self.page.locator(".pictures img").first.wait_for()
        self.write("#trigger input", ("zxy_style", "ohwx_cat"))()
        self.tiny("#details", "#base", TINY)
        self.press("#start")()

    def draw(self) -> None:
        self.go("generate", "#draw")
        self.write("#prompt textarea", PROMPTS)()
        self.tiny("#draw-details", "#draw-base", SMALL)
        self.press("#draw")()

    def slide(self) -> None:
        handle = self.there("[id^=stack-] input[type=range]")
        for _ in range(self.rng.randint(1, 8)):
            handle.press(self.rng.choice(["ArrowLeft", "ArrowRight", "Home", "End"]))

    def upload(self, name: str) -> None:
        place = self.page.locator(name)
        if not place.count():
            raise Error(f"{name} is not there")
        offered = (place.first.get_attribute("accept") or "").split(",")  # by the window in which files are chosen
        files = [one for one in self.files if any(one.endswith(end.strip()) for end in offered)] or self.files
        place.first.set_input_files(self.rng.sample(files, self.rng.randint(1, min(3, len(files)))))

    def refresh(self) -> None:
        """What a page complains of while it is left, nobody sees: the requests it was waiting for are cut off."""
        before = len(self.wrong)
        self.page.goto(self.address)
        del self.wrong[before:]
        self.page.locator("#tabs").wait_for(timeout=START_UP * 1000)

    def toasts(self) -> list[str]:
        """The errors that gradio shows in a corner, taken away."""
        return self.page.evaluate(
            "[...document.querySelectorAll('.toast-body.error')].map(one => "
            "{ one.querySelector('button')?.click(); return one.innerText })"
        )

    def acts(self) -> dict[str, tuple[int, Callable[[], object]]]:
        """Everything one can do here, and how often it is done."""
        media = self.page.emulate_media
        return {
            "tab": (6, self.press("button[role=tab]")),
            "preset": (3, self.press("#preset label")),
            "examples": (3, self.press(EXAMPLES)),
            "other pictures": (1, self.press("#others")),
            "drop files": (1, lambda: self.upload("#dropzone input.files")),
            "caption": (2, self.write("#picture-desk textarea", PROMPTS)),
            "undo": (1, self.press("#picture-desk button.undo")),
            "take out": (1, self.press("#picture-desk button.remove")),
            "trigger word": (3, self.write("#trigger input", WORDS)),
            "name": (1, self.write("#name input", WORDS)),
            "details": (2, self.press("#details button.label-wrap")),
            "odd setting": (3, self.write("[id^=setting-] input[type=number]", ODD)),
            "setting": (2, self.press("[id^=setting-] input[type=checkbox]")),
            "base": (1, lambda: self.choose("#base")),
            "optimizer": (1, lambda: self.choose("#setting-optimizer")),
            "back to the preset": (1, self.press("button:has-text('Back to the preset')")),
            "start": (8, self.start),
            "pause": (4, self.press("#pause")),
            "stop": (2, self.press("#stop")),
            "resume": (5, self.press("#resume")),
            "draw with it": (2, self.press("#draw-with")),
            "train another": (3, self.press("#another")),
            "draw": (5, self.draw),
            "cancel": (2, self.press("#cancel")),
            "prompt": (2, self.write("#prompt textarea", PROMPTS)),
            "draw details": (2, self.press("#draw-details button.label-wrap")),
            "odd number": (2, self.write("#draw-details input[type=number]", ODD)),
            "count": (1, self.write("#count input", (1, 1, 2, 0, 99))),
            "add to the stack": (3, self.press("#add-lora")),
            "choose from the shelf": (3, self.press("#picks [data-pick]:enabled")),
            "take from the stack": (2, self.press("[id^=stack-] button.remove")),
            "switch": (2, self.press("[id^=stack-] input[type=checkbox]")),
            "another LoRA": (2, lambda: self.choose("[id^=stack-]")),
            "strength": (2, self.write("[id^=stack-] input[type=number]", ("0", "0.5", "1.5", "9", ""))),
            "slide": (2, self.slide),
            "import": (1, lambda: self.upload("#import-lora input, input[accept*=safetensors]")),
            "trigger word into the prompt": (1, self.press("#stack [data-act=word]")),
            "gallery": (1, self.press("#gallery button")),
            "put it away": (2, lambda: self.page.keyboard.press("Escape")),
            "copy a report": (1, self.press("[data-copy]")),
            "check my studio": (1, self.press("#check-studio")),
            "refresh": (2, self.refresh),
            "dark or light": (1, lambda: media(color_scheme=self.rng.choice(["dark", "light"]))),
        }


def hostile_files(folder: Path) -> list[str]:
    """A good picture, text called a picture, an empty one, and a LoRA that is none."""
    good = next((ROOT / "lora_gui" / "starter" / "examples").rglob("*.png"))
    shutil.copy(good, folder / "good.png")
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.jpg").touch()
    (folder / "lora.safetensors").write_bytes(b"\xff" * 64)
    return [str(path) for path in sorted(folder.iterdir())]


def open_app(home: Path, log: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    """The app with a tiny base in its studio; its process, its address and its key."""
    make = "import sys; from pathlib import Path; from tests import tiny; tiny.stable_diffusion_1(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", make, str(home / "bases")], cwd=ROOT, check=True, capture_output=True)
    environment = os.environ | {"LORA_GUI_HOME": str(home)}
    with open(log, "wb") as out:
        command = [sys.executable, "app.py", "--no-browser"]
        app = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    until = time.monotonic() + START_UP
    while not (home / "window.json").is_file():
        assert app.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.5)
    known = json.loads((home / "window.json").read_text())
    return app, f"http://127.0.0.1:{known['port']}/", known["token"]


def click_about(
    context: BrowserContext, address: str, minutes: float, rng: random.Random, files: list[str]
) -> tuple[Counter[str], Counter[str], list[str]]:
    """What was done, what could not be, and what the pages complained of."""
    done: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong: list[str] = []
    people = [Person(context.new_page(), address, rng, files) for _ in range(2)]
    for person in people:
        person.refresh()
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        who = rng.choice(people)
        acts = who.acts()
        name = rng.choices(list(acts), [often for often, _ in acts.values()])[0]
        try:
            acts[name][1]()
            done[name] += 1
        except Error:
            missed[name] += 1
        else:
            who.page.wait_for_timeout(rng.uniform(2000, 4000))
        for complaint in (*who.wrong, *who.toasts()):
            wrong.append(f"{name}, {(until - time.monotonic()) / 60:.1f} min before the end: {complaint}")
            print(wrong[-1], file=sys.stderr)
        who.wrong.clear()
    return done, missed, wrong


def tracebacks(home: Path, log: Path) -> list[str]:
    """The ends of the logs in which a traceback stands: the app's, the runs' and that of drawing."""
    texts = {path: path.read_text(errors="replace") for path in (log, *home.rglob("*.txt"))}
    return [f"{path}: {text[text.index('Traceback') :][:3000]}" for path, text in texts.items() if "Traceback" in text]


def close(app: subprocess.Popen[bytes], home: Path) -> None:
    """The app and whatever run goes on without it."""
    app.terminate()
    app.wait(60)
    for record in home.glob("runs/*/alive"):
        known = json.loads(record.read_text())
        if psutil.pid_exists(known["pid"]) and abs(psutil.Process(known["pid"]).create_time() - known["started"]) < 1.5:
            psutil.Process(known["pid"]).kill()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=3)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        home, log, things = Path(name) / "studio", Path(name) / "app.log", Path(name) / "things"
        things.mkdir()
        app, address, token = open_app(home, log)
        try:
            browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.set_default_timeout(PATIENCE)
            context.set_default_navigation_timeout(START_UP * 1000)
            context.new_page().goto(f"{address}?token={token}")
            context.pages[0].close()
            rng = random.Random(given.seed)
            done, missed, wrong = click_about(context, address, given.minutes, rng, hostile_files(things))
            browser.close()
        finally:
            close(app, home)
        verify = [sys.executable, "-m", "lora_gui", "verify", "--json"]
        checked = subprocess.run(verify, cwd=ROOT, env=os.environ | {"LORA_GUI_HOME": str(home)}, capture_output=True)
        found = {
            "minutes": given.minutes, "clicks": done.total(), "acts": dict(done), "not there": dict(missed),
            "runs": len(list(home.glob("runs/*/job.json"))), "LoRAs": len(list(home.glob("loras/*.safetensors"))),
            "drawings": len(list(home.glob("drawings/*/*.png"))), "errors shown": wrong,
            "tracebacks": tracebacks(home, log), "verify": json.loads(checked.stdout),
        }  # fmt: skip
    print(json.dumps(found, indent=1))
    sys.exit(bool(wrong or found["tracebacks"] or checked.returncode))


if __name__ == "__main__":
    main()
