"""A new user with an SDXL file in ComfyUI's folder trains on it in five actions, in a real Chromium."""

from pathlib import Path

import psutil
import pytest
from PIL import Image
from playwright.sync_api import expect

from lora_gui.studio.finding import places
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from tests import tiny_single_file
from tests.browser import tiny_sdxl
from tests.browser.conftest import PATIENCE, Window, open_window
from tests.studio.finding import layouts

LONG = 300_000  # ms, for a short training on a busy computer
PRESET = """title = "Style"
description = "How pictures look."
[all]
steps = 3
rank = 4
alpha = 4
resolution = 64
precision = "fp32"
optimizer = "adamw"
batch_size = 1
sample_every = 0
"""


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """A window over an empty studio, on a computer whose only drive has ComfyUI with one base."""
    root = tmp_path_factory.mktemp("a computer")
    comfy = layouts.marked(root / "drive" / "AI" / "ComfyUI", "comfy/sd.py") / "models" / "checkpoints"
    comfy.mkdir(parents=True)
    made, _ = tiny_single_file.write(root, "sdxl", tiny_single_file.SDXL)
    made.rename(comfy / "juggernaut.safetensors")
    (root / "configs" / "presets").mkdir()
    (root / "configs" / "presets" / "style.toml").write_text(PRESET)
    (root / "studio").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(places.DRIVES, str(root / "drive"))
        patch.setenv("HOME", str(root))
        patch.setenv("HF_HUB_CACHE", str(root / "hub"))
        patch.setenv(tiny_sdxl.FOLDER, str(root / "configs"))
        app = open_window(root / "studio", Path(__file__).with_name("app_tiny_sdxl.py"))
        yield Window(root / "studio", app)
        app.terminate()
        app.wait(PATIENCE)
    for run in runs.all_runs(Studio(root / "studio")):
        if beat := run.beat():
            psutil.Process(beat[0]).kill()


@pytest.mark.soak
def test_an_sdxl_file_in_comfyui_is_trained_on_in_five_actions(page, window, tmp_path):
    for n, colour in enumerate(("red", "blue", "green", "gold")):
        Image.new("RGB", (96, 96), colour).save(tmp_path / f"{n}.png")
    expect(page.locator("#welcome")).to_contain_text("The starter is ready")
    expect(page.locator("#base")).to_be_hidden()  # there is nothing to choose yet

    page.locator("#tabs [role=tab]", has_text="Bases").click()  # 1: it looks by itself the first time
    expect(page.locator("#bases-notice")).to_contain_text("1 base of other programs can be used where it lies")
    page.locator("#find-bases").press("Enter")  # rests while it looks
    expect(page.locator("#find-bases")).to_be_focused()
    page.get_by_role("button", name="Train with it: juggernaut").click()  # 2
    expect(page.locator("#base input")).to_have_value("juggernaut")
    dropped = [str(tmp_path / f"{n}.png") for n in range(4)]
    page.locator("#dropzone input[type=file]").first.set_input_files(dropped)  # 3
    expect(page.locator(".pictures img")).to_have_count(4)
    page.locator("#trigger input").fill("zxy_style")  # 4
    expect(page.locator("#plan")).to_contain_text("on juggernaut")
    page.locator("#start").click()  # 5

    expect(page.locator("#run-state")).to_contain_text("Your LoRA is ready", timeout=LONG)
    page.locator("#draw-with").click()
    expect(page.locator("#draw-base input")).to_have_value("juggernaut")  # of the family that it was trained for
    assert [path.name for path in window.home.glob("bases/*")] == []  # used where it lies
    assert window.complaints == []
