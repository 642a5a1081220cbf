"""What all tests share: one thread a process, files in memory, and the table of how much was tried and held."""

import gc
import os
import shutil
import sys

import pytest

from tests import forkserver

# Before torch is imported; children inherit it. The networks are tiny, and the test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
MEMORY, ROOM = "/dev/shm", 4 << 30  # a drive in memory, where it has this many bytes free and programs may be started
if os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > ROOM and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    # There, files are made and deleted at no cost; a run makes some ten thousands. Pytest's own name for where.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)
gc.disable()  # while the libraries and the tests are imported, of which nothing is garbage


def pytest_xdist_auto_num_workers(config):
    """Two more than there are cores, since many tests wait for a child or for a browser."""
    return (os.cpu_count() or 1) + 2


def pytest_configure(config):
    """One server for the whole run; the test processes inherit its address. No test asks for what is logged."""
    config.pluginmanager.set_blocked("logging-plugin")  # it visits a hundred loggers three times a test
    if forkserver.available() and not hasattr(config, "workerinput"):
        server = forkserver.running()
        server.__enter__()
        config.add_cleanup(lambda: server.__exit__(None, None, None))


def pytest_sessionstart(session):
    """Children of the tests are forked; that the real commands start is test_worker's and test_picture_sandbox's."""
    forkserver.used()


# begun first, so that none of them is what all others wait for at the end
LONG = (
    "tests/browser", "tests/security/test_offline.py", "tests/survival/test_kills.py", "tests/test_worker.py",
    "tests/engine/train/test_train.py", "tests/test_starter.py", "tests/test_main.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish(session):
    """What was imported stays to the end, so it need not be looked through at each of torch's many collections."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A test draws the same numbers whichever ran before it in its process; its fixtures draw others."""
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(2)


class Row:
    """A line of the table. Each case is counted as it begins, so one that fails shows in what was held.

    `with row: ...` is a case, `row.add(tried, held)` are several whose outcome is known.
    """

    def __init__(self, what: str, tried: int) -> None:
        self.what, self.tried, self.held, self.more = what, tried, 0, ""
        self.waits = tried  # cases that have held once the test has passed

    def __enter__(self) -> None:
        self.tried += 1

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.held += kind is None

    def add(self, tried: int, held: int) -> None:
        self.tried, self.held = self.tried + tried, self.held + held


ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture
def tell(request):
    """`tell(what)` gives the row of that name; `tell(what, 1)` at the beginning says that the test itself is a case.

    Rows of several tests that tell of the same are added up. A test with a row that has not held, or is empty, fails.
    """
    rows = request.node.stash.setdefault(ROWS, [])

    def row(what: str, cases: int = 0) -> Row:
        rows.append(Row(what, cases))
        return rows[-1]

    return row


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    called = yield
    for row in pyfuncitem.stash.get(ROWS, []):
        row.add(0, row.waits)
        assert row.held == row.tried > 0, f"{row.what}: {row.held} of {row.tried} held"
    return called


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        told = [("tried", (row.what, row.tried, row.held, row.more)) for row in item.stash.get(ROWS, [])]
        report.user_properties += told
    return report


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
