"""What stands on a LoRA's page below its own fields, section by section: a further one is one more line in SECTIONS.

A section lays itself out where it is made, folded or under a title of its own. `shown` gives what of it changes for the
LoRA that is opened, `connect` is called once the whole window is laid out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gradio as gr

from lora_gui.ui.context import Context
from lora_gui.ui.library import give_view
from lora_gui.ui.library.contract_form import ContractForm
from lora_gui.ui.widgets.handlers import Changes

KEY = "lora-"  # begins the ids of their parts


class Section(Protocol):
    """One section of the page of a LoRA."""

    page: gr.JSON  # {"lora": the path of the LoRA that it shows}
    outputs: list[Any]  # the components that `shown` changes

    def connect(self) -> None:
        """Connect its own buttons."""
        ...

    def shown(self, lora: str) -> Changes:
        """What changes for the LoRA at this path, which is opened."""
        ...


SECTIONS: tuple[Callable[[Context], Section], ...] = (
    lambda context: ContractForm(context, KEY),
    lambda context: give_view.build(context, KEY),
)
