"""The whole story in a real Chromium: pictures, a preset, a trigger word, Start; a refresh in between; then drawing."""

import re
import time

import numpy as np
import pytest
from conftest import comes_to_rest, unfold
from PIL import Image
from playwright.sync_api import expect
from safetensors.numpy import load_file, save_file

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases

WHOLE = True  # app.py and its workers, really started
STEPS = 32  # so many that a fast computer is seen at work
LONG = 600_000  # ms, for a training on a busy computer
PROMPT = "zxy_style apple on a blue background"


@pytest.fixture(scope="module", autouse=True)
def starter(window):
    if not bases.list_bases(Studio(window.home)):
        pytest.skip("This copy of the app has no starter, the base that the story is played on.")


def drawn(page, window):
    """Press Draw and return the pixels of the new drawing."""
    before = set(window.home.glob("drawings/*/*.png"))
    page.locator("#draw").click()
    expect(page.locator("#stage")).to_be_in_viewport(ratio=0.3)  # however far down Draw is
    until = time.monotonic() + LONG / 1000
    while time.monotonic() < until:
        new = [p for p in set(window.home.glob("drawings/*/*.png")) - before if not p.stem.endswith("-preview")]
        if new and not page.locator("#easel").is_visible():
            with Image.open(new[0]) as image:
                return np.asarray(image.convert("RGB"))
        assert not page.locator("#draw-notice [role=alert]").is_visible(), page.locator("#draw-notice").inner_text()
        time.sleep(0.3)
    raise AssertionError("nothing was drawn")


def set_strength(page, row, strength):
    number = page.locator(f"#stack-{row} input[type=number]")
    number.fill(str(strength))
    number.press("Tab")
    expect(page.locator(f"#stack-{row} input[type=range]")).to_have_value(str(strength))


def train(page):
    page.locator("#preset input[value=character]").check()
    page.locator("#preset input[value=style]").check()
    page.get_by_text("Use the example pictures").click()
    expect(page.locator(".pictures img").first).to_be_visible()
    expect(page.locator("#plan")).to_contain_text("pictures,")
    page.locator("#trigger input").fill("zxy_style")
    expect(page.locator("#verdict")).to_contain_text("good trigger word")
    unfold(page, "details")
    page.locator("#setting-steps input").fill(str(STEPS))
    page.locator("#setting-sample_every input").fill(str(STEPS // 2))
    page.locator("#setting-sample_prompts textarea").fill(PROMPT)
    expect(page.locator("#plan")).to_contain_text(f"{STEPS} steps")
    page.locator("#start").click()
    expect(page.locator("#run-state [role=progressbar]")).to_be_visible()


def nobody_looks(page):
    """A page that is hidden asks nothing, and goes on once it is seen."""
    hidden = "is => { Object.defineProperty(document, 'hidden', {get: () => is, configurable: true}); "
    hidden += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hidden, True)
    comes_to_rest(page)
    with page.expect_request("**/run/predict"):
        page.evaluate(hidden, False)


def test_from_pictures_to_a_drawing_with_two_loras(page, window):
    train(page)
    assert window.complaints == []
    page.wait_for_function("document.activeElement.className === 'run-name'")  # Start is gone; the run comes next
    page.reload()
    expect(page.locator("#run-state [role=progressbar]")).to_be_visible()
    expect(page).to_have_title(re.compile(r"\d+ % - zxy_style · LoRA Studio"), timeout=LONG)
    expect(page.locator("#tabs [role=tab].lives")).to_have_count(2)
    expect(page.locator("#said")).to_contain_text("percent")
    nobody_looks(page)
    expect(page.locator("#run .run-name")).to_contain_text("zxy_style")
    expect(page.locator("#run-state")).to_contain_text("Your LoRA is ready", timeout=LONG)
    expect(page.locator("#samples .row")).to_have_count(3)  # before, in the middle, at the end
    expect(page.locator("#slider img").first).to_be_visible()
    expect(page.locator("#plot svg").first).to_be_visible()

    page.locator("#draw-with").click()
    expect(page.locator("#prompt textarea")).to_have_value("zxy_style ")
    expect(page.locator("#stack-0 input[role=combobox]")).to_have_value("zxy_style")
    expect(page.locator("#stack-0 input[type=number]")).to_have_value("1")
    page.locator("#prompt textarea").fill(PROMPT)
    unfold(page, "draw-details")
    page.locator("#random input").uncheck()
    page.locator("#seed input").fill("7")
    page.locator("#draw-steps input").fill("6")
    with_one = drawn(page, window)
    expect(page.locator("#gallery img").first).to_be_visible()

    set_strength(page, 0, 0)
    page.set_viewport_size({"width": 390, "height": 844})
    at_zero = drawn(page, window)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#stack-0 button.remove").click()
    expect(page.locator("#stack-0")).to_be_hidden()
    base_alone = drawn(page, window)
    assert np.array_equal(at_zero, base_alone), "strength 0 must be the base, pixel for pixel"
    assert not np.array_equal(with_one, base_alone), "strength 1 must differ from the base"

    page.locator("#import-lora input[type=file], input[type=file][accept*=safetensors]").first.set_input_files(
        other_lora(window)
    )
    expect(page.locator("#stack-0 input[role=combobox]")).to_have_value("other")
    with_other = drawn(page, window)
    page.locator("#add-lora").click()
    page.locator("#picks [data-pick='zxy_style.safetensors']").click()
    expect(page.locator("#stack-1 input[role=combobox]")).to_have_value("zxy_style")
    with_both = drawn(page, window)
    assert not np.array_equal(with_both, with_one) and not np.array_equal(with_both, with_other)
    assert window.complaints == []


def other_lora(window):
    """The trained LoRA turned round, as a file from elsewhere."""
    trained = next(window.home.glob("loras/*.safetensors"))
    weights = {name: -2 * value if "lora_up" in name else value for name, value in load_file(trained).items()}
    target = window.home.parent / "other.safetensors"
    save_file(weights, target)
    return target
