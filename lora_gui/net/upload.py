"""Publish a shared folder to the model hub: exactly the files that were shown, private unless told otherwise.

Read back at the end: the Hub's own checksums have to be those of the files. The token is huggingface_hub's alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import get_token

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net import hub, trouble
from lora_gui.protocol.events import Done, Event, Phase, Transfer
from lora_gui.protocol.jobs import UploadJob

_TRIES = 4
_OFTEN = 0.3  # seconds between two looks at how much is there
_CHANGED = "Look at what is uploaded once more, then publish it."


def upload(job: UploadJob) -> Iterator[Event]:
    """Upload the files of a job as one commit; the last event says the address. Raises UserError where it cannot be."""
    hub.require_way_out()
    if not get_token():
        what = "The Hub wants a token to publish, and there is none on this computer."
        raise UserError(what, "Make one of the kind Write in your settings there, and sign in.", trouble.SIGN_IN)
    found = {name: Path(job.folder) / name for name in job.files}
    yield Phase("Looking at the files once more")
    for name, path in found.items():
        if not path.is_file() or files.sha256(path) != job.files[name]:
            raise UserError(f"{name} is not as it was shown any more.", _CHANGED)
    commit = ""
    yield Phase("Uploading")
    going = _Upload(job, found)
    for said in trouble.patiently(going.once, _TRIES, trouble.AGAIN):
        if isinstance(said, str):
            commit = said
        else:
            yield said
    yield Phase("Reading it back")
    for said in trouble.patiently(lambda: iter([_read_back(job, found, commit)]), _TRIES, trouble.AGAIN):
        if isinstance(said, Phase):
            yield said
    yield Done(lora=f"{hub.site()}{job.repo}", sha256=commit)


class _Sent(io.BufferedReader):
    """A file of which it is known how far it was read; huggingface_hub, which tells nobody, sends it from here."""

    sent = 0  # bytes

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.sent = max(self.sent, self.tell())
        return data


class _Upload:
    """One commit, which may take several tries."""

    def __init__(self, job: UploadJob, found: dict[str, Path]) -> None:
        self._job, self._found = job, found
        self._of = sum(path.stat().st_size for path in found.values())
        self._told = 0  # bytes; that a try which begins anew has sent less is nothing to tell

    def once(self) -> Iterator[Transfer | str]:
        """How much of it has been sent, whenever that is more than before; at the end the commit."""
        with ExitStack() as held:
            opened = {name: held.enter_context(_Sent(io.FileIO(path))) for name, path in self._found.items()}
            made = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in opened.items()]
            for file in opened.values():
                file.sent = 0  # it was read once for its checksum
            pool = held.enter_context(ThreadPoolExecutor(1))
            going = pool.submit(_committed, self._job, made)
            while not wait([going], _OFTEN).done:
                yield from self._more(opened)
            yield from self._more(opened)  # also where all of it went between two looks
            yield going.result()

    def _more(self, opened: dict[str, _Sent]) -> Iterator[Transfer]:
        sent = sum(file.sent for file in opened.values())
        if sent > self._told:
            self._told = sent
            yield Transfer(sent, self._of)


def _committed(job: UploadJob, operations: list[CommitOperationAdd]) -> str:
    api, repo = HfApi(), job.repo
    try:
        api.create_repo(repo, private=job.private, exist_ok=True)
        if job.private and not api.model_info(repo).private:
            raise UserError(f"{repo} is there already and public.", "Choose another name, or publish it as public.")
        return api.create_commit(repo, operations, commit_message="Publish a LoRA").oid
    except HFValidationError:
        what = f"A repository cannot be called {repo}."
        raise UserError(what, "Use letters, digits, - _ and dots, as in your-name/my-lora.") from None
    except HfHubHTTPError as error:
        raise _refused(error, repo) from error


def _read_back(job: UploadJob, found: dict[str, Path], commit: str) -> str:
    """Raises UserError where what the Hub holds at this commit is not what lies here."""
    repo = job.repo
    try:
        told = HfApi().model_info(repo, revision=commit, files_metadata=True)
    except HfHubHTTPError as error:
        raise _refused(error, repo) from error
    held: dict[str, Any] = {one.rfilename: one for one in told.siblings or ()}
    for name, path in found.items():
        one = held.get(name)
        same = one is not None and (
            one.lfs.sha256 == job.files[name] if one.lfs else one.blob_id == _blob(path.read_bytes())
        )
        if not same:
            raise UserError(f"{name} is not on the Hub as it lies here.", "Publish it once more.")
    return commit


def _refused(error: HfHubHTTPError, repo: str) -> UserError:
    trouble.check_passing(error.response)
    if error.response.status_code == 403:
        what = f"Your token may not write to {repo}."
        remedy = "Make one of the kind Write, sign in with it, and name a place of your own."
        return UserError(what, remedy, trouble.SIGN_IN)
    return trouble.refused(error.response, repo)


def _blob(data: bytes) -> str:
    """As git, and so the Hub, names a small file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
