"""What a run has learnt, in a real browser: the hero's strip by keys, findings, also after a refresh."""

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from lora_gui.protocol import events
from lora_gui.studio.insight.best import Best
from lora_gui.studio.insight.finding import Finding
from lora_gui.studio.insight.report import REPORT, Report
from lora_gui.studio.paths import Studio
from tests import making


@pytest.fixture
def run(window):
    """A finished run with two prompts and a report, as its folder holds them."""
    studio = Studio(window.home)
    made = making.run(studio, "fox", making.lora(studio, "fox"))
    for number, prompt in enumerate(("a red fox", "a blue fox")):
        for label, colour in (("base", "grey"), ("final", ("red", "blue")[number])):
            path = made.files.samples / f"{label}-{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (64, 64), colour).save(path)
            step = 20 if label == "final" else 0
            with open(made.files.events, "a", encoding="utf-8") as file:
                file.write(events.to_line(events.Sample(step, str(path), prompt, number)) + "\n")
    made.files.insight.mkdir()
    Image.new("RGB", (64, 64), "green").save(made.files.insight / "molten.png")
    finding = Finding("molten", "It melts.", "Train slower.", "molten.png", {"learning_rate": 1e-5})
    words = Finding("too few", "Four pictures are few.", "Add some.")
    told = Report(20, "", (finding, words), Best(20, 0.7, "More adds little."))
    (made.files.insight / REPORT).write_text(json.dumps(told.to_json()), encoding="utf-8")
    return made


@pytest.mark.soak
def test_a_finished_run_shows_each_prompt_and_what_was_found_also_after_a_refresh(run, page, window):
    for _ in range(2):
        page.reload()
        hero, found = page.locator("#slider"), page.locator("#found")
        expect(found.locator(".finding").first).to_contain_text("Train slower.")
        left = found.locator(".finding p").evaluate_all("each => each.map(one => one.getBoundingClientRect().x)")
        assert left[0] > left[-1] + 100, "where there is no picture, no room is kept for one"
        expect(found.locator(".finding .mend")).to_contain_text("Learning rate 1e-05 instead of 0.0001")
        expect(found.locator(".best")).to_contain_text("The last step at strength 0.7")
        expect(hero.locator(".quiet")).to_have_text("a red fox")
    expect(hero.locator(".strip")).to_be_visible()
    hero.locator(".strip button").nth(1).focus()
    page.keyboard.press("Enter")
    expect(hero.locator(".quiet")).to_have_text("a blue fox")
    expect(hero.locator(".strip [aria-pressed=true] img")).to_have_attribute("alt", "a blue fox")
    page.locator("#see").click()  # its base is not on this computer
    expect(page.locator("#insight-state .notice.problem")).not_to_be_empty()
    expect(found.locator(".finding").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not window.complaints
