"""What all tests share: one thread a process, and the table of how much was tried and how much of it held."""

import os

import pytest

# Before torch is imported; children inherit it. The networks are tiny, and there are as many test processes as cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def tell(record_property):
    """`tell(what, tried, held)` puts a line into the table at the end, and fails where not all has held."""

    def told(what: str, tried: int, held: int, more: str = "") -> None:
        record_property("tried", f"{what}: {tried} tried, {held} held{more and f' ({more})'}")
        assert held == tried > 0, what

    return told


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    noted = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    lines = sorted({line for name, line in noted if name == "tried"})
    if lines:
        terminalreporter.section("tried and held")
        for line in lines:
            terminalreporter.write_line(line)
