"""Days are written in one way, wherever they stand."""

from datetime import datetime

import pytest

from lora_gui import days


@pytest.mark.parametrize(
    ("iso", "said"), [("2026-11-28", "28 Nov 2026"), ("2026-01-02T14:32:01", "2 Jan 2026"), ("no day", "no day")]
)
def test_a_day_is_written_as_people_do_and_what_is_none_stays(iso, said):
    assert days.day(iso) == said


def test_a_moment_is_a_day_with_its_time():
    assert days.moment(datetime(2026, 11, 28, 9, 5)) == "28 Nov 2026, 09:05"
