"""What was chosen and not started yet."""

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.ui.train import draft


def test_a_draft_is_found_again(tmp_path):
    kept = draft.Draft("style", "20260101-000000-abcd", "zxy_style")
    draft.save(Studio(tmp_path), kept)
    assert draft.load(Studio(tmp_path)) == kept


@pytest.mark.parametrize("damaged", ["", "[]", '{"preset": null, "odd": 1}', "\0"])
def test_a_damaged_or_missing_draft_is_an_empty_one(tmp_path, damaged):
    assert draft.load(Studio(tmp_path)) == draft.Draft()
    (tmp_path / draft.FILE).write_text(damaged)
    assert draft.load(Studio(tmp_path)).trigger == ""
