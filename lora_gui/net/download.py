"""Download a known base: what is whole is never fetched again, and it is no base before all of it is right."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net import base_plan, hub
from lora_gui.net.base_plan import Plan
from lora_gui.net.fetch import fetch, held
from lora_gui.net.trouble import GoneError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.task_folder import unfinished

PLAN = ".origin.json"  # in the folder of a base that was downloaded: where its files came from
_MARGIN = 500_000_000  # bytes that are left free
_OFTEN = 0.5  # seconds between two events
_LATELY = 10.0  # seconds over which the speed is taken
_PLAN_LIMIT = 10 << 20  # bytes


def download(job: DownloadJob) -> Iterator[events.Event]:
    """What happens until the base lies whole in its folder. Raises UserError; what was fetched by then stays."""
    base_plan.known_base(job.base)
    target = Path(job.into) / job.base
    folder = unfinished(target)
    if target.exists():
        raise UserError(f"There is a {target.name} in {target.parent} already.", "Move it away, or use it.")
    hub.require_way_out()
    yield events.Started(0)
    yield events.Phase("Asking the Hub what there is")
    plan = None
    for said in _plan(job.base, folder):
        if isinstance(said, Plan):
            plan = said
        else:
            yield said
    assert plan is not None
    _require_room(plan, folder)
    yield from _files(plan, folder)
    yield events.Phase("Putting it in its place")
    files.sync_folder(folder)
    files.move(folder, target)
    yield events.Done()


def _plan(base: str, folder: Path) -> Iterator[Plan | events.Note | events.Phase]:
    """The plan this was begun with, so that what changes on the Hub meanwhile changes nothing here; else a new one."""
    if kept := _kept(folder):
        yield kept
        return
    for said in base_plan.plan(base):
        if isinstance(said, Plan):
            files.write_json(folder / PLAN, said.model_dump())
        yield said


def _kept(folder: Path) -> Plan | None:
    try:
        return Plan.model_validate_json(files.read_small(folder / PLAN, _PLAN_LIMIT))
    except (OSError, ValidationError):
        return None


def _files(plan: Plan, folder: Path) -> Iterator[events.Event]:
    """Fetch every file of the plan, the small ones first: what is wrong with a token shows at once."""
    pace, headers = _Pace(plan, folder), hub.headers(plan.gated)
    for name, remote in sorted(plan.files.items(), key=lambda one: one[1].size):
        path = folder / name
        before = held(path)
        try:
            for said in fetch(remote, path, headers):
                if isinstance(said, int):
                    pace.came(said - before)
                    before = said
                    if pace.is_due():
                        yield pace.told(name)
                else:
                    yield said
        except GoneError:
            files.remove(folder / PLAN)  # the next start asks anew what there is
            raise
    yield pace.told("")


def _require_room(plan: Plan, folder: Path) -> None:
    """Raises UserError where the disk has no room for what is missing."""
    missing = plan.size - sum(held(folder / name) for name in plan.files)
    free = shutil.disk_usage(folder).free
    if missing + _MARGIN > free:
        what = f"{missing / 1e9:.1f} GB are to come, and {folder.parent} has only {free / 1e9:.1f} GB free."
        raise UserError(what, "Make some space there and resume; nothing that was fetched is lost.")


class _Pace:
    """How much is here, and how fast it comes."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._of = plan.size
        self._done = sum(held(folder / name) for name in plan.files)
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), self._done)])
        self._told = 0.0

    def came(self, count: int) -> None:
        """So many bytes more; fewer where something has to be fetched anew."""
        self._done += count
        if count < 0:
            self._marks.clear()

    def is_due(self) -> bool:
        """Whether it is time to say it."""
        return time.monotonic() - self._told >= _OFTEN

    def told(self, name: str) -> events.Transfer:
        now = self._told = time.monotonic()
        self._marks.append((now, self._done))
        while now - self._marks[0][0] > _LATELY and len(self._marks) > 2:
            self._marks.popleft()
        seconds, bytes = now - self._marks[0][0], self._done - self._marks[0][1]
        speed = bytes / seconds if seconds > 0 else 0.0
        left = (self._of - self._done) / speed if speed > 0 else None
        return events.Transfer(self._done, self._of, speed, left, name)
