"""What all tests share: one thread a process, and the table of how much was tried and how much of it held."""

import gc
import os

import pytest

from lora_gui.studio.tasks import process
from tests import forkserver

# Before torch is imported; children inherit it. The networks are tiny, and the test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
STARTED = process.COMMAND


def pytest_xdist_auto_num_workers(config):
    """One more than there are cores, since many tests wait for a child or for a browser."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config):
    """One server for the whole run; the test processes inherit its address."""
    if forkserver.available() and not hasattr(config, "workerinput"):
        server = forkserver.running()
        server.__enter__()
        config.add_cleanup(lambda: server.__exit__(None, None, None))


def pytest_sessionstart(session):
    """Children of the tests are forked; `really_started` has one started as the app does."""
    process.COMMAND = forkserver.command("-m", "lora_gui.worker")


def pytest_collection_finish(session):
    """What was imported stays to the end, so it need not be looked through at each of torch's many collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def really_started(monkeypatch):
    """Children are started by `python -m lora_gui.worker`, as the app does it."""
    monkeypatch.setattr(process, "COMMAND", STARTED)


@pytest.fixture
def tell(record_property):
    """`tell(what, tried, held)` puts a line into the table at the end, and fails where not all has held.

    Lines of several tests that tell of the same are added up.
    """

    def told(what: str, tried: int, held: int, more: str = "") -> None:
        record_property("tried", (what, tried, held, more))
        assert held == tried > 0, what

    return told


def pytest_terminal_summary(terminalreporter):
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    noted = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    told = [value for name, value in noted if name == "tried"]
    if told:
        terminalreporter.section("tried and held")
    for what in sorted({what for what, *_ in told}):
        same = [rest for one, *rest in told if one == what]
        more = "; ".join(said for _, _, said in same if said)
        tried, held = sum(one[0] for one in same), sum(one[1] for one in same)
        terminalreporter.write_line(f"{what}: {tried} tried, {held} held{more and f' ({more})'}")
