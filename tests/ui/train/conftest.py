"""The tab Train of a window without a browser, whose runs have a child that does as it is told."""

import gradio as gr
import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process, runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.ui.context import Context
from lora_gui.ui.server import launch
from lora_gui.ui.train.run_view import Aside, RunView
from lora_gui.ui.train.train_tab import _Setup
from tests.studio.tasks.test_runs import UNRULY
from tests.ui.answers import Page


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", UNRULY)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    studio = Studio(tmp_path / "studio")
    launch.prepare_cache(studio)
    with gr.Blocks():
        context = Context(studio, Drawer(studio))
        aside = Aside()
        setup = _Setup(context)
        view = RunView(context, setup.panels, aside)
    shown = Page(context, setup, setup._form)
    shown.view = view
    yield shown
    for run in runs.all_runs(studio):
        run.stop()
