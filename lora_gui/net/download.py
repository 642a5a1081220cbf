"""Download a known base or captioner: what is whole is never fetched again, and it is none before all is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net import base_plan, captioner_plan, hub
from lora_gui.net.base_plan import Plan
from lora_gui.net.fetch import fetch
from lora_gui.net.pace import Pace, require_room
from lora_gui.net.trouble import GoneError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.task_folder import ORIGIN, unfinished

_PLAN_LIMIT = 10 << 20  # bytes
_PLANS = {"base": base_plan.plan, "captioner": captioner_plan.plan}  # by what is fetched


def download(job: DownloadJob) -> Iterator[events.Event]:
    """What happens until it lies whole in its folder. Raises UserError; what was fetched by then stays."""
    target = Path(job.into) / job.base
    folder = unfinished(target)
    if target.exists():
        raise UserError(f"There is a {target.name} in {target.parent} already.", "Move it away, or use it.")
    hub.require_way_out()
    yield events.Started(0)
    yield events.Phase("Asking the Hub what there is")
    plan = None
    for said in _plan(job, folder):
        if isinstance(said, Plan):
            plan = said
        else:
            yield said
    assert plan is not None
    require_room(plan.files, folder)
    yield from _files(plan, folder)
    yield events.Phase("Putting it in its place")
    files.sync_folder(folder)
    files.move(folder, target)
    yield events.Done()


def _plan(job: DownloadJob, folder: Path) -> Iterator[Plan | events.Note | events.Phase]:
    """The plan this was begun with, so that what changes on the Hub meanwhile changes nothing here; else a new one."""
    if kept := _kept(folder):
        yield kept
        return
    for said in _PLANS[job.of](job.base):
        if isinstance(said, Plan):
            files.write_json(folder / ORIGIN, said.model_dump())
        yield said


def _kept(folder: Path) -> Plan | None:
    try:
        return Plan.model_validate_json(files.read_small(folder / ORIGIN, _PLAN_LIMIT))
    except (OSError, ValidationError):
        return None


def _files(plan: Plan, folder: Path) -> Iterator[events.Event]:
    """Fetch every file of the plan, the small ones first: what is wrong with a token shows at once."""
    pace, headers = Pace(plan.files, folder), hub.headers(plan.gated)
    yield pace.told()
    for name, remote in sorted(plan.files.items(), key=lambda one: one[1].size):
        try:
            for said in fetch(remote, folder / name, headers):
                if isinstance(said, int):
                    yield from pace.here(name, said, name)
                else:
                    yield said
        except GoneError:
            files.remove(folder / ORIGIN)  # the next start asks anew what there is
            raise
    yield pace.told()
