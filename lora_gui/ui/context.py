"""What the tabs share: the studio, the one that draws, and how one tab hands over to another."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.tasks.runs import Run, all_runs


@dataclass
class Context:
    """`wanted` holds the LoRA file for the stack of Generate, with a number that makes each wish a new one."""

    studio: Studio
    drawer: Drawer
    tabs: gr.Tabs
    wanted: gr.State
    order: str = ""  # the latest order of drawings, so that a refreshed page finds it again
    _runs: dict[str, Run] = field(default_factory=dict)

    def run(self, name: str) -> Run:
        """The run in the folder `name`; kept, because it reads its events from where it stopped reading."""
        if name not in self._runs:
            self._runs[name] = Run(self.studio.runs / Path(name).name)
        return self._runs[name]

    def newest_run(self) -> str:
        """The folder name of the newest run; empty where there is none."""
        return next((run.folder.name for run in all_runs(self.studio)), "")
