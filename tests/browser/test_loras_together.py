"""Two LoRAs in a real Chromium: their parts, whether they fight, each alone on a sheet, and a grid that is stopped."""

import pytest
from conftest import unfold
from playwright.sync_api import expect
from test_look import legible

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests.studio.stacks.conftest import lora

QUICK = {"width": "64", "height": "64", "steps": "12"}


@pytest.fixture(scope="module", autouse=True)
def loras(window):
    studio = Studio(window.home)
    if not bases.list_bases(studio):
        pytest.skip("This copy of the app has no starter, which draws here.")
    for seed, name in enumerate(("ink", "owl")):
        lora(studio, name, seed)


@pytest.fixture
def desk(page):
    """The drawing desk with both in the stack, drawing as quickly as can be."""
    page.get_by_role("tab", name="Generate").click()
    page.locator("#prompt textarea").fill("a red fox")
    for row, name in enumerate(("ink", "owl")):
        page.locator("#add-lora").click()
        page.locator(f"#picks [data-pick='{name}.safetensors']").click()
        expect(page.locator(f"#stack-{row} input[role=combobox]")).to_have_value(name)
    unfold(page, "draw-details")
    for name, value in QUICK.items():
        page.locator(f"#draw-{name} input").fill(value)
    page.locator("#draw-details button.label-wrap").click()
    return page


@pytest.mark.soak
def test_parts_are_open_until_they_are_closed_and_balance_goes_both_ways(desk, window):
    expect(desk.locator("#fight")).to_contain_text("Will they fight?")
    details = desk.locator("#stack-0 details.parts")
    details.locator("summary").click()
    expect(details).to_contain_text("says all there is")  # the middle alone
    desk.locator("#stack-1 input[type=number]").fill("0.4")  # as strong as one another, nothing would be proposed
    desk.locator("#fight [data-act=fight]").click()
    expect(desk.locator(".fight table tbody tr")).to_have_count(2)
    expect(details).to_have_attribute("open", "")
    desk.locator("#fight [data-act=balance]").click()
    expect(desk.locator("#stack-0 input[type=number]")).to_have_value("0.8")
    desk.locator("#fight [data-act=undo]").click()
    expect(desk.locator("#stack-0 input[type=number]")).to_have_value("1")
    desk.locator("#stack-1 input[type=checkbox]").uncheck()
    expect(desk.locator("#together")).to_be_hidden()
    assert window.complaints == []


@pytest.mark.soak
def test_a_drawing_is_taken_apart_and_a_grid_is_stopped_and_kept(desk, window):
    desk.locator("#draw").click()
    desk.locator("#shown [data-use=apart]").click()
    told = desk.locator("#sheet .told")
    expect(told).to_have_text("4 drawings")
    expect(desk.locator("#sheet .aloud")).to_have_text("4 drawings")
    expect(desk.locator("#sheet .said li")).to_have_count(2)
    wide = "one => one.getBoundingClientRect().width - one.nextElementSibling.getBoundingClientRect().width"
    assert desk.locator("#sheet .place .says").first.evaluate(wide) == 0, "a label is as wide as its drawing"
    cut = "all => all.filter(one => one.scrollHeight > one.clientHeight).length"
    assert desk.locator("#sheet .cell").evaluate_all(cut) == 0, "each drawing is seen whole"
    desk.locator("#sheet .cell").nth(1).click()
    desk.keyboard.press("ArrowRight")
    expect(desk.locator("#sheet .one .says")).to_have_text("owl")
    desk.locator("#sheet .one button", has_text="Use these settings").click()
    expect(desk.locator("#stack-1")).to_be_hidden()
    expect(desk.locator("#stack-0 input[role=combobox]")).to_have_value("owl")
    desk.keyboard.press("Escape")
    desk.keyboard.press("Escape")
    expect(desk.locator("#sheet .sheet")).to_be_hidden()

    unfold(desk, "grids")
    desk.locator("#grid-columns input").fill(", ".join(f"{n / 100:g}" for n in range(100)))
    expect(desk.locator("#grid-plan")).to_contain_text("100 drawings")
    desk.locator("#grid-draw").click()
    expect(desk.locator("#sheet .cell:not(:disabled)").nth(2)).to_be_visible()
    desk.reload()
    desk.get_by_role("tab", name="Generate").click()
    desk.locator("#sheet button", has_text="Stop").click()
    expect(told).to_contain_text("what is drawn stays")
    assert 3 <= desk.locator("#sheet .cell img").count() < 100
    desk.add_style_tag(content="* { transition: none !important; }")
    legible(desk, "a sheet")
    desk.set_viewport_size({"width": 390, "height": 844})
    assert desk.evaluate("document.documentElement.scrollWidth") <= 390
    assert window.complaints == []
