"""A LoRA is brought in the window: the link, the file to choose, the way it comes, and its card at the end."""

import io
import os

import pytest
from PIL import Image
from playwright.sync_api import expect

from lora_gui.studio.paths import Studio
from tests import making
from tests.browser.conftest import PATIENCE, ROOT, Window, open_window, unfold
from tests.net.civitai import SmallCivitai
from tests.net.hub import SmallHub


@pytest.fixture(scope="module")
def servers():
    with SmallHub() as hub, SmallCivitai() as civitai:
        yield hub, civitai


@pytest.fixture(scope="module")
def window(tmp_path_factory, servers):
    """A window that is led to the small Hub and the small Civitai; its children are real ones."""
    root = tmp_path_factory.mktemp("brought")
    with pytest.MonkeyPatch.context() as patch:
        for server in servers:
            for name, value in server.environment().items():
                patch.setenv(name, value)
        for name in ("HF_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(root / name))
        for name in set(os.environ) & {"HF_TOKEN", "CIVITAI_API_KEY"}:
            patch.delenv(name)
        app = open_window(root / "studio", ROOT / "app.py")
        yield Window(root / "studio", app)
        app.terminate()
        app.wait(PATIENCE)


@pytest.mark.soak
def test_loras_are_brought_chosen_kept_a_key_for_and_dropped(page, window, servers, tmp_path):
    hub, civitai = servers
    theirs = Studio(tmp_path / "theirs")
    data, other = making.lora(theirs, "one").read_bytes(), making.lora(theirs, "two", 0.25).read_bytes()
    picture = io.BytesIO()
    Image.new("RGB", (96, 80), "teal").save(picture, "JPEG")
    hub.add("ada/two", {"a.safetensors": data, "b.safetensors": data})
    civitai.add(12, 34, other, picture.getvalue(), True, trainedWords=["zxy <b>style</b>"])
    page.get_by_role("tab", name="Library").click()
    unfold(page, "bring")
    link, came = page.locator("#bring-link").locator("input, textarea"), page.locator("#bring-came")
    link.fill("ada/two")
    page.locator("#bring-press").click()
    page.get_by_role("button", name="Bring b.safetensors").click()
    expect(came).to_contain_text("b is among your LoRAs.")
    link.fill(f"{civitai.url}/models/12")
    link.press("Enter")
    expect(page.locator("#bringing")).to_contain_text("only to those who are signed in")
    unfold(page, "civitai-key")
    page.locator("#civitai-key-text input").fill("k3y")
    page.locator("#keep-key").click()
    expect(page.locator("#key-kept")).to_contain_text("The key is kept.")
    assert page.locator("#civitai-key-text input").input_value() == ""
    page.get_by_role("button", name="Go on with").click()
    expect(came).to_contain_text("zxy <b>style</b>")
    with page.expect_file_chooser() as chooser:
        page.locator("#lora-dropzone [data-pick=files]").click()
    chooser.value.set_files([making.lora(theirs, "mine", 0.125)])
    expect(page.locator("#bring-notice")).to_contain_text("1 LoRA taken in: mine.")
    for name in ("b", "lora-34", "mine"):
        expect(page.locator("#library-cards")).to_contain_text(name)
    assert page.locator("#bringing button").count() == 0 and window.complaints == []
