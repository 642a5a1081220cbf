"""The picture desk by keys and by the pointer: captions, crop, mask, out and back; undone, and kept by a refresh."""

import numpy as np
import pytest
from conftest import forget_what_was_chosen, opened, until
from PIL import Image
from playwright.sync_api import expect

from lora_gui.framing import MIDDLE
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.things import pictures

LONG = "a very long caption " * 30


@pytest.fixture
def desk(page, tmp_path):
    """Five pictures, of which the second loses much of its width, and the last a hundredth of its height."""
    rng = np.random.default_rng(1)
    for n, size in enumerate([(96, 96), (1600, 64), (96, 96), (96, 96), (96, 97)]):
        noise = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))
        noise.save(tmp_path / f"{n}.png")
    page.locator("#dropzone input.files").set_input_files([str(path) for path in sorted(tmp_path.glob("*.png"))])
    expect(page.locator("#picture-desk figure img")).to_have_count(5)
    return page.locator("#picture-desk")


def found(window):
    return pictures.load(max(window.home.glob("pictures/2*")))


def until_all_are_seen(page):
    small = "[...document.querySelectorAll('#picture-desk figure img')]"
    page.wait_for_function(f"() => {small}.length === 5 && {small}.every(one => one.complete)")


def stroke(page, board):
    canvas = board.locator("canvas")
    canvas.hover(position={"x": 20, "y": 20})  # once it has been scrolled to and lies still
    box = canvas.bounding_box()
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=5)
    page.mouse.up()


@pytest.mark.soak  # first, since captions that others type are remembered with their pictures
def test_a_picture_is_taken_out_put_back_and_both_are_undone(desk, page, window):
    cells = desk.locator("figure")
    cells.nth(1).focus()
    page.keyboard.press("Delete")
    expect(cells).to_have_count(4)
    expect(page.locator("#plan")).to_contain_text("4 pictures, none with captions")
    expect(desk.locator("figure:focus")).to_have_attribute("aria-label", "2.png. No caption")
    page.keyboard.press("Control+z")
    expect(cells).to_have_count(5)
    expect(page.locator("#plan")).to_contain_text("5 pictures, none with captions")
    page.keyboard.press("Control+Shift+z")
    expect(cells).to_have_count(4)
    desk.locator(".out summary").click()
    desk.get_by_role("button", name="Put back").click()
    expect(cells).to_have_count(5)
    expect(desk.locator(".history")).to_have_text("1.png was put back.")
    page.locator("#dropzone input.files").set_input_files(str(found(window).pictures[0].path))
    expect(cells).to_have_count(6)
    desk.get_by_role("button", name="Undo").click()
    expect(cells).to_have_count(5)
    assert window.complaints == []


def test_captions_are_typed_by_keys_alone_and_a_refresh_loses_none(desk, page, window):
    cells, keys = desk.locator("figure"), page.keyboard
    cells.first.focus()
    keys.press("ArrowRight")
    expect(cells.nth(1)).to_be_focused()
    keys.type("a red fox")
    keys.press("Enter")
    expect(cells.nth(2).locator("textarea")).to_be_focused()
    keys.type("a boat")
    keys.press("Escape")
    expect(cells.nth(2)).to_be_focused()
    expect(desk.locator(".kept")).to_have_text("Kept.")
    expect(page.locator("#plan")).to_contain_text("5 pictures, 2 with captions")
    until(page, lambda: [one.caption for one in found(window).pictures] == ["", "a red fox", "a boat", "", ""])
    cells.nth(3).locator("textarea").fill(LONG)
    expect(cells.nth(3).locator(".unread")).to_contain_text("Not read: ")
    cells.nth(4).locator("textarea").fill("left at once")
    page.reload()
    until(page, lambda: found(window).pictures[4].caption == "left at once")
    expect(cells.nth(1).locator("textarea")).to_have_value("a red fox")
    expect(cells.nth(4).locator("textarea")).to_have_value("left at once")
    expect(cells.nth(1).locator(".crop")).to_be_visible()
    expect(cells.nth(4).locator(".crop")).to_be_hidden()  # one edge of it would be seen
    arrows = "[...document.querySelectorAll('#chosen select')].map(one => getComputedStyle(one).backgroundImage)"
    assert page.evaluate(arrows) and "none" not in page.evaluate(arrows)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("#picture-desk figure")).to_have_count(5)
    cells.nth(0).locator("textarea").fill("typed in the first page")
    expect(other.locator("#picture-desk textarea").nth(0)).to_have_value("typed in the first page")
    other.close()
    assert window.complaints == []


def test_start_waits_until_the_caption_that_was_typed_last_is_kept(desk, page, window):
    """Else the run would learn the one before."""
    held, started = [], []

    def hold_captions(route):
        asked = route.request.post_data_json
        if (asked.get("event_data") or {}).get("act") == "caption":
            held.append(route)
            return
        started.extend(one for one in asked["data"] if isinstance(one, dict) and "coming" in one)
        route.continue_()

    page.route("**/gradio_api/run/predict", hold_captions)
    desk.locator("textarea").first.fill("a red fox")
    page.locator("#start").click()
    until(page, lambda: held)
    page.wait_for_timeout(500)  # in which a Start that waits for nothing is asked for
    assert started == []
    held[0].continue_()
    expect(page.locator("#trigger input")).to_have_attribute("aria-invalid", "true")  # it was pressed, and has no word
    assert len(started) == 1 and found(window).pictures[0].caption == "a red fox"
    page.unroute_all(behavior="ignoreErrors")
    assert window.complaints == []


def test_the_crop_is_dragged_a_mask_is_painted_and_both_are_taken_back(desk, page, window):
    cell, crop = desk.locator("figure").nth(1), desk.locator("figure").nth(1).locator(".crop")
    expect(crop).to_be_visible()
    box = cell.locator(".shot").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - box["width"], middle[1], steps=5)
    page.mouse.up()
    until(page, lambda: found(window).pictures[1].crop == (0.0, 0.5))
    page.keyboard.press("Shift+ArrowRight")
    until(page, lambda: found(window).pictures[1].crop == (0.1, 0.5))
    desk.get_by_role("button", name="Crop the middle").press("Enter")
    expect(cell).to_be_focused()  # the button rests
    until(page, lambda: found(window).pictures[1].crop == MIDDLE)
    desk.get_by_role("button", name="Undo").click()
    until(page, lambda: found(window).pictures[1].crop == (0.1, 0.5))
    expect(desk.locator(".history")).to_have_text("Taken back: The crop of 1.png was moved.")
    desk.locator("figure").first.focus()
    desk.get_by_role("button", name="Mask").click()
    board = desk.locator(".easel .board")
    stroke(page, board)
    expect(desk.locator(".history")).to_have_text("A mask was put on 0.png.")
    expect(desk.locator("figure").first).to_have_class("cell masked")
    expect(page.locator("#plan")).to_contain_text("The mask of 1 picture is not looked at")
    with Image.open(mask_beside(found(window).pictures[0].path)) as mask:
        assert mask.size == (96, 96) and 0.02 < np.asarray(mask).mean() / 255 < 0.9
    desk.get_by_role("button", name="Done").click()
    for _ in range(3):
        desk.get_by_role("button", name="Undo").press("Enter")
        page.wait_for_timeout(300)
    expect(desk.locator(".history")).to_have_text("Taken back: The crop of 1.png was moved.")
    expect(desk.get_by_role("button", name="Redo")).to_be_focused()  # Undo rests now
    assert found(window).pictures[1].crop == MIDDLE and not mask_beside(found(window).pictures[0].path).is_file()
    assert window.complaints == []


def test_nothing_is_painted_on_a_picture_that_has_not_come_and_no_older_answer_wipes_a_stroke(desk, page, window):
    held = []

    def hold(route):
        held.append(route)

    def hold_the_answer(route):
        event = route.request.post_data_json.get("event_data") or {}
        if event.get("board") and not held:
            held.append((route, route.fetch()))
        else:
            route.continue_()

    mask, board = desk.get_by_role("button", name="Mask"), desk.locator(".easel .board")
    desk.locator("figure").nth(2).focus()
    mask.click()
    expect(board.locator("canvas")).to_be_visible()
    until_all_are_seen(page)
    page.route("**/gradio_api/file=**", hold, times=1)
    desk.locator("figure").first.focus()
    mask.click()
    until(page, lambda: held)
    expect(board.locator("canvas")).to_be_hidden()  # under it there is the picture before
    held.pop().continue_()
    expect(board.locator("canvas")).to_be_visible()
    page.route("**/gradio_api/run/predict", hold_the_answer)
    mask.click()
    mask.click()  # closed, and opened again: its mask is looked for
    until(page, lambda: held)
    stroke(page, board)
    page.wait_for_timeout(1200)  # it has settled, and is told after what was asked before it
    route, answer = held.pop()
    route.fulfill(response=answer)
    expect(desk.locator(".history")).to_have_text("A mask was put on 0.png.")
    page.wait_for_timeout(300)
    painted = "board => board.getContext('2d').getImageData(0, 0, board.width, board.height).data.some(Boolean)"
    assert board.locator("canvas").evaluate(painted)
    page.unroute("**/gradio_api/run/predict")
    desk.get_by_role("button", name="Learn all of it").click()
    expect(desk.locator(".history")).to_have_text("The mask of 0.png was taken away.")
    assert window.complaints == []


@pytest.mark.soak
def test_a_picture_that_did_not_come_is_said_and_comes_when_it_is_opened_again(desk, page, window):
    mask, board = desk.get_by_role("button", name="Mask"), desk.locator(".easel .board")
    until_all_are_seen(page)
    page.route("**/gradio_api/file=**", lambda route: route.abort())
    desk.locator("figure").nth(3).focus()
    mask.click()
    expect(page.locator("#voice")).to_contain_text("The picture could not be shown.")
    expect(board.locator("canvas")).to_be_hidden()
    page.unroute("**/gradio_api/file=**")
    mask.click()
    mask.click()
    expect(board.locator("canvas")).to_be_visible()


def test_the_learning_path_opens_at_the_card_that_is_asked_for(page, window):
    page.locator("[data-learn=trigger]").click()
    dialog = page.locator("#learning dialog")
    expect(dialog.get_by_role("heading", name="The trigger word")).to_be_visible()
    expect(dialog.locator("section")).to_have_count(6)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#learn-trigger img')].every(image => image.naturalWidth > 100)"
    )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("[data-learn=trigger]")).to_be_focused()
    assert window.complaints == []


def test_what_is_put_in_before_the_first_look_was_answered_joins_nothing_deleted(desk, page, browser, window):
    page.close()
    forget_what_was_chosen(window)
    looks = []

    def hold_the_first_look(route):
        if not looks and len(route.request.post_data_json["data"]) > 1:
            looks.append(route)
        else:
            route.continue_()

    context = opened(browser)
    other = context.new_page()
    other.route("**/gradio_api/run/predict", hold_the_first_look)
    other.goto(window.address)
    other.locator("#start").wait_for()
    other.locator("#dropzone input.files").set_input_files([found(window).pictures[0].path])
    expect(other.locator(".pictures img")).to_have_count(1)  # the five are gone
    with other.expect_response(looks[0].request.url):
        looks[0].continue_()
    other.wait_for_timeout(500)
    expect(other.locator(".pictures img")).to_have_count(1)
    context.close()
