"""What the doctor says stands under the pictures, is mended by a press, and comes back by another."""

import numpy as np
import pytest
from playwright.sync_api import expect

from tests import planted

PASTE = """async colour => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 200, height: 160 });
  const pen = canvas.getContext('2d');
  pen.fillStyle = colour; pen.fillRect(20, 20, 90, 90);
  const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([blob], 'image.png', { type: 'image/png' }));
  document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
}"""


@pytest.mark.soak
def test_the_worst_is_named_mended_and_taken_back(page, window, tmp_path):
    shown = planted.made("drawings", 11, 3)
    shown.append(planted.mirrored(shown[0], np.random.default_rng(1)))
    for at, picture in enumerate(shown):
        picture.save(tmp_path / f"{at:02}.png")
    (tmp_path / "00.txt").write_text("a shape")
    page.locator("#dropzone input.files").set_input_files([str(path) for path in sorted(tmp_path.glob("*.*"))])
    tiles, line = page.locator("#picture-desk figure"), page.locator("#doctor .doctor-line")
    expect(line).to_contain_text("shows the same as")
    expect(tiles).to_have_count(12)
    expect(page.locator("#picture-desk .badge", has_text="same")).to_have_count(1)
    expect(page.locator("#start")).to_be_enabled()
    line.get_by_role("button", name="Remove it").click()
    expect(tiles).to_have_count(11)
    expect(page.locator("#picture-desk .history")).to_have_text("1 picture was taken out.")
    page.reload()
    page.locator("#picture-desk").get_by_role("button", name="Undo").click()
    expect(tiles).to_have_count(12)
    page.locator("#trigger input, #trigger textarea").fill("zxy_fox")
    expect(page.locator("#doctor-all")).to_contain_text("zxy_fox is put before each caption.")
    page.locator("#bulk summary").click()
    page.locator("#bulk select").select_option("find")
    page.locator("#bulk .one").fill("shape")
    page.locator("#bulk .other").fill("star")
    page.get_by_role("button", name="Show what changes").click()
    row = page.locator("#suggestions li")
    expect(row).to_contain_text("a shape")
    row.locator("textarea").fill("a green star")
    row.get_by_role("button", name="Accept").click()
    expect(page.locator("#picture-desk textarea").first).to_have_value("a green star")
    expect(page.locator("#picture-desk .history")).to_have_text("1 caption was changed.")
    expect(row).to_have_count(0)
    page.locator("#others").click()
    expect(page.locator(".zone-ways button").first).to_be_visible()  # where what is pasted comes in
    page.evaluate(PASTE, "orange")
    expect(tiles).to_have_count(1)
    assert window.complaints == []
