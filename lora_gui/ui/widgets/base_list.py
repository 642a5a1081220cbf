"""The list of bases: in sight once there are several; read when it is opened, those greyed that cannot be used."""

from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError, shown
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from lora_gui.ui.live import Live
from lora_gui.ui.widgets.handlers import LIGHT, Changes

_UNUSABLE = "Not usable: "  # style.css greys what begins so
_NO_BASE = "Put a base into {}; it is looked at again whenever this list is opened."


class BaseList:
    """A drop-down of the bases; `field` is its component."""

    def __init__(self, studio: Studio, **options: Any) -> None:
        self._studio = studio
        choices = _choices(studio)
        first = choices[0][1] if choices else None
        self.field = gr.Dropdown(choices, value=first, label="Base", visible=len(choices) > 1, **options)
        self._listed = gr.JSON({}, visible=False)  # what this page lists

    def connect(self, live: Live) -> None:
        """Read the list anew when it is opened, and where a base has come or gone."""
        self.field.focus(self.anew, None, [self.field], **LIGHT)
        live.watch(self._look, [self._listed], [self._listed, self.field])

    def anew(self) -> Any:
        """The list as it is now, for `field`; what is chosen stays."""
        choices = _choices(self._studio)
        return gr.update(choices=choices, visible=len(choices) > 1)

    def _look(self, listed: dict[str, Any]) -> Changes:
        mark = list(bases.mark(self._studio))
        return {} if (listed or {}).get("mark") == mark else {self._listed: {"mark": mark}, self.field: self.anew()}


def chosen(studio: Studio, key: str) -> Base:
    """The base called `key`, or the first there is. Raises UserError where there is none, or it cannot be used."""
    found, passed_over = bases.both(studio)
    if not found:
        raise UserError("There is no base.", _NO_BASE.format(studio.bases))
    unusable = {str(path): why for path, why in passed_over}
    if key in unusable:
        raise unusable[key]
    return next((base for base in found if base.key == key), found[0])


def gone(key: str, base: Base) -> str:
    """That the base called `key`, for which `base` was found, is not here, in a sentence; else empty."""
    is_here = key in ("", base.key)
    return "" if is_here else f"The base {shown(key)} is not here any more; {base.title} takes its place."


def _choices(studio: Studio) -> list[tuple[str, str]]:
    usable, passed_over = bases.both(studio)
    listed = [(base.title, base.key) for base in usable]
    return listed + [(f"{_UNUSABLE}{_named(path, why)}", str(path)) for path, why in passed_over]


def _named(path: Path, why: UserError) -> str:
    return why.what if path.name in why.what else f"{path.name}: {why.what}"
