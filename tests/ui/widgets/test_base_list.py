"""The list of bases of the window: read when it is opened, with what cannot be used and why."""

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.ui.widgets import base_list
from tests.studio.things.base_folders import make


def test_the_list_is_read_when_it_is_opened_and_names_what_cannot_be_used(tmp_path):
    studio = Studio(tmp_path / "a studio")
    field = base_list.BaseList(studio)
    assert [key for _, key in field.field.choices] == ["starter"]
    make(studio.bases / "mine")
    (studio.bases / "old.ckpt").write_bytes(b"x")
    choices = field.anew()["choices"]
    assert [label.partition(" is in")[0] for label, _ in choices] == ["Starter", "mine", "Not usable: old.ckpt"]
    assert base_list.chosen(studio, "mine").key == "mine" and base_list.chosen(studio, "gone").key == "starter"
    with pytest.raises(UserError, match="an old format"):
        base_list.chosen(studio, choices[-1][1])
