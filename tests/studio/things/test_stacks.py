"""Named stacks."""

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import stacks
from lora_gui.studio.things.stacks import Row

ROWS = (Row(lora="fox.safetensors", strength=0.7), Row(lora="owl.safetensors", strength=-0.5, on=False))


def test_a_stack_is_kept_under_its_name_and_called_again(tmp_path):
    assert stacks.save(Studio(tmp_path), " ink \n woods ", ROWS) == "ink woods"
    assert stacks.find(Studio(tmp_path), "ink woods") == ROWS
    stacks.save(Studio(tmp_path), "ink woods", ROWS[:1])
    assert stacks.stacks(Studio(tmp_path)) == {"ink woods": ROWS[:1]}
    stacks.remove(Studio(tmp_path), "ink woods")
    with pytest.raises(UserError, match="No stack is called"):
        stacks.find(Studio(tmp_path), "ink woods")


@pytest.mark.parametrize(("name", "rows"), [("  ", ROWS), ("woods", ())])
def test_a_stack_without_a_name_or_a_lora_is_not_kept(tmp_path, name, rows):
    with pytest.raises(UserError):
        stacks.save(Studio(tmp_path), name, rows)
    assert not (tmp_path / stacks.FILE).exists()


@pytest.mark.parametrize("said", ["{", "[1]", '{"woods": [{"lora": "a", "strength": NaN}]}', '{"woods": 5}'])
def test_a_damaged_file_holds_no_stack_and_is_not_written_over(tmp_path, said):
    (tmp_path / stacks.FILE).write_text(said)
    assert stacks.stacks(Studio(tmp_path)) == {}
    stacks.save(Studio(tmp_path), "woods", ROWS)
    assert stacks.stacks(Studio(tmp_path)) == {"woods": ROWS}
    assert [path.read_text() for path in tmp_path.glob("stacks, damaged*")] == ([said] if len(said) > 2 else [])
