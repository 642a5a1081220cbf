"""The list of bases: read when it is opened, with those greyed that cannot be used and why."""

from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from lora_gui.ui.widgets.handlers import LIGHT

_UNUSABLE = "Not usable: "  # style.css greys what begins so
_NO_BASE = "Put a base into {}; it is looked at again whenever this list is opened."


class BaseList:
    """A drop-down of the bases; `field` is its component."""

    def __init__(self, studio: Studio, **options: Any) -> None:
        self._studio = studio
        usable = bases.list_bases(studio)
        first = usable[0].key if usable else None
        self.field = gr.Dropdown(_choices(studio), value=first, label="Base", **options)

    def connect(self) -> None:
        """Read the list anew when it is opened."""
        self.field.focus(self.anew, None, [self.field], **LIGHT)

    def anew(self) -> Any:
        """The list as it is now, for `field`; what is chosen stays."""
        return gr.update(choices=_choices(self._studio))


def chosen(studio: Studio, key: str) -> Base:
    """The base called `key`, or the first there is. Raises UserError where there is none, or it cannot be used."""
    found = bases.list_bases(studio)
    if not found:
        raise UserError("There is no base.", _NO_BASE.format(studio.bases))
    unusable = {str(path): why for path, why in bases.passed_over(studio)}
    if key in unusable:
        raise unusable[key]
    return next((base for base in found if base.key == key), found[0])


def _choices(studio: Studio) -> list[tuple[str, str]]:
    usable = [(base.title, base.key) for base in bases.list_bases(studio)]
    return usable + [(f"{_UNUSABLE}{_named(path, why)}", str(path)) for path, why in bases.passed_over(studio)]


def _named(path: Path, why: UserError) -> str:
    return why.what if path.name in why.what else f"{path.name}: {why.what}"
