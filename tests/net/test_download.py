"""A known base comes whole or not at all: what was fetched is kept, and whatever goes wrong is one sentence."""

import contextlib
import errno
import hashlib
import os
from pathlib import Path

import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net.download import download
from lora_gui.net.hub import sign_in
from lora_gui.protocol import events
from lora_gui.protocol.task_folder import unfinished
from tests.net.conftest import NEEDED, PINNED, REPO, repository
from tests.net.server import Reply

UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
FILES = repository()
SIZE = sum(len(FILES[name]) for name in NEEDED)


@pytest.fixture(autouse=True)
def pinned(hub):
    """The Hub has the base at the commit that the app knows."""
    hub.add(REPO, FILES, PINNED)


def run(job):
    return list(download(job))


def here(job):
    folder = Path(job.into) / job.base
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_the_files_that_the_app_reads_come_and_one_variant_of_the_weights(hub, job):
    said = run(job)
    got = here(job)
    assert set(got) - {".origin.json"} == NEEDED
    assert all(got[name] == FILES[name] for name in NEEDED)
    assert isinstance(said[-1], events.Done) and not unfinished(Path(job.into) / job.base).exists()
    assert hub.sent("GET .*(resolve|cdn)") == SIZE


def test_no_token_is_sent_where_none_is_needed(hub, job, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    run(job)
    assert {one.bearer for one in hub.asked} == {""}


def test_a_line_that_drops_at_every_tenth_is_taken_up_where_it_dropped(hub, job, tell):
    row = tell("Drops of a line after which nothing was fetched twice")
    size = len(FILES[UNET])
    for _ in range(9):
        hub.fault(f"GET /cdn/{_sha(UNET)}", cut_after=size // 10)
    run(job)
    assert here(job)[UNET] == FILES[UNET]
    row.add(9, 9 if hub.sent(f"GET /cdn/{_sha(UNET)}") == size else 0)
    assert len(hub.requests(f"GET /cdn/{_sha(UNET)}")) == 10


def test_a_download_goes_on_after_its_end_with_what_is_here(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", cut_after=100_000)
    hub.fault(f"GET /cdn/{_sha(UNET)}", times=99, reply=_status(503))
    with pytest.raises(UserError, match="out of order"):
        run(job)
    hub.mend()
    listed = len(hub.requests("GET /api/"))
    run(job)
    assert hub.sent("GET .*(resolve|cdn)") == SIZE
    assert len(hub.requests("GET /api/")) == listed, "what is to come was settled at the beginning"


def test_a_file_that_comes_damaged_is_fetched_anew_once_and_then_refused(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", spoil=True)
    said = run(job)
    assert any("damaged" in one.text for one in said if isinstance(one, events.Note))
    assert here(job)[UNET] == FILES[UNET]


def test_a_file_that_is_damaged_for_good_is_refused_and_the_rest_stays(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", times=99, spoil=True)
    with pytest.raises(UserError, match="checksum"):
        run(job)
    folder = unfinished(Path(job.into) / job.base)
    assert (folder / "vae/config.json").is_file() and not (folder / UNET).exists()
    assert not (Path(job.into) / job.base).exists()


def test_a_lie_about_the_size_is_told(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", times=99, length=len(FILES[UNET]) * 2)
    with pytest.raises(UserError, match="two sizes"):
        run(job)


def test_a_server_that_knows_no_ranges_sends_the_whole_again(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", cut_after=100_000)
    hub.fault(f"GET /cdn/{_sha(UNET)}", ignores_ranges=True)
    run(job)
    assert here(job)[UNET] == FILES[UNET]


def test_a_range_that_does_not_fit_begins_the_file_anew(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", cut_after=100_000)
    hub.fault(f"GET /cdn/{_sha(UNET)}", reply=_status(416))
    run(job)
    assert here(job)[UNET] == FILES[UNET]


def test_a_hub_that_asks_for_a_pause_is_given_it(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", reply=_status(429, **{"Retry-After": "0"}))
    said = run(job)
    assert any("not to be asked so often" in one.name for one in said if isinstance(one, events.Phase))


def test_a_hub_that_asks_for_a_long_pause_is_a_sentence(hub, job):
    hub.fault("GET /api/models", reply=_status(429, **{"Retry-After": "3600"}))
    with pytest.raises(UserError, match="60 minutes") as caught:
        run(job)
    assert "Resume after" in caught.value.remedy


def test_a_gated_base_says_the_two_clicks_and_takes_the_token_from_the_store(hub, job, monkeypatch):
    hub.repos[REPO].gated = "auto"
    with pytest.raises(UserError, match="agreed to its licence") as caught:
        run(job)
    assert caught.value.cause == "sign in"
    assert f"{REPO}, log in and press Agree" in caught.value.remedy and "/settings/tokens" in caught.value.remedy
    hub.allow("hf_waits", "ada")
    monkeypatch.setenv("HF_TOKEN", "hf_waits")
    with pytest.raises(UserError, match="not been opened") as caught:
        run(job)
    assert caught.value.cause == "licence"
    hub.allow("hf_waits", "ada", may_see=(REPO,))
    run(job)
    assert {one.bearer for one in hub.requests("GET /cdn/")} == {""}


def test_a_token_that_is_refused_is_said(hub, job, monkeypatch):
    hub.repos[REPO].gated = "auto"
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(UserError, match="does not accept your token") as caught:
        run(job)
    assert caught.value.cause == "sign in"


def test_a_commit_that_is_gone_gives_way_to_the_latest_and_that_is_said(hub, job):
    hub.repos[REPO].commits.clear()
    hub.add(REPO, FILES)
    said = run(job)
    assert any("latest state" in one.text for one in said if isinstance(one, events.Note))


def test_what_changes_on_the_hub_meanwhile_changes_nothing_here(hub, job):
    hub.fault(f"GET /cdn/{_sha(UNET)}", times=99, reply=_status(503))
    with contextlib.suppress(UserError):
        run(job)
    hub.mend()
    hub.add(REPO, {"unet/config.json": b'{"new": 1}', UNET: b"new" * 1000})
    run(job)
    assert here(job)[UNET] == FILES[UNET]


def test_names_that_lead_out_of_the_folder_are_not_fetched(hub, job):
    hub.repos[REPO].commits[PINNED] = FILES | {
        "../tokenizer/evil.json": b"{}", "tokenizer/../../evil.json": b"{}", "tokenizer/.hidden.json": b"{}",
        "tokenizer\\evil.json": b"{}", "/tokenizer/evil.json": b"{}",
    }  # fmt: skip
    run(job)
    assert set(here(job)) - {".origin.json"} == NEEDED


def test_a_disk_without_room_is_said_before_anything_comes(hub, job, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 100_000})())
    with pytest.raises(UserError, match="has only 0.0 GB free"):
        run(job)
    assert hub.sent("GET .*(resolve|cdn)") == 0


def test_a_repository_without_weights_of_a_safe_format_is_refused(hub, job):
    names = [name for name in FILES if name.startswith("unet/") and name.endswith(".safetensors")]
    hub.repos[REPO].commits[PINNED] = {
        name: data for name, data in FILES.items() if name not in names
    }
    with pytest.raises(UserError, match="no unet as .safetensors"):
        run(job)


def _sha(name):
    return hashlib.sha256(FILES[name]).hexdigest()


def _status(status, **headers):
    return Reply(status, b"", headers)


class FullDisk:
    """A file on a disk that has room for `room` bytes more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.file.write(data[: self.room])
        self.room -= written
        return written


def test_a_disk_that_fills_keeps_what_came_and_the_rest_comes_once_there_is_room(hub, job, monkeypatch):
    real = files.open_stream
    with monkeypatch.context() as patch:
        patch.setattr(files, "open_stream", lambda path: FullDisk(real(path), 50_000))
        with pytest.raises(files.DiskFullError):
            run(job)
    asked = len(hub.requests("GET /cdn/"))
    run(job)
    resumed = hub.requests("GET /cdn/")[asked:]
    assert resumed[0].headers["range"] == "bytes=50000-" and here(job)[UNET] == FILES[UNET]


def test_who_signs_in_while_the_hub_is_out_of_order_is_told_nothing_of_what_was_fetched(hub):
    hub.fault("GET .*whoami", times=9, reply=Reply(503))
    with pytest.raises(UserError) as refused:
        sign_in("hf_of_ada")
    assert refused.value.remedy == "Check your connection and try again."
