"""What is dropped or pasted anywhere comes in or is answered; what was just drawn is shown, whatever is looked for."""

import base64

import pytest
from conftest import unfold
from PIL import Image
from playwright.sync_api import expect
from test_drawing_desk import few_steps, order

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, pictures
from lora_gui.ui.generate.wall import NONE_FIT
from tests import making

FILES = """const filed = given => {
  const transfer = new DataTransfer();
  for (const [name, data] of given) {
    const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: name.endsWith('png') ? 'image/png' : '' }));
  }
  return transfer;
};"""
DROP = f"""([selector, drops]) => {{ {FILES}
  for (const given of drops) document.querySelector(selector).dispatchEvent(
    new DragEvent('drop', {{ bubbles: true, cancelable: true, dataTransfer: filed(given) }}));
}}"""
HEARD = """window.heard = []; new MutationObserver(() => {
  const words = document.querySelector('#dropzone .aloud').textContent;
  if (words && words !== heard.at(-1)) heard.push(words);
}).observe(document.querySelector('#dropzone'), { childList: true, subtree: true, characterData: true });"""
PASTE = f"""([selector, given, words]) => {{ {FILES}
  const clipboardData = filed(given);
  if (words) clipboardData.setData('text/plain', words);
  const event = new ClipboardEvent('paste', {{ bubbles: true, cancelable: true, clipboardData }});
  document.querySelector(selector).dispatchEvent(event);
  return event.defaultPrevented;
}}"""


def packed(paths):
    return [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]


def drop(page, selector, *drops):
    """Each of `drops` at once, without waiting for what becomes of the others."""
    page.evaluate(DROP, [selector, [packed(paths) for paths in drops]])


def painted(folder, name, colour):
    Image.new("RGB", (96, 80), colour).save(folder / f"{name}.png")
    return folder / f"{name}.png"


def test_whatever_is_dropped_comes_in_and_where_nothing_is_taken_a_sentence_says_so(page, window, tmp_path):
    theirs = Studio(tmp_path)
    loras = [making.lora(theirs, f"l{n}", 0.1 * n) for n in range(1, 4)]
    page.get_by_role("tab", name="Bases").click()
    expect(page.locator("#known-bases")).to_be_visible()
    drop(page, "body", loras)
    expect(page.locator("#voice")).to_contain_text("LoRAs on the list in Library")
    page.locator("#voice").click()
    page.get_by_role("tab", name="Library").click()
    expect(page.get_by_role("button", name="Bring LoRAs")).to_be_visible()
    drop(page, "#library-cards", loras[:1], loras[1:])
    for name in ("l1", "l2", "l3"):
        expect(page.locator("#library-cards")).to_contain_text(name)
    expect(page.locator("#bring-notice")).to_contain_text("2 LoRAs taken in: l2, l3.")

    page.get_by_role("tab", name="Train").click()
    colours = ("teal", "red", "navy", "gold", "blue", "green")
    first = [painted(tmp_path, f"first-{n}", colour) for n, colour in enumerate(colours, start=6)]  # to 11
    then = painted(tmp_path, "then", "orange")
    expect(page.locator("#dropzone .zone")).to_be_visible()
    page.evaluate(HEARD)
    drop(page, "#dropzone .zone", first[::-1], [then])
    expect(page.locator("#picture-desk figure")).to_have_count(7)
    expect(page.locator("#dropzone .zone:not(.busy)")).to_be_visible()
    assert page.evaluate("heard[0]") == "Copying 6 files" and page.evaluate("heard.length") < 6, "and not each file"
    [folder] = [one for one in Studio(window.home).pictures.iterdir() if one.is_dir() and one.name[:1] != "."]
    expected = [path.name for path in (*first, then)]
    assert [one.label for one in pictures.load(folder).pictures] == expected, "each drop by its names"

    pasted = packed([painted(tmp_path, "pasted", "black")])
    assert page.evaluate(PASTE, ["#picture-desk textarea", pasted, "a fox"]) is False, "the text is the field's"
    assert page.evaluate(PASTE, ["body", pasted, "a fox"]) is True
    expect(page.locator("#picture-desk figure")).to_have_count(8)
    assert window.complaints == []


def test_each_lora_that_is_dropped_on_generate_joins_the_stack(page, window, tmp_path):
    loras = [making.lora(Studio(tmp_path), name) for name in ("fox", "owl", "cat")]
    page.get_by_role("tab", name="Generate").click()
    expect(page.locator("#stack")).to_be_visible()
    drop(page, "#stack", loras[:2], loras[2:])
    for row, name in enumerate(("fox", "owl", "cat")):
        expect(page.locator(f"#stack-{row} input[role=combobox]")).to_have_value(name)
    pasted = packed([painted(tmp_path, "pasted", "black")])
    assert page.evaluate(PASTE, ["#prompt textarea", pasted, "a fox"]) is False
    assert page.evaluate(PASTE, ["#prompt textarea", pasted, ""]) is True
    expect(page.locator("#begin img")).to_be_visible()
    assert window.complaints == []


def opened(page, window):
    """The desk, with little to wait for a drawing."""
    if not bases.list_bases(Studio(window.home)):
        pytest.skip("This copy of the app has no starter, which is drawn with.")
    page.get_by_role("tab", name="Generate").click()
    few_steps(page, 1)


@pytest.fixture
def only(window):
    """A drawing that is there before the page is opened."""
    return making.drawing(Studio(window.home), "only")


@pytest.fixture
def many(window):
    """More than one page of drawings."""
    return [making.drawing(Studio(window.home), f"one-{number:02}") for number in range(30)]


def test_a_drawing_that_is_gone_is_not_shown_any_more(only, page, window):
    opened(page, window)
    shown, nothing, said = (page.locator(one) for one in ("#shown figure", "#no-drawings", "#history-said"))
    expect(page.locator("#shown .words")).to_contain_text("a fox")
    page.locator("#gallery .thumbnail-item").drag_to(page.locator("#begin button.label-wrap"))
    expect(page.locator("#draw-notice")).to_contain_text("only.png is only 16 x 16 pixels.")  # to begin with
    page.locator("[data-do=delete]").dblclick()
    expect(nothing).to_be_visible()
    expect(shown).to_be_hidden()
    said.get_by_role("button").press("Enter")
    expect(shown).to_be_visible()
    expect(page.locator("[data-do=delete]")).to_be_focused()
    only.unlink()  # by another program
    page.locator("[data-do=star]").click()
    expect(said).to_contain_text("not there any more")
    expect(nothing).to_be_visible()
    assert window.complaints == []


TOLD_OF = """() => {
    const told = document.createElement('i'), there = [{ name: '0', words: 'a blue boat', facts: '', whole: '' }];
    told.hidden = true;
    told.dataset.beside = JSON.stringify({ there, gone: '' });
    document.querySelector('#gallery').append(told);
}"""


def test_what_was_just_drawn_is_shown_and_what_is_shown_stays_whatever_is_looked_for(many, page, window):
    opened(page, window)
    words, star, told = (page.locator(one) for one in ("#shown .words", "[data-do=star]", "#shown .told"))
    wall, pager, search = page.locator("#gallery"), page.locator(".pager span"), page.locator("#history-search input")
    page.get_by_role("button", name="Older", exact=True).click()
    expect(pager).to_contain_text("Page 2 of 2")
    order(page, "a red apple")
    expect(words).to_have_text("a red apple")
    expect(page.locator("#said")).to_have_text("Drawn: a red apple")
    expect(pager).to_contain_text("Page 1 of 2")
    search.fill("fox")
    expect(pager).to_contain_text("30 drawings")
    expect(words).to_have_text("a fox")  # the first of those that fit
    order(page, "a blue boat")
    expect(words).to_have_text("a blue boat")
    expect(page.locator("#easel")).to_be_hidden()
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(words).to_have_text("a blue boat")  # although it is not among those that fit
    wall.locator(".thumbnail-item").nth(3).click()
    expect(star).to_have_attribute("aria-pressed", "false")
    search.fill("owl")
    expect(wall.get_by_role("status")).to_have_text(NONE_FIT)
    page.evaluate(TOLD_OF)  # as an answer to what was pressed before may, which tells of the newest
    for _ in range(2):
        page.locator("[data-do=compare]").click()
    expect(told).to_be_empty()  # there is nothing to choose any more
    expect(words).to_have_text("a fox")
    page.locator("[data-do=copy]").click()
    expect(told).not_to_be_empty()
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.locator("[data-do=delete]").click()
    expect(words).to_have_text("a blue boat")
    assert window.complaints == []


def test_escape_and_the_arrows_are_the_dialogs_that_stands_in_front(many, page, window):
    opened(page, window)
    unfold(page, "grids")
    page.locator("#grid-columns-kind input").click()
    page.get_by_role("option", name="Prompt words").click()
    page.locator("#prompt textarea").fill("a red apple")
    page.locator("#grid-columns input").fill("apple | boat")
    expect(page.locator("#grid-plan")).to_contain_text("2 drawings")
    page.locator("#grid-draw").click()
    sheet, dialog, asks = (page.locator(one) for one in ("#sheet .sheet", "dialog[open]", "#stack [data-learn]"))
    expect(page.locator("#sheet .told")).to_have_text("2 drawings")
    asks.click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(sheet).to_be_visible()
    page.locator("#sheet h3").click()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.locator("#history-search input").fill("fox")
    current = page.locator("#gallery [aria-current]")
    expect(current).to_have_attribute("data-name", "2026-01-01/one-29.png")
    asks.click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(current).to_have_attribute("data-name", "2026-01-01/one-29.png")
    page.locator("#stage").click(position={"x": 5, "y": 5})
    page.keyboard.press("ArrowRight")
    expect(current).to_have_attribute("data-name", "2026-01-01/one-28.png")
    assert window.complaints == []
