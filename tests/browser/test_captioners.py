"""A captioner that is here describes the pictures; what it says is edited, accepted or rejected, and outlives F5."""

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests import tiny_captioners
from tests.tiny_captioners import TEXTS


@pytest.mark.soak
def test_captions_of_a_captioner_are_suggestions_until_they_are_accepted(page, window, tmp_path):
    tiny_captioners.taught(window.home / "captioners" / "mine")
    for number in range(5):
        Image.new("RGB", (120 + number, 100), [*TEXTS][number % 2]).save(tmp_path / f"{number}.png")
    (tmp_path / "0.txt").write_text("by hand")
    page.locator("#dropzone input.files").set_input_files([str(path) for path in sorted(tmp_path.glob("*.*"))])
    captions, rows = page.locator("#picture-desk textarea"), page.locator("#suggestions li")
    expect(captions).to_have_count(5)
    page.locator("#describe summary").click()
    chosen = page.locator("#describe select")
    chosen.select_option(label="BLIP-2, about 15 GB")
    expect(page.locator("#describe .says")).to_contain_text("Salesforce/blip2-opt-2.7b, MIT.")
    expect(page.locator("#describe button")).to_have_text("Download")
    chosen.select_option(label="mine")
    page.locator("#describe button").click()
    expect(page.locator("#describe-told [role=progressbar]").or_(rows.first)).to_be_visible()
    expect(rows).to_have_count(4)
    expect(captions.nth(1)).to_have_value("")  # nothing is written before it is accepted
    page.reload()
    expect(rows).to_have_count(4)
    rows.nth(0).locator("textarea").fill("fox in deep snow")
    rows.nth(0).get_by_role("button", name="Accept").click()
    expect(rows).to_have_count(3)
    rows.nth(0).get_by_role("button", name="Reject").click()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Accept all").click()
    expect(rows).to_have_count(0)
    said = ["by hand", "fox in deep snow", "", "red fox in snow", "woman in garden"]
    for number, text in enumerate(said):
        expect(captions.nth(number)).to_have_value(text)
    page.reload()
    expect(captions.nth(4)).to_have_value("woman in garden")
    expect(rows).to_have_count(0)  # what was rejected comes back no more than what was accepted
    assert window.complaints == []
