"""The library as a person uses it: found, opened, changed, drawn with, deleted and put back."""

import pytest
from conftest import until
from playwright.sync_api import expect

from lora_gui.formats import edit
from lora_gui.studio.library import notes
from lora_gui.studio.paths import Studio
from tests import making


@pytest.fixture
def studio(window):
    return Studio(window.home)


@pytest.mark.soak
def test_a_lora_is_found_changed_drawn_with_deleted_and_put_back(page, window, studio):
    for name in ("ink-fox", "owl"):
        making.lora(studio, name, **{"lora_studio.strength": "0.7"})
    (studio.loras / "broken.safetensors").write_bytes(b"nonsense" * 3)
    page.get_by_role("tab", name="Library").click()
    expect(page.locator("ul.cards li")).to_have_count(3)
    expect(page.locator("ul.cards li.broken")).to_contain_text("broken.safetensors holds")
    page.locator("#library-search :is(input, textarea)").fill("ink")
    expect(page.locator("ul.cards li")).to_have_count(1)
    page.locator("button.card").click()
    expect(page.locator("#lora .run-name")).to_have_text("ink-fox")
    page.locator("#lora-notes textarea").fill("Only for me")
    page.locator("#lora-trigger :is(input, textarea)").fill("inkfox")
    page.locator("#lora-strength input").fill("5")
    page.locator("#lora-save").click()
    expect(page.locator("#lora-written")).to_contain_text("The best strength is between 0 and 2.")
    page.locator("#lora-strength input").fill("0.7")
    page.locator("#lora-save").click()
    expect(page.locator("#lora-written")).to_contain_text("Saved in the file")
    expect(page.locator("#lora-written")).to_be_in_viewport()
    assert edit.metadata(studio.loras / "ink-fox.safetensors")["modelspec.trigger_phrase"] == "inkfox"
    until(page, lambda: notes.of(studio, "ink-fox").text == "Only for me")
    page.locator("#lora-draw").click()
    expect(page.locator("#strength-0 input[type=number]")).to_have_value("0.7")
    page.locator("#add-lora").click()
    expect(page.locator("#picks [data-pick]")).to_have_count(1)  # the other is in use
    page.get_by_role("tab", name="Library").click()
    page.locator("#lora-delete").click()
    expect(page.locator("#lora-asking")).to_contain_text("Emptying the bin frees")
    page.locator("#lora-keep").press("Enter")
    expect(page.locator("#lora-delete")).to_be_focused()
    page.locator("#lora-delete").click()
    page.locator("#lora-sure").click()
    expect(page.locator("#library-notice")).to_contain_text("ink-fox is in the bin")
    page.locator("#library-notice button").click()
    expect(page.locator("#library-notice")).to_contain_text("ink-fox is back")
    assert (studio.loras / "ink-fox.safetensors").is_file() and notes.of(studio, "ink-fox").text == "Only for me"
    assert window.complaints == []
