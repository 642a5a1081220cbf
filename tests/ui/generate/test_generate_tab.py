"""Drawing asked for as the page asks for it: the draft, the stack, the order and what hangs on the wall afterwards."""

import functools
import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from lora_gui.formats import png
from lora_gui.formats.generation import Made
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.library import bin, changes, history, shelf
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, ratios
from lora_gui.ui.context import Context
from lora_gui.ui.draft import Entry
from lora_gui.ui.generate import brought, generate_tab, rows, wall
from lora_gui.ui.generate.gallery import Gallery
from lora_gui.ui.generate.stack import ROWS
from tests import making
from tests.studio.tasks.test_runs import UNRULY, wait_until
from tests.ui.answers import Page

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    studio = Studio(tmp_path / "studio")
    with gr.Blocks():
        context = Context(studio, Drawer(studio))
        order = generate_tab._Order(context)
        gallery = Gallery(context, order.remark)
        order.connect(gallery)
    shown = Page(context, order, order._form)
    shown.gallery = gallery
    yield shown
    context.drawer.close()


def lora(page, name):
    """A file among the LoRAs; its trigger word is its name."""
    halves = {f"{LAYER}.lora_down.weight": np.ones((2, 8), np.float16), f"{LAYER}.lora_up.weight": np.ones((8, 2))}
    path = page.studio.loras / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: half.astype(np.float16) for key, half in halves.items()}, path, {"modelspec.trigger_phrase": name})
    return str(path)


def type_in(page, **changes):
    return page.take(page.setup._edited(SimpleNamespace(changes=changes), page.shown))


def press(page, change, *given, **changes):
    return page.take(page.setup._changing(change)(page.shown | {"changes": changes}, *given))


def add(page, name, **changes):
    """Choose the LoRA on the shelf."""
    event = SimpleNamespace(pick=f"{name}.safetensors")
    return page.take(page.setup._picked(event, page.shown | {"changes": changes}))


def act(page, kind, row=-1, word=""):
    """Press something in a row of the stack."""
    return page.take(page.setup._acted(SimpleNamespace(act=kind, row=row, word=word), page.shown))


def draw(page, **changes):
    return page.take(page.setup._drawn(page.gallery, page.shown | {"changes": changes}))


def drawn(page):
    wait_until(lambda: not page.context.drawer.waiting())


def status(page):
    return page.context.drawer.status(page.context.drawer.waiting()[0].id)


def stack(page):
    return page.context.drafts.draw.value.stack


def test_a_page_that_is_opened_shows_what_the_base_is_drawn_with(page):
    shown = page.take(page.setup._look({}))
    base = bases.list_bases(page.studio)[0]
    assert shown["base"] == base.key and "the base alone" in shown["advice"]
    usual = bases.draw_defaults(base)
    assert all(shown[name] == usual[name] for name in ("width", "height", "steps", "guidance"))
    assert page.setup._look(page.shown) == {}


def test_an_empty_prompt_is_a_sentence_and_nothing_is_ordered(page):
    assert draw(page, prompt="  ")["notice"] == "", "it stands at its field, and is said once"
    assert "The prompt is empty." in page.wrong["prompt"]["words"] and not page.context.drawer.waiting()


def test_a_number_out_of_bounds_is_named_and_nothing_is_ordered(page):
    answer = draw(page, prompt="a fox", guidance=99)
    assert "Guidance can be at most 30" in page.wrong["guidance"]["words"] and answer["guidance"] == 99
    assert not page.context.drawer.waiting()
    assert page.focus == "guidance" and page.wrong["guidance"]["use"] == "Use 30"
    usual = bases.draw_defaults(bases.list_bases(page.studio)[0])["guidance"]
    assert type_in(page, guidance=None)["guidance"] == usual  # emptied, it is the base's own again


def test_each_wrong_field_is_told_while_it_is_typed_in_the_words_of_its_label(page):
    lora(page, "cat")
    add(page, "cat")
    type_in(page, count=500, width=133, height=100.5, random=False, seed=-5, negative="x" * 4001, **{"strength-0": 3})
    told = {name: fault["words"] for name, fault in page.wrong.items()}
    assert told["count"] == "How many can be at most 16." and page.wrong["count"]["use"] == "Use 16"
    assert told["strength-0"] == "Strength can be at most 2." and page.wrong["width"]["instead"] == 136
    assert set(told) == {"count", "width", "height", "seed", "negative", "strength-0"} and page.focus == ""
    type_in(page, count=2, width=None, height=None, seed=2**64, negative="", **{"strength-0": 1})
    assert set(page.wrong) == {"seed"} and float(page.wrong["seed"]["instead"]) < 2**64  # what a browser can say
    type_in(page, random=True)
    assert page.wrong == {}


def test_what_is_drawn_is_what_was_typed_last_and_its_seed_is_shown(page):
    type_in(page, prompt="a cat", seed=7, random=False)
    draw(page, prompt="a fox", count=2)
    drawn(page)
    assert page.context.drafts.draw.value.seed == 7
    changes = page.gallery._look({}, "", False)
    assert changes[page.gallery._easel]["visible"] is False and changes[page.gallery._gallery].count("data-name") == 1
    assert page.gallery._look(changes[page.gallery._page], "", False) == {}  # a page that shows it is told nothing
    draw(page, prompt="a fox")  # shows that something is drawn; it comes and goes before the page looks again
    drawn(page)
    assert page.gallery._look(changes[page.gallery._page], "", False)[page.gallery._easel]["visible"] is False


def test_what_is_typed_once_draw_was_pressed_is_not_drawn(page, monkeypatch):
    begin, edits = page.setup._begin, []

    def late(next_seed):
        typed = SimpleNamespace(changes={"prompt": "a re"})
        edits.append(threading.Thread(target=page.setup._edited, args=(typed, page.shown)))
        edits[0].start()
        edits[0].join(0.3)
        begin(next_seed)

    monkeypatch.setattr(page.setup, "_begin", late)
    draw(page, prompt="a blue boat")
    edits[0].join()
    drawer = page.context.drawer
    assert {one.prompt for one in (*drawer.waiting(), *drawer.ended())} == {"a blue boat"}
    assert page.context.drafts.draw.value.prompt == "a re"


def test_a_new_seed_is_taken_each_time_and_then_stands_in_its_field(page):
    seeds = []
    for _ in range(2):
        draw(page, prompt="a fox", random=True)
        drawn(page)
        seeds.append(page.take(page.setup._look({}))["seed"])
    assert seeds[0] != seeds[1] and None not in seeds


def test_a_page_that_is_opened_meanwhile_finds_the_order_and_can_cancel_it(page):
    draw(page, prompt="wait")
    wait_until(lambda: status(page).phase == "Loading")
    other = page.gallery._look({}, "", False)
    assert other[page.gallery._easel]["visible"] is True and "Loading" in other[page.gallery._preview]
    page.gallery._cancelled()
    drawn(page)
    assert page.gallery._look(other[page.gallery._page], "", False)[page.gallery._easel]["visible"] is False


def test_a_drawing_that_is_soon_done_is_seen_in_one_look_and_without_its_frame(page, monkeypatch):
    monkeypatch.setattr("lora_gui.ui.generate.gallery.SOON", 60)
    draw(page, prompt="a fox")
    changes = page.gallery._look({}, "", False)
    assert changes[page.gallery._page]["waiting"] == [] and changes[page.gallery._gallery].count("data-name") == 1
    assert changes[page.gallery._easel]["visible"] is False


def test_an_order_that_failed_says_why_and_the_next_one_is_drawn(page):
    for prompt, sentence in (("refuse", "No."), ("a fox", "")):
        draw(page, prompt=prompt)
        drawn(page)
        remark = page.gallery._look({}, "", False)[page.gallery._remark]
        assert sentence in remark and bool(sentence) == ("Ask again." in remark)


def test_what_is_asked_for_meanwhile_waits_behind_is_moved_and_taken_out_on_every_page(page):
    for prompt in ("wait", "a <b>fox</b>", "an owl", "a cat"):
        draw(page, prompt=prompt)
    look = page.gallery._look({}, "", False)
    behind = look[page.gallery._behind]
    assert "3 orders behind it" in behind and "a &lt;b&gt;fox" in behind and "wait" not in behind
    ids = [one.id for one in page.context.drawer.waiting()]
    page.gallery._acted(SimpleNamespace(act="later", name=ids[1]), {}, "", False)
    page.gallery._acted(SimpleNamespace(act="remove", name=ids[3]), {}, "", False)
    behind = page.gallery._look(look[page.gallery._page], "", False)[page.gallery._behind]
    assert behind.index("an owl") < behind.index("a &lt;b&gt;fox") and "a cat" not in behind
    page.gallery._cancelled()
    drawn(page)
    ended = page.gallery._look({}, "", False)
    assert ended[page.gallery._behind] == "" and ended[page.gallery._easel]["visible"] is False


def test_before_anything_was_drawn_the_wall_is_empty(page):
    assert page.gallery._look({}, "", False)[page.gallery._gallery] == ""


def test_loras_are_added_one_by_one_and_their_words_are_offered(page):
    nothing = page.take(page.setup._opened(page.shown | {"changes": {}}))
    assert "There is no LoRA yet." in nothing["notice"] and stack(page) == ()
    paths = {lora(page, "fox"), lora(page, "owl")}
    add(page, "fox", prompt="a boat")
    shown = add(page, "owl")
    assert {entry.lora for entry in stack(page)} == paths and shown["prompt"] == "a boat"
    assert "at most" in shown["advice"]
    assert "lacks <em>fox</em>" in shown["about-0"] and "lacks <em>owl</em>" in shown["about-1"]
    shown = act(page, "word", 0, "fox")
    assert shown["prompt"] == "fox a boat" and "lacks" not in shown["about-0"]
    assert act(page, "word", 0, "fox")["prompt"] == "a boat"
    shown = type_in(page, **{"on-0": False, "strength-1": 0.35})
    assert [(entry.on, entry.strength) for entry in stack(page)] == [(False, 1.0), (True, 0.35)]
    press(page, lambda draft: generate_tab.stack.removed(0, draft))
    assert [entry.strength for entry in stack(page)] == [0.35]


def test_a_stack_that_is_full_is_a_sentence(page):
    path = lora(page, "fox")
    page.context.drafts.draw.change(lambda draft: replace(draft, stack=(Entry(True, path, 1.0),) * ROWS))
    assert f"The stack holds {ROWS} LoRAs." in add(page, "fox")["notice"] and len(stack(page)) == ROWS


def test_nine_loras_in_a_prompt_or_a_strength_that_is_none_are_a_sentence_and_nothing_is_lost(page):
    names = [f"l{n}" for n in range(ROWS + 1)]
    for name in names:
        lora(page, name)
    nine = "a boat " + " ".join(f"<lora:{name}:0.5>" for name in names)
    assert type_in(page, prompt=nine)["prompt"] == nine and len(stack(page)) == ROWS
    notice = draw(page)["notice"]
    assert f"at most {ROWS}" in notice and page.context.drafts.draw.value.prompt == nine
    for strength in ("nan", "1e999", "9" * 400, "loud"):
        prompt = f"a boat <lora:l0:{strength}>"
        assert type_in(page, prompt=prompt)["prompt"] == prompt
        assert "is not a number" in draw(page)["notice"]
    assert draw(page, prompt="a boat <lora:l0:1e300>")["notice"] == ""
    assert "Strength can be at most 2" in page.wrong["strength-0"]["words"]
    assert not page.context.drawer.waiting() and not page.context.drawer.ended()


def test_a_row_shows_its_cover_at_once(page):
    making.drawing(page.studio, "a", Path(lora(page, "fox")).stem)
    assert "<img" in add(page, "fox")["about-0"]


def test_a_file_that_is_imported_joins_the_stack_and_one_that_is_none_does_not(page, tmp_path):
    fake = tmp_path / "fake.safetensors"
    fake.write_bytes(b"no tensors here")
    taken = functools.partial(brought.imported, page.studio)
    assert "fake.safetensors" in press(page, taken, str(fake))["notice"] and stack(page) == ()
    outside = tmp_path / "from elsewhere.safetensors"
    shutil.copy(lora(page, "fox"), outside)
    press(page, taken, str(outside))
    [entry] = stack(page)
    assert entry.lora.startswith(str(page.studio.loras)) and "elsewhere" in entry.lora


def test_a_lora_that_was_deleted_meanwhile_keeps_its_row_and_nothing_is_drawn_without_it(page):
    path = lora(page, "fox")
    add(page, "fox")
    (page.studio.loras / "fox.safetensors").unlink()
    assert "not there any more" in page.take(page.setup._look({}))["about-0"] and stack(page)[0].lora == path
    assert f"<b>The file of fox is not there any more.</b> {rows.REMEDY}" in draw(page, prompt="a fox")["notice"]
    assert not page.context.drawer.waiting()
    lora(page, "fox")
    shown = page.take(page.setup._look({}))
    assert "not there any more" not in shown["about-0"] and stack(page)[0].lora == path


def test_a_lora_that_was_renamed_or_deleted_meanwhile_is_drawn_with_or_told_of(page):
    lora(page, "fox")
    add(page, "fox", prompt="fox on a hill")
    type_in(page, prompt="fox <lora:fox:0.5> on a hill")
    renamed = changes.rename(page.studio, shelf.shelf(page.studio).cards[0], "red-fox")
    assert draw(page)["prompt"] == "fox <lora:red-fox:0.5> on a hill"
    drawn(page)
    assert stack(page)[0].lora == str(renamed) and page.context.drawer.ended()
    gone = bin.delete(page.studio, renamed)
    assert "not there any more" in page.take(page.setup._revisited())["about-0"]
    bin.restore(page.studio, gone)
    assert "not there any more" not in page.take(page.setup._revisited())["about-0"]
    bin.delete(page.studio, renamed)
    assert "red-fox" in draw(page)["notice"], "nothing is drawn without it unless that is said"
    assert press(page, functools.partial(generate_tab.stack.removed, 0))["prompt"] == "fox on a hill"
    assert draw(page)["notice"] == ""


def test_what_the_prompt_says_of_loras_and_the_rows_stay_in_step_both_ways(page):
    paths = [lora(page, "ink fox"), lora(page, "owl")]
    add(page, "owl")
    type_in(page, prompt="a boat <lora:ink fox:0.8>")
    assert [(entry.lora, entry.strength) for entry in stack(page)] == [(paths[1], 1.0), (paths[0], 0.8)]
    assert page.changes[page.setup._stack._rows[1]]["visible"], "a row comes with the words"
    assert type_in(page, **{"strength-1": 0.35})["prompt"] == "a boat <lora:ink fox:0.35>"
    type_in(page, prompt="a boat <lora:ink fox:-0.5> at sea")
    assert stack(page)[1].strength == -0.5
    assert type_in(page, **{"on-1": False})["prompt"] == "a boat at sea" and not stack(page)[1].on
    type_in(page, prompt="a boat <lora:ink fox:1.2>")
    assert stack(page)[1].on and type_in(page, prompt="a boat")["prompt"] == "a boat"
    assert [entry.lora for entry in stack(page)] == paths[1:], "the row goes with the words"
    half = "a boat <lora:ink fox:0.5:0.9:lbw=OUT> <lora:nobody:1>"  # more than strengths, and one that is not here
    assert type_in(page, prompt=half)["prompt"] == half and len(stack(page)) == 1


def test_rows_change_places_and_a_named_stack_comes_back_as_it_was(page):
    paths = [lora(page, name) for name in ("fox", "owl", "cat")]
    for name in ("fox", "owl", "cat"):
        add(page, name)
    act(page, "up", 2)
    act(page, "up", 0)  # there is no place above
    assert [entry.lora for entry in stack(page)] == [paths[0], paths[2], paths[1]]
    type_in(page, **{"strength-0": 0.7, "on-2": False})
    before = stack(page)
    assert "kept as night woods" in act(page, "save", word="  night   woods ")["notice"]
    for _ in before:
        press(page, lambda draft: generate_tab.stack.removed(0, draft))
    assert 'data-word="night woods"' in act(page, "call", word="night woods")["stacks"] and stack(page) == before
    (page.studio.loras / "owl.safetensors").unlink()
    assert "left out: owl" in act(page, "call", word="night woods")["notice"] and stack(page) == before[:2]
    act(page, "forget", word="night woods")
    assert "No stack is called" in act(page, "call", word="night woods")["notice"] and stack(page) == before[:2]


def test_more_than_three_or_stronger_than_one_is_advised_against(page):
    for name in ("a1", "b2", "c3", "d4"):
        lora(page, name)
        shown = add(page, name)
    assert "More than three" in shown["advice"]
    assert "Above 1" in type_in(page, **{"on-0": False, "strength-1": 1.3})["advice"]
    assert "at most" in type_in(page, **{"strength-1": 0.8})["advice"]


def test_a_size_that_has_room_is_one_press_away_from_one_that_had_none(page):
    type_in(page, prompt="too large")
    id = page.context.drawer.order(*page.setup.asked())
    list(page.context.drawer.wait(id))
    told = page.gallery._remarks([id])
    assert 'data-quick="size" data-word="768x512">Use 768 x 512<' in told
    shown = page.take(page.setup._quickly(SimpleNamespace(act="size", word="768x512"), page.shown))
    assert (shown["width"], shown["height"]) == (768, 512)


def test_a_shape_is_one_press_and_again_takes_the_next_seed(page):
    base = bases.list_bases(page.studio)[0]
    for shape, ratio in generate_tab.quick.SHAPES.items():
        width, height = ratios.size(base, ratio)
        page.setup._quickly(SimpleNamespace(act="shape", word=shape), page.shown)
        hand = page.context.drafts.draw.value.hand
        assert (hand["width"], hand["height"]) == (width, height) and (width == height) == (shape == "square")
    page.setup._quickly(SimpleNamespace(act="count", word="4"), page.shown)
    draw(page, prompt="a fox", seed=7, random=False)
    page.take(page.setup._drawn(page.gallery, page.shown, next_seed=True))
    assert page.context.drafts.draw.value.seed == 11


def test_the_settings_of_a_drawing_stand_in_the_form_again(page):
    path, base = lora(page, "fox"), bases.list_bases(page.studio)[0]
    asked = {"prompt": "a fox", "negative_prompt": "rain", "seed": 11, "steps": 9, "sampler": "Euler a", "width": 96}
    asked |= {"stack": [{"lora": path, "strength": 0.35, "up": 0.5}]}
    wanted = check(DrawSettings, bases.draw_defaults(base) | asked)
    made = Made(wanted, base.title, ("Euler a", ""), [("fox", 0.35, "")], (96, 128), base.key)
    drawing = page.studio.drawings / "2026-01-01" / "one.png"
    drawing.parent.mkdir(parents=True)
    drawing.write_bytes(png.of(Image.new("RGB", (96, 128)), made))
    shown = page.take(page.setup._brought._used(SimpleNamespace(act="use", name="2026-01-01/one.png"), page.shown))
    assert (shown["prompt"], shown["negative"], shown["seed"], shown["random"]) == ("a fox", "rain", 11, False)
    assert stack(page) == (Entry(True, path, 0.35, up=0.5),)
    assert page.context.drafts.draw.value.hand == {"steps": 9, "sampler": "Euler a", "width": 96}
    (page.studio.loras / "fox.safetensors").unlink()
    shown = page.take(page.setup._brought._used(SimpleNamespace(act="use", name="2026-01-01/one.png"), page.shown))
    assert "fox" in shown["notice"] and "left out" in shown["notice"] and stack(page) == ()
    shown = page.take(page.setup._brought._used(SimpleNamespace(act="use", name="../one.png"), page.shown))
    assert "not there any more" in shown["notice"]


@pytest.mark.parametrize(
    "change",
    [
        lambda page: press(page, page.setup._picker.added, "fox.safetensors"),
        lambda page: page.take(page.setup._quickly(SimpleNamespace(act="count", word="4"), page.shown)),
        lambda page: type_in(page, prompt="an owl"),
        draw,
    ],
    ids=["a LoRA", "how many", "the prompt", "Draw"],
)
def test_what_is_said_of_the_settings_goes_with_the_first_change_of_them(page, change):
    lora(page, "fox")
    drawing(page)
    for _ in range(2):  # as true when the settings of a second drawing are used
        used = SimpleNamespace(act="use", name="2026-01-01/one.png")
        assert "make" in page.take(page.setup._brought._used(used, page.shown))["notice"]
    assert change(page)["notice"] == ""


def test_a_drawing_hangs_under_its_day_and_a_long_name_hides_nothing_behind_it():
    drawn = history.Drawn("2026-01-02/a.png", "a fox", (("x" * 60, "0.8"),), "Starter", "7")
    shown = wall.page([drawn], 1, lambda path: "small", Path("drawings"))
    assert ">2 Jan 2026<" in shown and f'data-facts="seed 7 · Starter · {"x" * 19}… 0.8"' in shown


def test_each_part_of_a_row_is_named_after_its_lora(page):
    lora(page, "fox")
    add(page, "fox")
    labels = [page.changes[part].get("label") or page.changes[part]["value"] for part in page.setup._stack._named[0]]
    assert labels == ["Use fox", "Strength of fox", "Remove fox"]


def drawing(page, name="one.png", size=(96, 128), **asked):
    base = bases.list_bases(page.studio)[0]
    wanted = check(DrawSettings, bases.draw_defaults(base) | {"prompt": "a fox", "seed": 11} | asked)
    path = page.studio.drawings / "2026-01-01" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.of(Image.new("RGB", size), Made(wanted, base.title, ("", ""), [], size, base.key)))
    return path


def sent(page, monkeypatch, path, act="_begun", kind="picture", **more):
    """A file that the page has copied into the folder of uploads."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(page.home / "uploads"))
    copy = page.home / "uploads" / "some" / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    event = SimpleNamespace(kind=kind, paths=[str(copy)], names=[path.name], why="", **more)
    return page.take(getattr(page.setup._brought, act)(event, page.shown))


def mask(page, size):
    path = page.home / "mask.png"
    image = Image.new("L", size)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    image.save(path)
    return path


def test_a_drawing_begins_with_a_picture_and_a_mask_of_another_size_and_says_so(page, monkeypatch):
    assert "A mask needs a picture" in sent(page, monkeypatch, mask(page, (64, 64)), kind="mask")["notice"]
    large = page.home / "large.png"
    Image.new("RGB", (900, 600), "orange").save(large)
    shown = sent(page, monkeypatch, large)
    assert "The picture is 900 x 600; it is drawn at 160 x 104." in shown["notice"] and shown["width"] == 160
    first = page.context.drafts.draw.value.picture
    shown = sent(page, monkeypatch, mask(page, (64, 64)), kind="mask")
    assert "The mask is 64 x 64; it is stretched over the whole picture." in shown["notice"]
    assert json.loads(shown["begin"])["mask"].startswith("/gradio_api/file=")
    draft = page.context.drafts.draw.value
    settings = page.setup._begin_with.settings(draft)
    assert all(Path(path).is_file() for path in settings.values()) and set(settings) == {"picture", "mask"}
    sent(page, monkeypatch, drawing(page))
    folder = Path(settings["picture"]).parent
    assert not (folder / first).exists() and page.context.drafts.draw.value.mask == ""
    shown = page.take(page.setup._brought._begun_otherwise(SimpleNamespace(act="away"), page.shown))
    assert page.setup._begin_with.settings(page.context.drafts.draw.value) == {} and not [*folder.iterdir()]
    assert 'data-word="square" aria-pressed="true"' in shown["quick"], "the size is not that of a picture any more"


def test_a_drawing_is_changed_with_its_own_words_and_a_new_seed(page):
    drawing(page, size=(128, 128), steps=9, upscale=2)
    shown = page.take(page.setup._brought._used(SimpleNamespace(act="change", name="2026-01-01/one.png"), page.shown))
    draft = page.context.drafts.draw.value
    assert draft.picture and draft.random and draft.prompt == "a fox" and shown["notice"] == ""
    assert draft.hand == {"steps": 9, "width": 128, "height": 128}
    for path in (page.studio.drawings / "begun-with").iterdir():
        path.unlink()
    assert "not there any more" in draw(page)["notice"]
    assert json.loads(page.take(page.setup._look({}))["begin"])["lost"]


def test_a_picture_that_is_dropped_fills_the_form_and_no_other_path_is_read(page, monkeypatch):
    path = drawing(page, seed=12, negative_prompt="rain")
    shown = sent(page, monkeypatch, path, "_dropped")
    assert (shown["prompt"], shown["seed"], shown["negative"]) == ("a fox", 12, "rain")
    for given in (str(path), str(page.home / "uploads" / ".." / "studio" / "drawings" / "2026-01-01" / "one.png"), 7):
        event = SimpleNamespace(paths=[given], names=["one.png"], why="")
        assert "could not be copied" in page.take(page.setup._brought._dropped(event, page.shown))["notice"]
        event.kind = "picture"
        assert "could not be copied" in page.take(page.setup._brought._begun(event, page.shown))["notice"]
    plain, other = page.home / "plain.png", page.home / "other.jpg"
    exif = Image.Exif()
    exif[0x9286] = b"a lake\nSteps: 7, Sampler: Euler, CFG scale: 3, Seed: 5, Size: 64x64, Model: elsewhere"
    Image.new("RGB", (64, 64)).save(other, exif=exif)
    shown = sent(page, monkeypatch, other, "_dropped")
    assert (shown["prompt"], shown["seed"]) == ("a lake", 5) and "Its base is not here" in shown["notice"]
    Image.new("RGB", (64, 64)).save(plain)
    assert "does not say how it was made" in sent(page, monkeypatch, plain, "_dropped")["notice"]
    assert "how it was made" not in sent(page, monkeypatch, plain, "_dropped", begins=True)["notice"]
    assert page.context.drafts.draw.value.picture, "one that was pasted, which the clipboard keeps no settings of"
    damaged = page.home / "damaged.png"
    damaged.write_bytes(plain.read_bytes()[:40])
    assert "damaged.png" in sent(page, monkeypatch, damaged)["notice"]
    fox = shutil.copy(lora(page, "fox"), page.home / "my fox.safetensors")
    sent(page, monkeypatch, Path(fox), "_dropped")
    assert [Path(entry.lora).stem for entry in stack(page)] == ["my-fox"]


def test_of_several_files_that_are_dropped_all_come_but_those_that_cannot(page, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(page.home / "uploads"))
    several = ("fox", "none", "lost", "owl", "مانجا ink", "✿ cat")
    paths = [page.home / "uploads" / f"{name}.safetensors" for name in several]
    paths[0].parent.mkdir()
    for path in (paths[0], *paths[3:]):
        shutil.move(lora(page, path.stem), path)
    paths[1].write_bytes(b"no tensors here")
    given, names = [None if path.stem == "lost" else str(path) for path in paths], [path.name for path in paths]
    event = SimpleNamespace(paths=given, names=names, why="The disk is nearly full.")
    notice = page.take(page.setup._brought._dropped(event, page.shown))["notice"]
    assert "none.safetensors holds a text" in notice and "could not be copied.</b> The disk is nearly full." in notice
    assert [Path(entry.lora).stem for entry in stack(page)] == ["fox", "owl", "ink", "cat"]
    told = page.context.drafts.draw.value.note
    assert "'مانجا ink' is called ink here" in told and "'✿ cat' is called cat here" in told and "fox" not in told


def test_a_drawing_is_enlarged_behind_what_is_being_drawn(page):
    drawing(page, size=(128, 128))
    draw(page, prompt="wait")
    said = page.gallery._acted(SimpleNamespace(act="enlarge", name="2026-01-01/one.png"), {}, "", False)
    assert said[page.gallery._said] == "" and [one.prompt for one in page.context.drawer.waiting()] == ["wait", "a fox"]
    gone = page.gallery._acted(SimpleNamespace(act="enlarge", name="../one.png"), {}, "", False)
    assert "not there any more" in gone[page.gallery._said]
    page.gallery._cancelled()
    drawn(page)


def test_a_prompt_of_ten_thousand_characters_is_kept_and_refused_at_its_field(page):
    shown = draw(page, prompt="fox " * 2500)
    assert shown["prompt"] == "fox " * 2500 and page.focus == "prompt" and not page.context.drawer.waiting()
    assert "4,000" in page.wrong["prompt"]["words"] and shown["notice"] == ""


def test_every_ratio_is_one_press_and_how_prompts_are_read_is_said(page):
    base = bases.list_bases(page.studio)[0]
    shown = page.take(page.setup._quickly(SimpleNamespace(act="ratio", word="16:9"), page.shown))
    assert (shown["width"], shown["height"]) == ratios.size(base, "16:9")
    assert re.search(r'data-word="16:9" aria-pressed="true"', shown["ratios"]) and shown["ratios"].count("true") == 1
    assert "(word:1.2) makes a word count more" in shown["reads"] and "wildcards" in shown["reads"]
