"""The whole drawing desk in a real Chromium, with three LoRAs trained on the example pictures; behind `-m soak`."""

import base64
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import unfold
from playwright.sync_api import expect
from test_drawing_desk import DROP, SHIFTS, drawn, few_steps, order
from test_look import legible

from lora_gui import files
from lora_gui.studio.library import history
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import bases, pictures

pytestmark = pytest.mark.soak
WHOLE = True
ROOT, STEPS = pictures.EXAMPLES.parents[2], 12
LORAS = {"style": "zxy_style", "character": "zxy_cat", "concept": "zxy_boat"}  # presets, each with its word


@pytest.fixture(scope="module", autouse=True)
def loras(window):
    if not bases.list_bases(Studio(window.home)):
        pytest.skip("This copy of the app has no starter, which is drawn with.")
    for preset, word in LORAS.items():
        command = [sys.executable, "-m", "lora_gui", "train", "--pictures", str(pictures.EXAMPLES / preset)]
        command += ["--preset", preset, "--trigger", word, "--name", preset, "--set", f"steps={STEPS}"]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"LORA_GUI_HOME": str(window.home)}, check=True)
    for run in runs.all_runs(Studio(window.home)):
        files.touch(run.files.seen)  # or the page that is opened shows the newest in place of the form


@pytest.fixture
def desk(page, window):
    """The desk with all three in the stack."""
    page.get_by_role("tab", name="Generate").click()
    for number, name in enumerate(LORAS):
        page.locator("#add-lora").click()
        page.locator(f"#picks [data-pick='{name}.safetensors']").click()
        expect(page.locator(f"#stack-{number} input[role=combobox]")).to_have_value(name)
    few_steps(page, 4)
    page.locator("#draw-details button.label-wrap").click()
    page.locator("#prompt textarea").fill("a red apple")
    page.evaluate(SHIFTS)
    yield page
    assert window.complaints == []


def count(window):
    return len(history.history(Studio(window.home))[0])


def strength(page, number, value):
    page.locator(f"#stack-{number} input[type=number]").fill(str(value))


def test_the_stack_and_its_prompt_are_in_step_and_stacks_are_kept_by_name(desk):
    prompt = desk.locator("#prompt textarea")
    desk.locator("#stack-0 .lacks button").click()
    expect(prompt).to_have_value("zxy_style a red apple")
    desk.locator("#stack-0 .chip[data-act=word]").click()
    expect(prompt).to_have_value("a red apple")
    prompt.fill("a red apple <lora:character:0.6>")
    expect(desk.locator("#stack-1 input[type=number]")).to_have_value("0.6")
    strength(desk, 1, 0.45)
    expect(prompt).to_have_value(re.compile("<lora:character:0.45>"))
    desk.locator("#stack-2 [data-act=up]").click()
    expect(desk.locator("#stack-1 input[role=combobox]")).to_have_value("concept")
    desk.locator("#stack-0 details.parts summary").click()
    desk.locator("#stack-0 input[data-part=up]").fill("0.5")
    desk.keyboard.press("Tab")
    expect(desk.locator("#stack-0 details.parts summary")).to_contain_text("0.5")
    desk.locator("#stacks summary").click()
    desk.locator("#stacks input").fill("all three")
    desk.locator("#stacks [data-act=save]").click()
    expect(desk.locator("#draw-notice")).to_contain_text("The stack is kept as all three.")
    expect(desk.locator("#stacks [data-act=call]")).to_be_visible()
    for left in reversed(range(len(LORAS))):
        desk.locator("#stack-0 button.remove").click()
        expect(desk.locator(f"#stack-{left}")).to_be_hidden()  # a second press before the answer is no second removal
    desk.locator("#stacks [data-act=call]").click()
    expect(desk.locator("#stack-2")).to_be_visible()
    expect(desk.locator("#stack-0 details.parts summary")).to_contain_text("0.5")


def test_two_that_may_fight_are_seen_at_strengths_taken_apart_and_become_one(desk, window):
    strength(desk, 2, 0)
    desk.locator("#stack-2 input[type=checkbox]").uncheck()
    desk.locator("#fight [data-act=fight]").click()
    expect(desk.locator(".fight table tbody tr")).to_have_count(2)
    desk.locator("#fight [data-act=strengths]").click()
    expect(desk.locator("#sheet .told")).to_have_text("9 drawings")
    desk.locator("#sheet .cell").nth(6).click()  # 1.3 of the first, 0.7 of the second
    desk.locator("#sheet .one button", has_text="Use").click()
    expect(desk.locator("#stack-0 input[type=number]")).to_have_value("1.3")
    expect(desk.locator("#stack-1 input[type=number]")).to_have_value("0.7")
    before = count(window)
    order(desk, "zxy_style zxy_cat a red apple")
    together = drawn(desk, window, before + 1)
    desk.locator("#shown [data-use=apart]").click()
    expect(desk.locator("#sheet .told")).to_have_text("4 drawings")
    expect(desk.locator("#sheet .said li")).to_have_count(2)
    desk.keyboard.press("Escape")
    desk.locator("#draw-turns input").check()
    desk.locator("#shown [data-use=use]").click()  # the same seed and stack, and no turns
    expect(desk.locator("#draw-turns input")).not_to_be_checked()
    desk.locator("#mix button.label-wrap").click()
    desk.locator("#mix-kept").click()
    expect(desk.locator("#mix-said")).to_contain_text("An exact mix has rank")
    desk.locator("#mix-save").click()
    desk.locator("#mix-said [data-act=use]").click()
    expect(desk.locator("#stack-0 input[type=number]")).to_have_value("1")
    desk.locator("#draw").click()
    mixed = drawn(desk, window, before + 2)
    assert np.abs(mixed - together).max() <= 2, "the mix draws what the stack drew"


def test_a_grid_and_a_strip_are_drawn_binned_and_had_back(desk):
    unfold(desk, "grids")
    desk.locator("#grid-columns input").fill("0, 1")
    desk.locator("#travel-stations input").fill("3")
    expect(desk.locator("#grid-plan")).to_contain_text("2 drawings")
    desk.locator("#grid-draw").click()
    expect(desk.locator("#sheet .told")).to_have_text("2 drawings")
    desk.locator("#sheet button", has_text="Delete").click()
    expect(desk.locator("#sheet .sheet")).to_be_hidden()
    desk.locator("#sheet-line [data-act=restore]").click()
    expect(desk.locator("#sheet .told")).to_have_text("2 drawings")
    desk.locator("#travel-draw").click()
    expect(desk.locator("#sheet .told")).to_have_text("3 drawings")
    desk.locator("#sheet button", has_text="Play").click()
    expect(desk.locator("#sheet .one img")).to_be_visible()


def test_words_are_weighed_and_a_drawing_varies_and_comes_again_by_its_file(desk, window):
    before = count(window)
    unfold(desk, "draw-details")
    desk.locator("#draw-variation input").first.fill("0.2")
    desk.locator("#draw-details button.label-wrap").click()
    order(desk, "zxy_style a (red:1.3) {apple|boat} [on a white background]")
    first = drawn(desk, window, before + 1)
    path = max((window.home / "drawings").glob("????-??-??/*.png"))
    order(desk, "a blue fish")
    drawn(desk, window, before + 2)
    data = base64.b64encode(path.read_bytes()).decode()
    desk.evaluate(DROP, ["#desk", path.name, data])
    expect(desk.locator("#draw-notice")).to_contain_text("Draw makes the same one again.")
    desk.locator("#draw").click()
    assert np.array_equal(drawn(desk, window, before + 3), first)
    desk.locator("#shown [data-do=star]").click()
    desk.locator("#history-star input").check()
    expect(desk.locator("#gallery .thumbnail-item")).to_have_count(1)
    desk.locator("#history-star input").uncheck()
    expect(desk.locator("#gallery .thumbnail-item")).not_to_have_count(1)
    desk.locator("#history-search input").fill("blue fish")
    expect(desk.locator("#gallery .thumbnail-item")).to_have_count(1)
    desk.locator("#gallery .thumbnail-item").click()
    desk.locator("#shown [data-do=delete]").click()
    desk.locator("#history-said [data-act=restore]").click()
    desk.locator("#history-search input").fill("")
    expect(desk.locator("#gallery .thumbnail-item")).to_have_count(before + 3)


def test_keys_a_refresh_a_phone_and_the_dark_leave_the_desk_whole(desk, window):
    before = count(window)
    desk.locator("#stack-1 input[type=checkbox]").focus()
    value = float(desk.locator("#stack-1 input[type=number]").input_value())
    desk.keyboard.press("-")
    expect(desk.locator("#stack-1 input[type=number]")).to_have_value(f"{value - 0.05:g}")
    desk.keyboard.press("Control+Enter")
    drawn(desk, window, before + 1)
    shown = desk.locator("#gallery [aria-current]")
    name = shown.get_attribute("data-name")
    desk.locator("#stage").click(position={"x": 5, "y": 5})
    desk.keyboard.press("ArrowRight")
    expect(shown).not_to_have_attribute("data-name", name)
    assert sum(desk.evaluate("window.shifts")) < 0.05
    desk.locator("#prompt textarea").fill("typed last")
    desk.reload()
    desk.get_by_role("tab", name="Generate").click()
    expect(desk.locator("#prompt textarea")).to_have_value("typed last")
    expect(desk.locator("#stack-2")).to_be_visible()
    desk.set_viewport_size({"width": 390, "height": 844})
    desk.emulate_media(color_scheme="dark")
    desk.add_style_tag(content="* { transition: none !important; }")
    legible(desk, "the desk, dark, on a phone")
    assert desk.evaluate("document.documentElement.scrollWidth") <= 390
