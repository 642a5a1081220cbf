"""What a page shows after an answer, for tests that call the handlers of a tab as the page does."""

import json
from pathlib import Path
from typing import Any

from lora_gui.studio.things import pictures
from lora_gui.ui.train import planned


class Page:
    """`take` takes an answer and gives the values of all fields; `shown` is what the next press carries along."""

    def __init__(self, context: Any, setup: Any, form: Any) -> None:
        self.context, self.setup, self._form = context, setup, form
        self.studio = context.studio
        self.home: Path = self.studio.home.parent
        self.shown: dict[str, Any] = {}
        self.changes: dict[Any, Any] = {}
        self.wrong: dict[str, Any] = {}  # what stands under the fields
        self.focus = ""

    def take(self, changes: dict[Any, Any]) -> dict[str, Any]:
        answer = json.loads(changes[self._form._kept])
        self.changes, self.shown = changes, changes[self._form.shown]
        self.wrong, self.focus = answer["wrong"], answer["focus"]
        assert answer["names"] == list(self._form._fields)
        return answer["values"]

    def pictures(self) -> tuple[pictures.Picture, ...]:
        found = planned.chosen_pictures(self.studio, self.context.drafts.train.value)
        return found.pictures if found else ()

    def examples(self) -> None:
        """Choose the example pictures."""
        self.setup._pictures._examples(None)
        self.take(self.setup._look({}))
