"""The cards of the library as a page gets them, and what the buttons on them do."""

import re

import pytest

from lora_gui.studio.library import history, notes
from lora_gui.ui.library import cards
from tests import making


def shown(library, *wish, **more):
    return library.view.listed(*wish, **more)[library.view._cards]


def names(html):
    return re.findall(r"<li[^>]* data-name=\"([^\"]+)\"", html)


def test_an_empty_library_says_what_to_do(library):
    assert "No LoRAs yet" in shown(library) and str(library.studio.loras) in shown(library)


def test_a_folder_that_leads_to_a_drive_which_is_not_there_is_not_called_empty(library, tmp_path):
    library.studio.loras.rmdir()
    library.studio.loras.symlink_to(tmp_path / "gone", target_is_directory=True)
    assert "No LoRAs yet" not in shown(library)
    assert "cannot be read" in shown(library) and "Connect the drive" in shown(library)


def test_a_card_says_what_its_lora_is_and_a_broken_one_why_it_cannot_be_used(library):
    making.lora(library.studio, "fox", **{"lora_studio.strength": "0.8"})
    notes.change(library.studio, "fox", tags=["ink"], star=True)
    (library.studio.loras / "bad.safetensors").write_bytes(b"nonsense" * 3)
    html = shown(library)
    assert names(html) == ["fox.safetensors", "bad.safetensors"]
    assert '<b title="fox">' in html and "<span>best at 0.8</span>" in html, "nothing of it is cut away unseen"
    fox, bad = html.split('<li class="broken"')
    for word in ("fox", "zxy", "Stable Diffusion 1", "best at 0.8", "brought", "<i>ink</i>", 'aria-pressed="true"'):
        assert word in fox, word
    assert 'aria-hidden="true">F<' in fox, "the letter in the place of a cover is not read aloud"
    assert "bad.safetensors holds" in bad and 'data-act="open"' not in bad and "To the bin" in bad


@pytest.mark.parametrize("name", ["<b>x", "{{x}}", "${x}", 'a"b', "\u202egnp"])
def test_what_a_stranger_calls_a_file_is_text(library, name):
    making.lora(library.studio, name, **{"modelspec.trigger_phrase": "<img src=x onerror=y>"})
    html = re.sub(r' data-name="[^"]*"', "", shown(library))
    assert name not in html and "<img src=x" not in html and "${" not in html and "{{" not in html


def test_a_thousand_come_in_pages_and_what_does_not_fit_is_not_shown(library, monkeypatch):
    monkeypatch.setattr(cards, "A_PAGE", 2)
    for number in range(5):
        making.lora(library.studio, f"fox-{number}")
    by_name = "", "", "", False, "", "name"
    assert names(shown(library, *by_name)) == ["fox-0.safetensors", "fox-1.safetensors"]
    last = shown(library, *by_name, number=3)
    assert names(last) == ["fox-4.safetensors"] and "Page 3 of 3" in last and "5 LoRAs" in last
    assert names(shown(library, *by_name, number=99)) == ["fox-4.safetensors"]
    assert cards.NONE_FIT in shown(library, "owl", "", "", False, "", "name")


def test_what_there_is_no_time_for_is_counted_and_read_right_after(library):
    making.lora(library.studio, "fox")
    view = library.view
    first = view.listed(seconds=0)
    assert "1 file still to be read" in first[view._cards] and first[view._page]["left"] > 0
    rest = view._read_on(first[view._page])
    assert names(rest[view._cards]) == ["fox.safetensors"] and rest[view._page]["left"] == 0
    assert view.outputs[1] not in view._read_on(rest[view._page])  # nothing is left to show


def test_a_page_gets_the_cards_anew_only_where_something_came_or_went(library):
    view = library.view
    page = view.listed()[view._page]
    assert view._look({}) == {} == view._look(page)
    making.lora(library.studio, "fox")
    assert names(view._look(page)[view._cards]) == ["fox.safetensors"]


def test_a_deleted_lora_can_be_had_back_and_the_bin_says_what_it_frees(library):
    view, path = library.view, making.lora(library.studio, "fox")
    said = view._deleted("fox.safetensors")[view.notice]
    folder = re.search(r'data-act="restore" data-name="([^"]+)"', said)[1]
    assert "Emptying the bin frees its 0.1 MB" in said and not path.exists()
    bin = view.listed()[view._bin]
    assert "Bin: 1 LoRA, 0.1 MB" in bin and folder in bin and "for good" in bin
    assert "fox is back" in view._restored(folder)[view.notice] and path.exists()
    view._deleted("fox.safetensors")
    assert view._emptied("") == {} and view.listed()[view._bin] == ""


def test_drawings_in_the_bin_are_counted_as_such_and_put_back(library):
    view, drawing = library.view, making.drawing(library.studio, "a")
    making.lora(library.studio, "fox")
    view._deleted("fox.safetensors")
    folder = history.delete(library.studio, "2026-01-01/a.png")
    bin = view.listed()[view._bin]
    assert "Bin: 1 LoRA, 1 drawing, 0.1 MB" in bin and 'aria-label="Put the drawing a fox back"' in bin
    assert "The drawing is back" in view._restored(folder)[view.notice] and drawing.is_file()
    assert "Bin: 1 LoRA, 0.1 MB" in view.listed()[view._bin]


@pytest.mark.parametrize(("place", "wished"), [("_tag", "ink"), ("_family", "sd1")])
def test_a_filter_whose_last_lora_goes_falls_back_to_all_and_nothing_is_refused(library, place, wished):
    view = library.view
    field, wish = getattr(view, place), ["", "", "", False, "", "name"]
    wish[view._wish.index(field)] = wished
    making.lora(library.studio, "fox")
    notes.change(library.studio, "fox", tags=["ink"])
    (library.studio.loras / "owl.safetensors").write_bytes(b"nonsense" * 3)  # without a family or a tag
    listed = view.listed(*wish)
    assert names(listed[view._cards]) == ["fox.safetensors"] and "value" not in listed[field]
    view._deleted("fox.safetensors")
    listed = view.listed(*wish)
    assert names(listed[view._cards]) == ["owl.safetensors"] and listed[field]["value"] == ""
    assert field.preprocess(wished) == wished, "an event that was on its way brings the older value"


def test_a_filter_stays_while_files_are_still_to_be_read(library):
    view = library.view
    making.lora(library.studio, "fox")
    notes.change(library.studio, "fox", tags=["ink"])
    assert "value" not in view.listed("", "", "", False, "ink", "name", seconds=0)[view._tag]
    read = view._read_on({"left": 1, "number": 1}, "", "", "", False, "ink", "name")
    assert names(read[view._cards]) == ["fox.safetensors"] and "value" not in read[view._tag]


def test_a_star_is_given_and_taken(library):
    making.lora(library.studio, "fox")
    for expected in (True, False):
        library.view._starred("fox.safetensors")
        assert notes.of(library.studio, "fox").star is expected
