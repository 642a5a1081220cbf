"""What a handler tells the window while a LoRA is kept, and when it cannot be."""

import pytest

from lora_gui.errors import UserError
from lora_gui.ui.widgets.handlers import while_kept


@pytest.mark.parametrize(("is_kept", "first"), [(True, "Putting it among your LoRAs"), (False, "")])
def test_while_a_lora_is_kept_it_is_said_and_then_what_came_of_it(is_kept, first):
    said = list(while_kept("place", lambda page: {"heading": page}, lambda _: is_kept)("fox"))
    assert first in said[0]["place"] and bool(said[0]["place"]) == bool(first)
    assert said[1] == {"place": "", "heading": "fox"} and len(said) == 2


def test_what_cannot_be_kept_is_a_sentence_also_where_it_is_gone_before_anybody_looks():
    def gone(_):
        raise UserError("It is gone.", "Train it again.")

    for handler, is_kept in ((gone, lambda _: True), (gone, gone)):
        *_, last = while_kept("place", handler, is_kept)("fox")
        assert "It is gone." in last["place"] and "Train it again." in last["place"]
