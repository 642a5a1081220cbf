"""What is ordered of a drawing, before any child is told."""

import pytest

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.order import prepared


def base(family):
    return Base(key="b", title="My base", family=family, path="b")


@pytest.mark.parametrize("family", families.facts())
def test_a_size_between_two_steps_of_the_family_is_refused_with_both(family, tmp_path):
    step = families.facts_of(family).size_step
    settings = DrawSettings(width=1024, height=512)
    assert prepared(Studio(tmp_path), base(family), settings) == (settings, [])
    if step > 8:
        with pytest.raises(UserError) as caught:
            prepared(Studio(tmp_path), base(family), DrawSettings(width=1032, height=512))
        assert caught.value.what == f"My base draws in steps of {step} pixels, and not in a width of 1032."
        assert caught.value.remedy == f"Choose a width of 1024 or {1024 + step}."


def test_both_sides_are_named_and_no_size_of_0(tmp_path):
    with pytest.raises(UserError, match="Choose a width of 128 and a height of 256 or 384.") as caught:
        prepared(Studio(tmp_path), base("wuerstchen"), DrawSettings(width=64, height=264))
    assert "a width of 64 and a height of 264" in caught.value.what


def test_seed_minus_1_is_a_new_one_each_time_and_is_said(tmp_path):
    found = [prepared(Studio(tmp_path), base("sd1"), DrawSettings(seed=-1)) for _ in range(4)]
    assert len({settings.seed for settings, _ in found}) > 1
    for settings, notes in found:
        assert 0 <= settings.seed < 2**32 and notes == [f"The new seed is {settings.seed}."]
