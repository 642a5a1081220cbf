"""The drawing desk in a real browser: orders that wait, a killed child, pictures to begin with, what is dropped."""

import base64

import numpy as np
import psutil
import pytest
from conftest import unfold
from PIL import Image
from playwright.sync_api import expect

from lora_gui.protocol.lease import Lease
from lora_gui.studio.library import history
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests import making

SHIFTS = """window.shifts = []; new PerformanceObserver(list => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts.push(one.value);
}).observe({ type: 'layout-shift' });"""
DROP = """([selector, name, data]) => {
  const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0)), files = new DataTransfer();
  files.items.add(new File([bytes], name, { type: 'image/png' }));
  const event = kind => new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: files });
  const place = document.querySelector(selector);
  place.dispatchEvent(event('dragover'));
  const covered = document.body.classList.contains('dropping'), dropped = event('drop');
  place.dispatchEvent(dropped);
  return [covered, dropped.defaultPrevented, document.body.classList.contains('dropping')];
}"""
USER_COMMENT = 0x9286  # of EXIF
A1111 = """a fox (in the snow:1.3)
Negative prompt: rain
Steps: 3, Sampler: Euler a, CFG scale: 3, Seed: 77, Size: 128x96, Model: Starter, Hires upscaler: Latent"""


@pytest.fixture
def desk(page, window):
    if not bases.list_bases(Studio(window.home)):
        pytest.skip("This copy of the app has no starter, which is drawn with.")
    page.get_by_role("tab", name="Generate").click()
    return page


def few_steps(page, count):
    if not page.locator("#draw-steps input").is_visible():
        unfold(page, "draw-details")
    page.locator("#draw-steps input").fill(str(count))


def order(page, prompt):
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#draw").click()


def drawn(page, window, count):
    """The newest drawing once there are as many."""
    expect(page.locator("#easel")).to_be_hidden()
    expect(page.locator("#gallery .thumbnail-item")).to_have_count(count)
    path = max((window.home / "drawings").glob("????-??-??/*.png"))
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def drop(page, selector, path):
    return page.evaluate(DROP, [selector, path.name, base64.b64encode(path.read_bytes()).decode()])


@pytest.mark.soak
def test_orders_wait_on_every_page_and_a_child_that_is_killed_is_started_again(desk, window, browser):
    page, lease = desk, Lease(window.home)
    assert lease.take("a training", print)
    few_steps(page, 2)
    page.evaluate(SHIFTS)
    order(page, "a red apple")
    expect(page.locator("#preview")).to_contain_text("A training is using the")
    page.locator("#cancel").press("Enter")
    expect(page.locator("#easel")).to_be_hidden()  # a look after its answer
    expect(page.locator("#draw")).to_be_focused()
    order(page, "a red apple")
    expect(page.locator("#preview")).to_contain_text("A training is using the")
    other = page.context.new_page()  # a second window on the same studio
    other.goto(window.address)
    other.get_by_role("tab", name="Generate").click()
    rows = page.locator("#behind li .words")
    for number, (window_of, name) in enumerate(((other, "a blue boat"), (page, "a green fox"), (page, "a cat"))):
        order(window_of, name)  # both windows show the same draft, so each press is waited for
        expect(rows).to_have_count(number + 1)
    expect(rows).to_have_text(["a blue boat", "a green fox", "a cat"])
    page.get_by_role("button", name="Draw a green fox earlier").click()
    page.get_by_role("button", name="Take a cat out of the list").click()
    expect(other.locator("#behind li .words")).to_have_text(["a green fox", "a blue boat"])
    child = next(
        one for one in psutil.Process(window.process.pid).children(recursive=True) if "draw" in one.cmdline()[-2:]
    )
    child.kill()
    expect(page.locator("#preview")).to_contain_text("A training is using the")
    lease.release()
    drawn(page, window, 3)
    expect(page.locator("#draw-remark")).to_contain_text("started again, and the drawing begun anew")
    studio = Studio(window.home)
    done = sorted(history.history(studio)[0], key=lambda one: history.place(studio, one.name).stat().st_mtime_ns)
    assert [one.prompt for one in done] == ["a red apple", "a green fox", "a blue boat"]
    assert sum(page.evaluate("window.shifts")) < 0.05 and window.complaints == []


@pytest.mark.soak
def test_a_drawing_is_changed_where_it_is_painted_over_and_enlarged(desk, window):
    page, before = desk, len(history.history(Studio(window.home))[0])
    few_steps(page, 4)
    order(page, "a red apple on a blue background")
    first = drawn(page, window, before + 1)
    page.locator("#stage [data-use=change]").click()
    canvas = page.locator(".begin canvas")
    expect(page.locator(".begin .board img")).to_be_visible()
    page.wait_for_function("document.querySelector('.begin canvas').width === 128")
    page.locator("[aria-label='Size of the brush']").fill("30")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + box["height"] / 4, steps=5)
    page.mouse.up()
    expect(page.locator("#draw-mask_blur")).to_be_hidden()  # it comes with the mask, which is on its way
    page.locator("#draw").click()  # waits for it
    changed = np.abs(drawn(page, window, before + 2) - first).max(axis=2)
    assert changed[8:48, 40:88].mean() > 1 and changed[-40:].max() == 0, "below, nothing was painted"
    page.reload()
    page.get_by_role("tab", name="Generate").click()
    expect(page.locator(".begin .says")).to_have_text("Only what is painted changes.")
    page.wait_for_function(
        "(() => { const c = document.querySelector('.begin canvas');"
        "return c.width === 128 && c.getContext('2d').getImageData(64, 32, 1, 1).data[3] > 200; })()"
    )
    page.locator(".begin [data-do=away]").press("Enter")
    expect(page.locator(".begin .none button")).to_be_focused()
    page.locator("#stage [data-do=enlarge]").click()
    assert drawn(page, window, before + 3).shape == (256, 256, 3)
    assert window.complaints == []


def test_what_is_dropped_anywhere_fills_the_form_and_never_leaves_the_page(desk, window, tmp_path):
    page, told = desk, Image.Exif()
    told[USER_COMMENT] = A1111.encode()
    Image.new("RGB", (128, 96)).save(tmp_path / "from elsewhere.jpg", exif=told)
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "plain.png")
    assert drop(page, "#gallery", tmp_path / "from elsewhere.jpg") == [True, True, False]
    expect(page.locator("#prompt textarea")).to_have_value("a fox (in the snow:1.3)")
    expect(page.locator("#draw-notice")).to_contain_text("Not carried over: Hires upscaler Latent.")
    few_steps(page, 3)
    for field, value in {"#negative textarea": "rain", "#seed input": "77", "#draw-height input": "96"}.items():
        expect(page.locator(field)).to_have_value(value)
    drop(page, "#desk", tmp_path / "plain.png")
    expect(page.locator("#draw-notice")).to_contain_text("plain.png does not say how it was made.")
    page.locator("#begin button.label-wrap").click()
    page.locator(".begin .none").wait_for()
    assert drop(page, ".begin .none", tmp_path / "plain.png") == [False, True, False]
    expect(page.locator(".begin .board img")).to_be_visible()
    page.get_by_role("tab", name="Train").click()
    assert drop(page, "#trigger", tmp_path / "plain.png")[:2] == [False, True]
    expect(page.locator(".pictures img")).to_have_count(1)
    page.get_by_role("tab", name="Generate").click()
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert window.complaints == []


def test_a_lora_is_added_by_keys_and_a_strength_that_is_emptied_is_the_one_before(desk, window):
    page = desk
    for name in ("fox", "a-name-of-" + "many-letters-" * 6):
        making.lora(Studio(window.home), name)
    page.locator("#add-lora").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#picker-search :is(input, textarea)")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#picker")).to_be_hidden()
    expect(page.locator("#add-lora")).to_be_focused()
    for row in range(2):
        page.locator("#add-lora").click()
        page.locator("#picks [data-pick]").first.click()
        expect(page.locator(f"#stack-{row}")).to_be_visible()
    page.get_by_label("number input for Strength of fox").fill("")
    page.keyboard.press("Tab")
    expect(page.get_by_label("number input for Strength of fox")).to_have_value("1")
    page.locator("#stack-0 .lacks button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#prompt textarea")).to_have_value("zxy ")
    expect(page.locator("#prompt textarea")).to_be_focused()
    page.locator("#fight [data-act=fight]").click()
    expect(page.locator(".fight li").first).to_contain_text("many-letters")
    column, said = (page.locator(one).bounding_box() for one in ("#stack", ".fight ul"))
    assert said["x"] + said["width"] <= column["x"] + column["width"] + 1, "a long name runs over the column"
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.locator("#stack-0 input[role=combobox]").bounding_box()["width"] > 120, "the name can be read"
    assert window.complaints == []
