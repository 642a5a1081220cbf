"""Cases of a test of which some take long."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def but(quick: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """The cases for `parametrize`; those that are not `quick` are run with `-m soak` alone."""
    apart = ((one if isinstance(one, tuple) else (one,), one in quick) for one in cases)
    return [pytest.param(*values, marks=() if is_quick else pytest.mark.soak) for values, is_quick in apart]
