"""What a page owes whoever sits before it: true and kept whatever was pressed when, quiet, and heard."""

import json
import shutil

import pytest
from conftest import ROOT, Window, comes_to_rest, open_window, unfold, until
from playwright.sync_api import expect

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests import making

PRESET = 'title = "Style"\ndescription = "How pictures look."\n[all]\nsteps = 77\n[base.one]\nsteps = 111\n'


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A studio with three bases, for each of which the preset has other steps."""
    home = tmp_path_factory.mktemp("three bases")
    studio = Studio(home)
    if not bases.list_bases(studio):
        pytest.skip("This copy of the app has no starter, of which the bases are made.")
    for name in ("one", "two"):
        shutil.copytree(bases.SHIPPED, studio.bases / name)
    studio.presets.mkdir()
    (studio.presets / "style.toml").write_text(PRESET + "[base.two]\nsteps = 222\n")
    app = open_window(home, ROOT / "app.py")
    yield Window(home, app)
    app.terminate()
    app.wait(60)


def choose(page, field, title):
    page.locator(f"#{field} input").click()
    page.get_by_role("option", name=title, exact=True).click()


def draft(window):
    path = window.home / "draft.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"train": {}, "draw": {}}


MOVED = """
  const later = window.setTimeout, idle = window.requestIdleCallback; // a busy computer has the time that it takes
  window.setTimeout = (act, wait, ...rest) => later(act, wait >= 3000 ? 1e9 : wait, ...rest);
  window.requestIdleCallback = act => idle(act);
  window.moved = [];
  new PerformanceObserver(seen => window.moved.push(...seen.getEntries().filter(one => one.value > 0.01).map(one =>
    `${one.value} ${one.sources.map(of => of.node?.id)}`))).observe({ type: 'layout-shift', buffered: true });
"""


def test_nothing_that_is_seen_moves_while_the_page_opens_on_a_slow_computer(page, window):
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.add_init_script(MOVED)
    page.reload()
    page.locator("#start").wait_for()
    expect(page.locator("#welcome")).to_be_visible()  # it came with the first look
    page.wait_for_timeout(1500)
    assert page.evaluate("moved") == []
    for button, then in (("#welcome-close", ".zone-ways button"), ("#menu-no", "#check-studio")):
        page.locator(button).press("Enter")  # and goes, but whoever pressed it does not stand before nothing
        expect(page.locator(then).first).to_be_focused()


def test_a_press_that_fails_is_said_and_what_is_said_can_be_put_away_by_keys(page):
    said = page.locator("#voice span")
    page.route("**/run/predict", lambda route: route.fulfill(status=500, body='{"error": null}'), times=1)
    page.get_by_role("tab", name="Runs").click()
    expect(said).to_contain_text("That did not work. Try it again")
    page.keyboard.press("Escape")
    expect(said).to_have_count(0)
    page.route("**/run/predict", lambda route: route.fulfill(status=413, body="This is too large."), times=1)
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("tab", name="Runs").click()
    expect(said).to_have_text("This is too large.")
    page.locator("#voice").get_by_role("button", name="Close").press("Enter")
    expect(said).to_have_count(0)


def test_each_press_is_answered_while_the_window_is_closed_also_once_that_was_put_away(page):
    said = page.locator("#voice span")
    page.route("**/gradio_api/**", lambda route: route.abort())
    for _ in range(2):
        page.locator("#start").click()
        expect(said).to_have_text("LoRA Studio was closed. Start it again; nothing is lost.")
        page.locator("#voice button").click()
        expect(said).to_have_count(0)


@pytest.mark.parametrize("comes", [True, False])
def test_a_tab_is_seen_once_what_it_lists_has_come_or_after_some_seconds(page, comes):
    held = []
    page.route("**/run/predict", lambda route: held.append(route))
    page.get_by_role("tab", name="Library").click()
    until(page, lambda: held)
    expect(page.locator("#bring")).to_be_hidden()
    if comes:
        page.unroute("**/run/predict")  # which lets go of what is held
        expect(page.locator("#library-cards")).not_to_have_text("")
    expect(page.locator("#bring")).to_be_visible()


@pytest.mark.soak
def test_after_three_bases_in_turn_the_plan_says_what_the_fields_hold(page, window):
    page.get_by_text("Use the example pictures").click()
    expect(page.locator("#plan")).to_contain_text("77 steps")
    unfold(page, "details")
    for title in ("one", "two", "Starter", "two", "one"):
        choose(page, "base", title)
    expect(page.locator("#plan")).to_contain_text("111 steps")
    expect(page.locator("#plan")).to_contain_text("on one")
    expect(page.locator("#setting-steps input")).to_have_value("111")
    page.locator("#setting-steps input").fill("40")  # by hand: it outlives every base
    for title in ("two", "Starter"):
        choose(page, "base", title)
    expect(page.locator("#plan")).to_contain_text("40 steps")
    expect(page.locator("#setting-steps input")).to_have_value("40")
    page.locator("#setting-steps input").fill("")
    page.locator("#name input").focus()
    expect(page.locator("#setting-steps input")).to_have_value("77")
    page.locator("#setting-rank input").fill("9999")
    page.locator("#again").click()
    expect(page.locator("#setting-rank input")).to_have_value("16")
    assert draft(window)["train"]["hand"] == {} and window.complaints == []


def test_what_is_typed_while_the_page_still_fills_is_kept(page, window):
    late = []
    page.route("**/run/predict", lambda route: late.append(route), times=1)  # the answer that fills the page is held up
    page.reload(wait_until="commit")
    page.locator("#trigger input").fill("zxy_early")
    unfold(page, "details")
    page.locator("#setting-rank input").fill("24")
    until(page, lambda: draft(window)["train"].get("hand") == {"rank": 24})
    with page.expect_response("**/run/predict"):
        late[0].continue_()
    page.wait_for_timeout(500)
    for name, value in {"trigger": "zxy_early", "setting-rank": "24", "setting-steps": "77"}.items():
        expect(page.locator(f"#{name} input")).to_have_value(value)
    assert draft(window)["train"]["trigger"] == "zxy_early" and window.complaints == []


def test_what_is_typed_while_an_answer_is_being_drawn_stays(page, window):
    unfold(page, "details")
    page.locator("#name input").wait_for()
    page.evaluate("""() => {
      const fill = studio.fill, name = document.querySelector('#name input');
      studio.fill = (...given) => {
        const values = fill(...given);
        studio.fill = fill;
        name.value = '../fox';
        name.dispatchEvent(new Event('input', { bubbles: true }));
        return values;
      };
    }""")
    page.locator("#trigger input").fill("zxy_early")
    expect(page.locator("#name .wrong")).to_contain_text("looks like a path")
    expect(page.locator("#name input")).to_have_value("../fox")
    assert window.complaints == []


def test_of_two_answers_that_come_at_once_both_are_heard(page):
    unfold(page, "details")
    page.locator("#name input").wait_for()
    stands = page.evaluate("""() => {
      const props = {}, told = { number: 1, names: ['name', 'notice', 'other'], wrong: {}, took: {} };
      let heard;
      studio.open('spare', props, () => {}, (value, act) => { heard = act; }, { name: 'name' }, 'details');
      const answer = more => { props.value = JSON.stringify({ ...told, ...more }); heard(); };
      answer({ answer: 1, values: { name: 'a', notice: 'mend it', other: 'c' }, stays: true, focus: 'name' });
      answer({ answer: 2, values: { name: 'b', notice: '' }, pressed: false, focus: '' });
      const stands = studio.fill('spare', props.value, ['', '', '']);
      answer({ answer: 3, values: { notice: 'it waits' }, pressed: true, stays: false, focus: '' });
      answer({ answer: 4, values: { notice: '' }, pressed: false, stays: false, focus: '' });
      return [...stands, ...studio.fill('spare', props.value, [...stands])];
    }""")
    assert stands == ["b", "mend it", "c", None, "", None]
    expect(page.locator("#name input")).to_be_focused()


@pytest.mark.parametrize(("later", "stands"), [("", "zxy_style a fox"), ("two foxes", None)])
def test_what_a_press_made_of_what_was_typed_stands_but_for_what_is_typed_after_it(page, later, stands):
    found = page.evaluate(
        """later => {
      const props = {};
      let heard;
      studio.open('spare', props, () => {}, (value, act) => { heard = act; }, { prompt: 'prompt' }, 'details');
      studio.edit('spare', 'prompt', 'a fox'); // and its answer is not heard yet
      const [carried, at] = studio.unsent('spare', {}).changes.prompt;
      if (later) studio.edit('spare', 'prompt', later);
      const values = { prompt: `zxy_style ${carried}` }, took = { prompt: at };
      props.value = JSON.stringify({ number: 2, names: ['prompt'], wrong: {}, values, pressed: true, took });
      heard();
      return studio.fill('spare', props.value, [later || 'a fox']);
    }""",
        later,
    )
    assert found == [stands]


def test_a_refresh_brings_back_every_field_of_both_tabs(page, window):
    def typed():
        shown = [page.locator(f"{name} :is(input, textarea)").first.input_value() for name in fields]
        return [*shown, page.locator("#random input").is_checked()]

    unfold(page, "details")
    choose(page, "base", "two")
    expect(page.locator("#setting-steps input")).to_have_value("222")  # or it would come in the middle of a fill
    page.locator("#name input").fill("foxes")
    page.locator("#setting-learning_rate input").fill("0.5")
    page.locator("#setting-rank input").fill("9999")  # wrong, and not lost
    page.locator("#setting-sample_prompts textarea").fill("a fox\na boat")
    page.get_by_role("tab", name="Generate").click()
    unfold(page, "draw-details")
    page.locator("#prompt textarea").fill("a fox")
    page.locator("#prompt textarea").press("Backspace")  # of which gradio's own text box says nothing
    for name, value in {"negative": "rain", "count": "3", "seed": "7", "draw-steps": "9"}.items():
        page.locator(f"#{name} :is(input, textarea)").fill(value)
    page.locator("#random input").uncheck()
    choose(page, "draw-base", "one")
    fields = ["#prompt", "#negative", "#count", "#seed", "#draw-steps", "#draw-base", "#draw-width"]
    before = ["a fo", "rain", "3", "7", "9", "one", "128", False]  # a copy of the starter is drawn with as it is
    until(page, lambda: typed() == before)
    until(page, lambda: draft(window)["draw"].get("base") == "one")
    page.reload()
    expect(page.get_by_role("tab", name="Generate")).to_have_attribute("aria-selected", "true")
    until(page, lambda: page.locator("#prompt textarea").input_value() == "a fo")
    page.get_by_role("tab", name="Train").click()
    unfold(page, "details")
    kept = {"name": "foxes", "setting-learning_rate": "0.5", "setting-rank": "9999", "base": "two"}
    for name, value in kept.items():
        expect(page.locator(f"#{name} input")).to_have_value(value)
    expect(page.locator("#setting-sample_prompts textarea")).to_have_value("a fox\na boat")
    expect(page.locator("#setting-rank .wrong")).to_contain_text("Rank can be at most 256")
    page.get_by_role("tab", name="Generate").click()
    unfold(page, "draw-details")
    until(page, lambda: typed() == before)
    assert window.complaints == []


def test_back_leads_to_the_tab_that_was_open_before(page, window):
    for name in ("Library", "Runs"):
        page.get_by_role("tab", name=name).click()
    for name in ("Library", "Train"):
        page.go_back()
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.go_forward()
    expect(page.get_by_role("tab", name="Library")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Train").click()
    page.set_viewport_size({"width": 320, "height": 700})  # where gradio puts most of the tabs into a menu
    page.get_by_label("More tabs").click()
    page.locator(".overflow-dropdown button", has_text="Bases").click()
    expect(page.get_by_role("tab", name="Bases")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    page.go_forward()
    expect(page.get_by_role("tab", name="Bases")).to_have_attribute("aria-selected", "true")


def test_back_leads_from_a_lora_to_the_list_that_it_was_opened_from(page, window):
    making.lora(Studio(window.home), "ink")
    page.get_by_role("tab", name="Library").click()
    for close in (page.go_back, page.locator("#lora-back").click, page.reload):
        page.locator("button.card").click()
        expect(page.locator("#lora-back")).to_be_visible()
        close()
        expect(page.locator("button.card")).to_be_visible()
        if close != page.reload:
            expect(page.locator("button.card")).to_be_focused()  # however far down it stands
        until(page, lambda: page.evaluate("!history.state"))
    page.go_back()
    page.go_back()  # a reload leaves one more that is the list
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")


def test_what_is_drawn_anew_while_it_is_pressed_is_pressed(page, window):
    page.get_by_role("tab", name="Bases").click()
    button = page.locator("#known-bases [data-act=train]").first
    for name, comes in (("another", "Bases"), ("", "Train")):
        button.hover()
        page.mouse.down()
        button.evaluate("""(one, name) => {
          const row = one.closest('[data-name]'), anew = row.cloneNode(true);
          if (name) anew.dataset.name = name;
          row.replaceWith(anew);
        }""", name)
        page.mouse.up()
        page.wait_for_timeout(300)
        expect(page.get_by_role("tab", name=comes)).to_have_attribute("aria-selected", "true")


def test_a_list_is_chosen_from_by_keys_and_closes_where_it_is_left(page, window):
    unfold(page, "details")
    field, lists = page.locator("#setting-optimizer input"), page.locator(".options")
    page.add_style_tag(content=".option-list { max-height: 40px; overflow-y: auto; }")  # as a list of many LoRAs
    field.focus()
    expect(lists).to_have_count(1)
    page.keyboard.press("Tab")
    expect(lists).to_have_count(0)
    expect(page.locator("input:focus")).to_have_count(1)  # and not on the list, which is gone
    page.keyboard.press("Shift+Tab")
    expect(lists).to_have_count(1)
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Schedule", exact=True)).to_be_focused()
    expect(lists).to_have_count(1)  # that of this field alone
    field.fill("")
    field.press_sequentially("adaf")
    expect(lists.get_by_role("option")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, lambda: draft(window)["train"].get("hand", {}).get("optimizer") == "adafactor")
    expect(lists).to_have_count(0)


def test_the_goals_are_one_group_that_arrow_keys_walk_through(page, window):
    expect(page.locator("#preset input").first).to_be_checked()
    page.locator("#preset input").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#preset input[value=character]")).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#preset input[value=concept]")).to_be_checked()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("radiogroup", name="What are you making?").get_by_role("radio")).to_have_count(3)
    until(page, lambda: draft(window)["train"].get("preset") == "character")


def test_a_page_where_nothing_lives_asks_nothing(page, window):
    comes_to_rest(page)
    with page.expect_request("**/run/predict"):
        page.evaluate("window.dispatchEvent(new Event('focus'))")  # somebody looks again


@pytest.mark.soak
def test_ten_tabs_all_work_and_an_own_word_is_said_when_the_window_is_closed(page, window):
    tabs = [page]
    for number in range(2, 11):
        tabs.append(page.context.new_page())
        tabs[-1].goto(page.url)
        expect(tabs[-1].locator("#start")).to_be_visible()
        page.locator("#trigger input").fill(f"zxy_a{number}")
        expect(page.locator("#verdict")).to_contain_text(f"zxy_a{number} is a good")
    tabs[-1].wait_for_timeout(1100)  # a page looks once a second at most
    tabs[-1].evaluate("window.dispatchEvent(new Event('focus'))")
    expect(tabs[-1].locator("#trigger input")).to_have_value("zxy_a10")  # every page shows the same draft
    for other in tabs[1:]:
        other.close()
    window.process.terminate()
    window.process.wait(60)
    page.locator("#start").click()
    expect(page.locator("#voice span")).to_have_text("LoRA Studio was closed. Start it again; nothing is lost.")
    assert not page.locator("[data-testid=toast-body]").is_visible()
