"""What people really do, in a real Chromium: every mistake is answered by a sentence, and nothing is lost."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, opened, unfold, until
from PIL import Image
from playwright.sync_api import expect

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases


def drop(page, *files):
    page.locator("#dropzone input.files").set_input_files([str(file) for file in files])


def painted(folder, name, colour="orange"):
    path = folder / name
    Image.new("RGB", (96, 96), colour).save(path)
    return path


def wait_for_draft(page, window, word):
    """What was chosen is kept a moment after it was chosen."""
    draft = window.home / "draft.json"
    until(page, lambda: draft.is_file() and word in draft.read_text(encoding="utf-8"))


def test_start_without_pictures_says_what_to_do_and_keeps_what_was_typed(page, window):
    page.locator("#trigger input").fill("zxy_style")
    page.locator("#start").click()
    expect(page.locator("#train-notice")).to_contain_text("There are no pictures.")
    expect(page.locator("#trigger input")).to_have_value("zxy_style")
    assert window.complaints == []


def test_a_text_file_named_png_is_refused_and_the_others_come_in(page, window, tmp_path):
    fake = tmp_path / "notes.png"
    fake.write_text("not a picture at all")
    drop(page, painted(tmp_path, "one.png"), fake)
    expect(page.locator(".pictures img")).to_have_count(1)
    expect(page.locator("#chosen")).to_contain_text("notes.png is a text file")
    page.locator("#others").click()
    drop(page, fake)
    expect(page.locator("#train-notice")).to_contain_text("notes.png is a text file")
    expect(page.get_by_text("Use the example pictures")).to_be_visible()
    assert window.complaints == []


def test_a_caption_is_kept_as_it_was_typed_and_never_becomes_markup(page, window, tmp_path):
    drop(page, painted(tmp_path, "two.png"))
    evil = "an orange ${1+1} {{value}} <b>square</b>"
    page.locator("#picture-desk textarea").fill(evil)
    page.locator("#picture-desk textarea").press("Tab")
    page.wait_for_function("true")
    expect(page.locator("#train-notice [role=alert]")).to_have_count(0)
    until(page, lambda: evil in [one.read_text(encoding="utf-8") for one in window.home.glob("pictures/*/0001.txt")])
    assert window.complaints == []


def test_what_is_typed_and_not_left_is_kept_a_moment_later_and_at_once_when_the_page_is_left(page, window, tmp_path):
    drop(page, painted(tmp_path, "one.png", "teal"), painted(tmp_path, "two.png", "navy"))  # never captioned before
    areas = page.locator("#picture-desk textarea")
    expect(areas).to_have_count(2)
    folder = max(window.home.glob("pictures/2*"))

    def texts():
        paths = [folder / f"000{n}.txt" for n in (1, 2)]
        return [path.read_text(encoding="utf-8") if path.is_file() else "" for path in paths]

    areas.nth(0).press_sequentially("a red fox")
    expect(page.locator("#picture-desk .kept")).to_have_text("Kept.")
    assert texts() == ["a red fox", ""]
    unfold(page, "details")
    page.route("**/gradio_api/run/predict", lambda route: None, times=1)  # the answer to the first edit never comes
    page.locator("#trigger input").press_sequentially("zxy_left")
    page.locator("#setting-rank input").fill("24")
    page.locator("#setting-sample_prompts textarea").fill("a fox at night")
    areas.nth(1).press_sequentially("a blue boat")
    page.reload()
    until(page, lambda: texts() == ["a red fox", "a blue boat"])
    expect(areas.nth(1)).to_have_value("a blue boat")
    expect(page.locator("#trigger input")).to_have_value("zxy_left")
    unfold(page, "details")
    expect(page.locator("#setting-rank input")).to_have_value("24")
    expect(page.locator("#setting-sample_prompts textarea")).to_have_value("a fox at night")
    areas.nth(0).fill("typed and hidden")
    hidden = "Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});"
    page.evaluate(hidden + "document.dispatchEvent(new Event('visibilitychange'))")
    until(page, lambda: texts()[0] == "typed and hidden")
    areas.nth(0).fill("typed and closed")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    until(page, lambda: texts() == ["typed and closed", "a blue boat"])


TRIGGERS = {"": "There is no trigger word.", "x": "single letter", "a<b>": "signs that prompts use"}


def test_a_trigger_word_that_cannot_work_is_refused_with_a_reason(page, window, tmp_path):
    drop(page, painted(tmp_path, "three.png"))
    expect(page.locator(".pictures img")).to_have_count(1)
    field = page.locator("#trigger input")
    for trigger, sentence in TRIGGERS.items():
        field.fill(trigger)
        page.locator("#start").click()
        expect(page.locator("#trigger .wrong")).to_contain_text(sentence)
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(sentence))
        page.keyboard.press("End")
        page.keyboard.type("z")
        expect(page.locator("#trigger .wrong")).to_have_count(0)
        expect(field).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator("#train-notice [role=alert]")).to_have_count(0)
    assert window.complaints == []


def test_a_word_that_every_base_knows_is_taken_for_a_made_up_one_by_one_click(page, window):
    page.locator("#trigger input").fill("fox")
    expect(page.locator("#verdict .doubtful")).to_contain_text("fox is an ordinary word or name")
    page.get_by_role("button", name=re.compile("^Use [a-z]+$")).click()
    expect(page.locator("#verdict .good")).to_contain_text("is a good trigger word")
    expect(page.locator("#trigger input")).to_have_value(re.compile("^[a-z]{5,6}$"))
    wait_for_draft(page, window, page.locator("#trigger input").input_value())
    assert window.complaints == []


NAMES = {
    "../evil": "plain name such as evil", "CON": "such as con-lora", "my/lora": "such as my-lora",
    "lora 🦊": "Use a-z, 0-9, - and _, such as lora",
}  # fmt: skip


def test_a_name_that_cannot_be_stored_is_refused_with_one_that_can(page, window, tmp_path):
    drop(page, painted(tmp_path, "four.png"))
    expect(page.locator(".pictures img")).to_have_count(1)
    page.locator("#trigger input").fill("zxy_style")
    unfold(page, "details")
    expect(page.locator("#verdict")).to_contain_text("is a good trigger word")
    for name, sentence in NAMES.items():
        page.locator("#name input").fill(name)
        expect(page.locator("#name input")).to_have_value(name)
        page.locator("#start").click()
        expect(page.locator("#train-notice")).to_contain_text(sentence)
    assert not list(window.home.glob("runs/*"))
    assert window.complaints == []


def test_a_refreshed_page_still_has_what_was_chosen(page, window, tmp_path):
    drop(page, painted(tmp_path, "five.png"))
    expect(page.locator(".pictures img")).to_have_count(1)
    page.locator("#preset input[value=concept]").check()
    page.locator("#trigger input").fill("zxy_thing")
    page.locator("#start").focus()
    expect(page.locator("#verdict")).to_contain_text("zxy_thing is a good trigger word")
    wait_for_draft(page, window, "zxy_thing")
    assert window.complaints == []
    page.reload()
    expect(page.locator(".pictures img")).to_have_count(1)
    expect(page.locator("#trigger input")).to_have_value("zxy_thing")
    expect(page.locator("#preset input[value=concept]")).to_be_checked()
    assert window.complaints == []


def test_what_is_wrong_stands_at_its_field_and_on_the_header_until_it_is_mended(page, window, tmp_path):
    header, rank = page.locator("#details button.label-wrap").first, page.locator("#setting-rank input")
    unfold(page, "details")
    rank.fill("9999")
    expect(page.locator("#setting-rank .wrong")).to_contain_text("Rank can be at most 256.")
    expect(rank).to_have_attribute("aria-invalid", "true")
    expect(rank).to_have_attribute("aria-describedby", "setting-rank-wrong")
    expect(header).to_contain_text("Rank can be at most 256.")
    page.locator("#name input").fill("../fox")
    expect(page.locator("#name .wrong")).to_contain_text("looks like a path")
    expect(header).to_contain_text("2 settings to mend")
    page.locator("#name .wrong").get_by_role("button", name="Use fox").click()
    expect(page.locator("#name input")).to_have_value("fox")
    expect(page.locator("#name .wrong")).to_have_count(0)
    header.click()  # folded away; Start leads there
    drop(page, painted(tmp_path, "six.png"))
    expect(page.locator(".pictures img")).to_have_count(1)
    page.locator("#start").click()
    expect(page.locator("#trigger input")).to_be_focused()
    expect(page.locator("#trigger .wrong")).to_contain_text("There is no trigger word.")
    page.locator("#trigger input").press_sequentially("zxy_style")
    expect(page.locator("#trigger .wrong")).to_have_count(0)
    expect(page.locator("#train-notice")).not_to_contain_text("There is no trigger word.")
    page.locator("#start").click()
    expect(rank).to_be_focused()
    page.locator("#setting-rank").get_by_role("button", name="Use 256").click()
    expect(rank).to_have_value("256")
    expect(rank).not_to_have_attribute("aria-invalid", "true")
    expect(header).not_to_contain_text("can be")
    assert not list(window.home.glob("runs/*")) and window.complaints == []


def test_generate_tells_what_is_wrong_at_its_fields_too(page, window):
    page.get_by_role("tab", name="Generate").click()
    page.locator("#draw").click()
    expect(page.locator("#prompt textarea")).to_be_focused()
    expect(page.locator("#prompt .wrong")).to_contain_text("The prompt is empty.")
    expect(page.locator("#draw-notice")).not_to_be_visible()  # it is said once
    page.locator("#prompt textarea").fill("a fox")
    expect(page.locator("#prompt .wrong")).to_have_count(0)
    unfold(page, "draw-details")
    page.locator("#count input").fill("500")
    expect(page.locator("#count .wrong")).to_contain_text("How many can be at most 16.")
    page.locator("#count").get_by_role("button", name="Use 16").click()
    expect(page.locator("#count input")).to_have_value("16")
    page.locator("#draw-width input").fill("133")
    expect(page.locator("#draw-width .wrong")).to_contain_text("Width goes in steps of 8.")
    page.locator("#draw").click()
    expect(page.locator("#draw-width input")).to_be_focused()
    page.locator("#draw-width").get_by_role("button", name="Use 136").click()
    expect(page.locator("#draw-width .wrong")).to_have_count(0)
    assert window.complaints == []


@pytest.mark.soak
def test_a_text_that_is_too_long_to_be_kept_is_said_and_stays(page, window):
    page.get_by_role("tab", name="Generate").click()
    prompt = page.locator("#prompt textarea")
    prompt.fill("a fox " * 4000)
    expect(page.locator("#prompt .wrong")).to_contain_text("This text has more than 20,000 characters")
    page.locator("#draw").click()
    expect(page.locator("#prompt .wrong")).to_contain_text("This text has more than 20,000 characters")
    page.wait_for_timeout(500)
    expect(prompt).to_have_value("a fox " * 4000)
    prompt.fill("a fox")
    expect(page.locator("#prompt .wrong")).to_have_count(0)
    assert window.complaints == []


def test_a_file_that_is_no_lora_is_refused(page, window, tmp_path):
    page.get_by_role("tab", name="Generate").click()
    fake = tmp_path / "fake.safetensors"
    fake.write_bytes(b"no tensors here")
    page.locator("input[type=file][accept*=safetensors]").set_input_files(str(fake))
    expect(page.locator("#draw-notice [role=alert]")).to_be_visible()
    page.locator("#draw").click()
    expect(page.locator("#prompt .wrong")).to_contain_text("The prompt is empty.")
    expect(page.locator("#draw-notice")).not_to_be_visible()
    assert window.complaints == []


def test_a_look_older_than_the_answer_to_a_press_is_passed_over(page, browser, window, tmp_path):
    held, context = [], opened(browser)

    def hold_the_look(route):
        if '"look":' in (route.request.post_data or "") and not held:
            held.append((route, route.fetch()))
        else:
            route.continue_()

    other = context.new_page()
    other.goto(window.address)
    drop(other, painted(tmp_path, "first.png"))
    expect(other.locator(".pictures img")).to_have_count(1)
    page.wait_for_timeout(1100)  # it looks no oftener when it comes into sight
    page.route("**/run/predict", hold_the_look)
    until(page, lambda: page.evaluate("window.dispatchEvent(new Event('focus'))") and held)
    fake = tmp_path / "notes.png"
    fake.write_text("not a picture at all")
    drop(page, painted(tmp_path, "second.png", "teal"), fake)
    expect(page.locator("#chosen")).to_contain_text("notes.png is a text file")
    route, answer = held[0]
    assert "first.png" in answer.text()  # the page would show what it was told before
    with page.expect_request(lambda one: '"look":' in (one.post_data or "")):  # it looks again at once
        route.fulfill(response=answer)
    page.wait_for_timeout(500)
    expect(page.locator("#chosen")).to_contain_text("notes.png is a text file")
    expect(page.locator(".pictures img")).to_have_count(2)
    assert window.complaints == []
    context.close()


def test_of_two_edits_none_overtakes_the_other_whatever_is_answered_meanwhile(page, window):
    under_way, most = set(), []

    def late(route):
        if '"event_data":{"changes":' not in (route.request.post_data or ""):
            route.continue_()
            return
        under_way.add(route)
        most.append(len(under_way))
        page.wait_for_timeout(400)
        route.fulfill(response=route.fetch())
        under_way.discard(route)

    page.route("**/run/predict", late)
    trigger = page.locator("#trigger input")
    trigger.fill("z")
    page.evaluate("studio.fill('train', '', [])")  # as when another answer comes, to what was pressed before
    trigger.fill("zxy")
    page.evaluate("studio.fill('train', '', [])")
    trigger.fill("zxy_style")
    wait_for_draft(page, window, "zxy_style")
    page.wait_for_timeout(500)
    expect(trigger).to_have_value("zxy_style")
    page.unroute_all(behavior="wait")
    assert set(most) == {1} and window.complaints == []


def test_two_starts_at_once_make_one_run_and_both_windows_show_it(page, browser, window):
    if not bases.list_bases(Studio(window.home)):
        pytest.skip("This copy of the app has no starter, the base to train on.")
    page.get_by_text("Use the example pictures").click()
    expect(page.locator(".pictures img").first).to_be_visible()
    page.locator("#trigger input").fill("zxy_style")
    page.locator("#start").focus()
    wait_for_draft(page, window, "zxy_style")
    second = opened(browser).new_page()
    second.goto(window.address)  # it shows what was chosen in the first
    expect(second.locator(".pictures img").first).to_be_visible()
    expect(second.locator("#trigger input")).to_have_value("zxy_style")
    for one in (page, second):
        one.evaluate("document.querySelector('#start')?.click()")  # the second may be gone: it shows the run by then
    for one in (page, second):
        expect(one.locator("#run-state [role=progressbar]")).to_be_visible()
    assert len(list(window.home.glob("runs/*/job.json"))) == 1
    page.locator("#stop").click()
    for one in (page, second):
        expect(one.locator("#run-state")).to_contain_text("Stopped at step", timeout=600_000)
    page.locator("#another").click()
    expect(page.locator("#start")).to_be_visible()
    second.close()


def test_a_second_start_of_the_app_finds_the_window_that_is_open(window):
    command = [sys.executable, str(ROOT / "app.py"), "--no-browser"]

    environment = os.environ | {"LORA_GUI_HOME": str(window.home)}
    second = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert second.returncode == 0 and window.address in second.stdout


def test_without_the_key_the_window_stays_shut(browser, window):
    stranger = opened(browser).new_page()
    answer = stranger.goto(window.address.split("?")[0])
    assert answer.status == 401 and "Start LoRA Studio again" in stranger.content()
    stranger.close()
