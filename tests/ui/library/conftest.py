"""A window's Library on a studio of its own, whose handlers are called as the page calls them."""

from types import SimpleNamespace

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.library import library_tab
from lora_gui.ui.library.opened import Opened


@pytest.fixture
def library(tmp_path):
    studio = Studio(tmp_path / "studio")
    studio.loras.mkdir(parents=True)
    with gr.Blocks() as window:
        context = Context(studio, Drawer(studio))
        with gr.Tabs() as context.tabs, gr.Tab("Library"), gr.Column() as listed:
            view = library_tab._Shelf(context)
        opened = Opened(context, listed)
    return SimpleNamespace(studio=studio, context=context, view=view, opened=opened, window=window)
