"""How the window looks to whoever sits before it: legible, whole, on a large screen and on a phone."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, Window, open_window, unfold
from PIL import Image
from playwright.sync_api import expect

from lora_gui import files
from lora_gui.protocol import events
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import bases, pictures
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.train import planned

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
SMALL = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
import app
from lora_gui.ui.server import uploads
uploads.Uploads.__init__.__defaults__ = (2_000_000, 0, 0, 0)  # bytes that may lie there
sys.exit(app.main())
"""
ENDS = {
    "finished": events.Done("/none/zxy.safetensors", "ab", 12, 3.0),
    "stopped": events.Stopped(3, "/none/zxy.safetensors", "ab"),
    "paused": events.Paused(3),
    "failed": events.Failed("The training broke before step 3.", "Train again with a lower learning rate."),
}
LONG = "my_favourite_thing_of_the_long_autumn_24" + "x" * 20  # as a name
SMALL_TARGETS = """() => [...document.querySelectorAll('button, summary, textarea, select, .chip, input')]
  .filter(one => one.checkVisibility() && !one.closest('.visually-hidden'))
  .filter(one => !one.matches('[role=combobox], [type=range]')).filter(one => {
    const box = (one.matches('[type=checkbox], [type=radio]') && one.closest('label') || one).getBoundingClientRect();
    const after = getComputedStyle(one, '::after');
    const beyond = after.position === 'absolute' ? -2 * parseFloat(after.top) : 0;
    return box.height && box.height + Math.max(beyond || 0, 0) < 43;
  }).map(one => `${one.tagName} ${one.id} ${one.className} ${one.ariaLabel || one.textContent.trim().slice(0, 40)}`)"""
SIZES = {"tall": (96, 256), "wide": (512, 64), "small": (64, 64), "large": (1024, 1024)}


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A studio with drawings and ended runs, whose window takes small uploads only."""
    home = tmp_path_factory.mktemp("looks")
    studio = Studio(home)
    if not bases.list_bases(studio):
        pytest.skip("This copy of the app has no starter, the base of its runs.")
    found, _ = pictures.import_pictures(studio, [next(iter(pictures.examples().values()))])
    draft = TrainDraft(folder=found.folder.name, trigger="zxy_style", hand={"steps": 12})
    for state, ending in ENDS.items():
        run = runs.make(studio, planned.job(studio, replace(draft, name=LONG if state == "paused" else "")))
        sample = run.files.samples / "step-000003-0.png"
        files.write_bytes(sample, Path(found.pictures[0].path).read_bytes())
        files.append_line(run.files.events, events.to_line(events.Sample(3, str(sample), "a fox", 0)))
        said = (events.Started(12, 0), events.Step(3, 12, 0.4, 1e-4, 9.0), events.Note("Worth knowing."), ending)
        for event in said:
            files.append_line(run.files.events, events.to_line(event))
        files.touch(run.files.seen)
    (home / "drawings" / "2026-01-01").mkdir(parents=True)
    for name, size in SIZES.items():
        Image.new("RGB", size, "orange").save(home / "drawings" / "2026-01-01" / f"{name}.png")
    script = home / "small.py"
    script.write_text(SMALL)
    app = open_window(home, script)
    yield Window(home, app)
    app.terminate()
    app.wait(60)


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def legible(page, where):
    for dark in (False, True):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.wait_for_timeout(50)
        low = page.evaluate(CONTRAST)
        assert not low, f"{where}, {'dark' if dark else 'light'}: {low}"
    page.evaluate("document.body.classList.remove('dark')")


@pytest.mark.soak
def test_every_text_stands_out_from_what_is_behind_it_in_light_and_dark(page, window):
    assert page.evaluate(CONTRAST.replace("4.5", "30")), "what measures sees texts at all"
    page.add_style_tag(content="* { transition: none !important; }")  # colours as they end
    legible(page, "Train at first sight")
    page.get_by_text("Use the example pictures").click()
    expect(page.locator(".pictures img").first).to_be_visible()
    unfold(page, "details")
    page.locator("#setting-rank input").fill("9999")
    expect(page.locator("#setting-rank .wrong")).to_be_visible()
    page.locator("#trigger input").fill("zxy_style")
    page.locator("#start").click()
    expect(page.locator("#train-notice .notice")).to_be_visible()
    page.locator("#trigger input").fill("<b>")
    page.locator("#start").click()
    expect(page.locator("#trigger .wrong")).to_be_visible()
    legible(page, "Train with mistakes")
    page.locator("#trigger input").fill("zxy_style")
    expect(page.locator("#verdict .verdict")).to_be_visible()
    legible(page, "Train with a good word")
    page.locator("#check-studio").click()
    expect(page.locator("#check .notice").first).to_be_visible()
    tab(page, "Generate")
    unfold(page, "draw-details")
    page.locator("#count input").fill("99")
    expect(page.locator("#count .wrong")).to_be_visible()
    legible(page, "Generate")
    page.locator("#gallery .thumbnail-item").first.click()
    page.wait_for_timeout(300)
    legible(page, "a drawing enlarged")
    tab(page, "Runs")
    for number, ending in enumerate(reversed(ENDS)):  # the newest first
        page.locator("#runs-list button.name").nth(number).click()
        expect(page.locator("#past-run .run-name")).to_be_visible()
        legible(page, f"a run that {ending}")
        page.locator("#past-another").click()
        expect(page.locator("#runs-list button.name").first).to_be_visible()
    legible(page, "Runs")


@pytest.mark.parametrize("size", [(1280, 600), (1920, 900), (390, 844)])
def test_drawings_are_shown_whole_and_at_twice_their_size_at_most(page, window, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    tab(page, "Generate")
    images = page.locator("#gallery .thumbnail-item img")
    expect(images).to_have_count(len(SIZES))
    expect(images.last).to_be_visible()
    page.wait_for_function(
        "[...document.querySelectorAll('#gallery img')].every(i => i.complete && i.style.getPropertyValue('--twice'))"
    )
    for image in images.all():
        width, height, w, h, hidden = image.evaluate(
            """i => { const box = i.getBoundingClientRect(); let hidden = 0;
            for (let one = i.parentElement; !['gallery', 'stage'].includes(one.id); one = one.parentElement) {
                const outer = one.getBoundingClientRect();
                if (getComputedStyle(one).overflowY !== 'visible')
                    hidden = Math.max(hidden, box.bottom - outer.bottom, box.right - outer.right, outer.top - box.top);
            }
            return [i.naturalWidth, i.naturalHeight, box.width, box.height, hidden]; }"""
        )
        scale = min(w / width, h / height)  # object-fit: contain
        assert scale <= 2.001 and hidden <= 1, (image.get_attribute("src"), scale, hidden)
        assert image.evaluate("i => getComputedStyle(i).objectFit") == "contain"
        assert w > 40 and h > 20
    page.set_viewport_size({"width": 820, "height": size[1]})  # where the buttons need three lines
    buttons, search = (page.locator(one).bounding_box() for one in ("#stage .acts", "#history-search"))
    assert buttons["y"] + buttons["height"] <= search["y"], "nothing lies over what follows"


def test_on_a_phone_no_button_breaks_its_words_and_nothing_sticks_out(page, window):
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text("Use the example pictures").click()
    expect(page.locator(".pictures img").first).to_be_visible()
    check = """() => { const broken = [];
        for (const one of document.querySelectorAll('button, textarea, input:not([type=checkbox], [type=radio])')) {
            const box = one.getBoundingClientRect();
            if (!one.checkVisibility() || !box.width || one.closest('.label-wrap, .options')) continue;
            if (box.right > innerWidth + 1 || box.left < -1) broken.push(`${one.textContent || one.id} sticks out`);
            if (one.tagName !== 'BUTTON') continue;
            const range = document.createRange(); range.selectNodeContents(one);
            const lines = new Set([...range.getClientRects()].map(rect => Math.round(rect.top / 8)));
            const may = one.matches('.name') || one.querySelector('img, svg, i');
            if (lines.size > 1 && !may) broken.push(`${one.textContent} breaks`);
        }
        return broken; }"""
    assert page.evaluate(check) == []
    for name in ("Generate", "Runs"):
        tab(page, name)
        page.wait_for_timeout(400)
        assert page.evaluate(check) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#runs-list button.name", has_text=LONG).click()
    expect(page.locator("#past-run .run-name")).to_have_text(LONG)
    assert page.evaluate(check) == []
    page.wait_for_function("document.querySelector('#past-samples img').getBoundingClientRect().width > 80")
    for width in (390, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 844})
        page.locator("#past-resume").click(trial=True)  # nothing lies over it
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 390, "height": 844})
    page.context.new_cdp_session(page).send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for name in ("Runs", "Generate", "Library", "Bases", "Train"):
        tab(page, name)
        page.wait_for_timeout(400)
        assert page.evaluate(SMALL_TARGETS) == [], f"{name}: a finger needs 44 px"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("studio.say('What the window has to say. '.repeat(9))")
    assert page.locator("#voice").bounding_box()["width"] > 340, "a sentence has the whole width"


def test_what_is_folded_shows_an_arrow_to_the_right_and_what_is_open_one_down(page, window):
    turned = "() => getComputedStyle(document.querySelector('#details .label-wrap .icon')).transform"
    assert page.evaluate(turned) == "matrix(0, -1, 1, 0, 0, 0)"  # gradio's points down
    page.locator("#details button.label-wrap").first.click()
    expect(page.locator("#name input")).to_be_visible()
    page.wait_for_function(f"({turned})() === 'none'")


def test_what_belongs_together_stands_on_one_line_and_a_dot_moves_no_tab(page, window):
    start, plan = (page.locator(one).bounding_box() for one in ("#start", "#plan"))
    assert abs(start["y"] + start["height"] / 2 - plan["y"] - plan["height"] / 2) <= 2
    places = "[...document.querySelectorAll('#tabs [role=tab]')].map(one => one.getBoundingClientRect().x)"
    before = page.evaluate(places)
    page.evaluate("document.querySelectorAll('#tabs [role=tab]').forEach(one => one.classList.add('lives'))")
    assert page.evaluate(places) == before
    root = "getComputedStyle(document.documentElement)"
    assert page.evaluate(f"{root}.scrollbarGutter") == "stable", "tabs that scroll stand where those that do not stand"
    page.evaluate("document.body.classList.add('dark')")
    assert page.evaluate(f"{root}.colorScheme") == "dark", "what the browser draws by itself is dark too"
    tab(page, "Runs")
    page.locator("#runs-list button.name").last.click()
    expect(page.locator("#past-see")).to_be_visible()
    see, row = (page.locator(one).bounding_box() for one in ("#past-see", "#past-insight .under"))
    assert abs(see["x"] + see["width"] / 2 - row["x"] - row["width"] / 2) < 30, "in the middle, as what is above it"


def test_high_contrast_still_shows_what_is_chosen_and_on(page, window):
    page.emulate_media(forced_colors="active")
    lines = "all => all.map(one => getComputedStyle(one).outlineStyle)"
    assert page.locator("#preset label").evaluate_all(lines) == ["solid", "none", "none"]
    tab(page, "Generate")
    drawn = page.locator("#history-star input").evaluate("one => getComputedStyle(one).appearance")
    assert drawn == "auto", "by the browser, with its tick"


def test_the_window_has_one_word_for_a_file_that_was_kept(page, window):
    tab(page, "Runs")
    third = page.locator("#runs-list button.name").nth(2)
    third.focus()
    page.locator("#runs-list ol").evaluate("list => { list.parentElement.innerHTML = list.parentElement.innerHTML; }")
    expect(third).to_be_focused()  # although the list came anew
    page.locator("#runs-list button.name").last.click()
    expect(page.locator("#past-run-state")).to_contain_text("saved as zxy.safetensors")
    page.locator("#past-delete").click()
    page.locator("#past-keep").press("Enter")
    expect(page.locator("#past-delete")).to_be_focused()
    for path in (ROOT / "lora_gui").rglob("*.py"):
        if "starter" not in path.parts:
            said = [line for line in path.read_text(encoding="utf-8").splitlines() if "Publishing" in line]
            assert not said, (path, said)


def test_a_refused_upload_gives_the_windows_own_sentence(page, window, tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.new("RGB", (96, 96), "orange").save(small)
    large.write_bytes(small.read_bytes() + bytes(9_000_000))
    page.locator("#dropzone input.files").set_input_files([str(small), str(large)])
    expect(page.locator("#chosen")).to_contain_text("large.png could not be copied: Too many files are waiting")
    page.locator("#others").click()
    expect(page.locator("#kept-set")).to_contain_text("kept under Runs")
    page.locator("#dropzone input.files").set_input_files(str(large))
    expect(page.locator("#train-notice")).to_contain_text("large.png could not be copied: Too many files are waiting")
    tab(page, "Generate")
    lora = tmp_path / "large.safetensors"
    lora.write_bytes(bytes(9_000_000))
    page.locator("input[type=file][accept*=safetensors]").set_input_files(str(lora))
    expect(page.locator("#voice")).to_contain_text("Too many files are waiting in the window. Close it")
    assert page.locator("#voice").inner_text()[0] == "T"
