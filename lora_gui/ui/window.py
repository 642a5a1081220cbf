"""The window: a heading and its tabs. A further tab is one more line in TABS."""

import gradio as gr

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui import check_view, learning, menu_view
from lora_gui.ui.bases import bases_tab
from lora_gui.ui.context import Context
from lora_gui.ui.generate import generate_tab
from lora_gui.ui.library import library_tab
from lora_gui.ui.runs import runs_tab
from lora_gui.ui.train import train_tab
from lora_gui.ui.widgets.handlers import in_replies
from lora_gui.ui.widgets.parts import html

TABS = (
    ("train", "Train", train_tab.build),
    ("generate", "Generate", generate_tab.build),
    ("library", "Library", library_tab.build),
    ("bases", "Bases", bases_tab.build),
    ("runs", "Runs", runs_tab.build),
)
NAP = 0.05  # seconds between two looks of gradio at its queue; its own thousandth costs 5 % of a core


def build(studio: Studio, drawer: Drawer) -> gr.Blocks:
    """The whole window, ready to be launched with the options of `launch.options`."""
    with gr.Blocks(title="LoRA Studio", analytics_enabled=False, delete_cache=(3600, 86400), fill_width=True) as window:
        html('<h1 class="mark">LoRA Studio</h1>', elem_id="mark")
        context = Context(studio, drawer)
        with gr.Tabs(elem_id="tabs") as context.tabs:
            for key, title, build_tab in TABS:
                with gr.Tab(title, id=key, elem_id=f"tab-{key}") as tab:
                    build_tab(context, tab)
        for connect in context.last:
            connect()
        menu_view.build(studio, window)
        check_view.build(studio)
        learning.build(studio)
        context.live.connect(window.load, context.standing)
    in_replies(window)
    window.queue(api_open=False, max_size=32, default_concurrency_limit=1)
    window._queue.sleep_when_free = NAP
    window._queue.progress_update_sleep_when_free = 1.0  # seconds; of gradio's own progress bars there is none
    return window
