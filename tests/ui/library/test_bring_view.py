"""The key for Civitai as the window keeps and forgets it."""

import gradio as gr
import pytest

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.library.bring_view import BringView


def test_a_key_that_is_kept_outlives_a_second_press_and_goes_by_a_button_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(civitai_key, "place", lambda: tmp_path / "config" / "civitai-key")
    monkeypatch.delenv(civitai_key.VARIABLE, raising=False)
    studio = Studio(tmp_path / "studio")
    with gr.Blocks():
        view = BringView(Context(studio, Drawer(studio)))
    kept = view._key_kept("k3y")
    assert kept[view._key] == "" and "The key is kept." in kept[view._kept]
    with pytest.raises(UserError, match="No key was typed. Paste it whole, or press Forget"):
        view._key_kept("")
    assert civitai_key.read() == "k3y"
    assert "No key is kept." in view._key_forgotten()[view._kept] and civitai_key.read() == ""
    monkeypatch.setenv(civitai_key.VARIABLE, "0ther")
    assert "CIVITAI_API_KEY still holds one." in view._key_forgotten()[view._kept]
