"""What the parts of the drawing desk need of it: its form, how what it asks is changed, and what is asked."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.widgets.draft_form import DraftForm
from lora_gui.ui.widgets.handlers import HIDDEN, Changes


@dataclass(frozen=True)
class Desk:
    """`outputs` are the components that its answers change."""

    context: Context
    form: DraftForm
    outputs: list[Any]
    take: Callable[[Any], UserError | None]  # puts what was typed into the draft
    change: Callable[[Callable[[DrawDraft], DrawDraft]], UserError | None]
    shows: Callable[..., Changes]  # how everything stands, with a problem if there is one
    asked: Callable[[], tuple[Base, DrawSettings]]  # what is to be drawn; raises UserError where it cannot be
    still: AbstractContextManager[Any]  # within it nothing is typed into the draft from elsewhere

    @property
    def draft(self) -> DrawDraft:
        return self.context.drafts.draw.value

    def press(self, event: Any, handler: Callable[..., Any], more: list[Any], *focus: str, **options: Any) -> None:
        """Let `handler` answer a press: it is given `shown`, and changes the form and `more`."""
        carried: dict[str, Any] = {"js": self.form.carries} | HIDDEN | options
        answered = event(handler, [self.form.shown], [*self.outputs, *more], **carried)
        self.context.live.after(self.form.filled(answered), *focus)
