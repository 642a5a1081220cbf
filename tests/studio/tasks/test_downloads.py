"""A download goes on whoever watches: real children fetch the starter's files from a small Hub as if it were SD 1.5."""

import hashlib
import json
import os
import signal
import sys

import pytest

from lora_gui import environment
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import downloads, fetching, process
from lora_gui.studio.tasks.launching import until
from lora_gui.studio.things import bases
from tests.net.hub import SmallHub

KNOWN = bases.known_bases()["sd15"]
UNET, BEGUN = "unet/diffusion_pytorch_model.safetensors", 8_000_000  # the largest file comes last; bytes of it


@pytest.fixture(scope="module")
def model():
    return {
        path.relative_to(bases.SHIPPED).as_posix(): path.read_bytes()
        for path in bases.SHIPPED.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.fixture
def hub(monkeypatch, model, tmp_path):
    """Children are real ones, whose huggingface_hub reads the environment anew."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-m", "lora_gui.worker"))
    with SmallHub() as found:
        for name, value in (found.environment() | {"HF_HOME": str(tmp_path / "hf")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        found.add(KNOWN.repo, model, KNOWN.revision)
        yield found


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def on_its_way(hub, model):
    """`on_its_way(download)` waits until half of it is here, of which the rest takes minutes."""
    hub.fault(f"GET /cdn/{hashlib.sha256(model[UNET]).hexdigest()}", drip_after=BEGUN)
    sizes = {path: len(data) for path, data in model.items() if path.endswith(".safetensors")}

    def wait(download):
        def is_here():
            now = download.status()
            assert now.goes_on, now
            return now.done >= sum(sizes.values()) - sizes[UNET] + BEGUN

        assert until(is_here, 120)

    return wait


def ended(download):
    *_, last = download.wait(0.05)
    return last


def test_a_base_is_downloaded_and_found_among_the_bases(hub, studio):
    last = ended(downloads.start(studio, "sd15"))
    assert last.state == "finished", last
    assert bases.find(studio, "sd15").family == "sd1"
    origin = json.loads((studio.bases / "sd15" / ".origin.json").read_text())
    assert origin["commits"] == {KNOWN.repo: KNOWN.revision}
    assert downloads.begun(studio) == [] and not list(studio.downloads.glob("*/"))
    with pytest.raises(UserError, match="on this computer already"):
        downloads.start(studio, "sd15")


def test_two_windows_share_one_download_and_it_is_paused_and_resumed_without_fetching_twice(
    hub, on_its_way, studio, model
):
    first = downloads.start(studio, "sd15")
    second = downloads.start(studio, "sd15")
    on_its_way(second)
    assert len(hub.requests("GET /api/models")) == 1
    second.pause()
    assert ended(first).state == "paused" and first.status().done > 0
    assert [one.base for one in downloads.begun(studio)] == ["sd15"]
    assert "sd15" not in {one.key for one in bases.list_bases(studio)} and not bases.passed_over(studio)
    assert ended(downloads.start(studio, "sd15")).state == "finished"
    again = hub.sent("GET .*(cdn|resolve)") - sum(map(len, model.values()))
    assert again <= 100_000, "what was on its way when it was paused, in the buffers of both ends"


def test_who_breaks_off_as_the_child_comes_pauses_it(hub, studio, monkeypatch):
    def broken_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fetching, "until", broken_off)
        downloads.start(studio, "sd15")
    (download,) = downloads.begun(studio)
    assert until(lambda: download.status().state == "paused", 120)  # for a moment it is one whose child has gone


def test_a_download_whose_child_is_killed_is_told_so_and_goes_on(on_its_way, studio):
    download = downloads.start(studio, "sd15")
    on_its_way(download)
    pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and _is_child(p, studio))
    os.kill(pid, signal.SIGKILL)
    last = ended(download)
    assert last.state == "failed" and last.what and last.done > 0
    assert ended(downloads.start(studio, "sd15")).state == "finished"


def test_a_download_that_is_given_up_leaves_nothing(on_its_way, studio):
    download = downloads.start(studio, "sd15")
    on_its_way(download)
    download.cancel()
    assert download.status().state == "none" and downloads.begun(studio) == []
    assert [path.name for path in studio.bases.iterdir()] == []


def test_a_base_that_is_unknown_or_ships_is_refused_at_once(studio):
    with pytest.raises(UserError, match="Did you mean 'sdxl'"):
        downloads.start(studio, "sdlx")
    with pytest.raises(UserError, match="comes with the app"):
        downloads.start(studio, "starter")


def test_a_token_is_kept_by_huggingface_hub_alone(hub, studio, tmp_path):
    hub.allow("hf_of_ada", "ada")
    with pytest.raises(UserError, match="does not know this token"):
        downloads.sign_in(studio, "hf_wrong")
    assert downloads.sign_in(studio, " hf_of_ada\n") == "ada"
    holding = [p for p in tmp_path.rglob("*") if p.is_file() and b"hf_of_ada" in p.read_bytes()]
    assert {p.parent for p in holding} == {tmp_path / "hf"} and holding
    assert all(p.stat().st_mode & 0o077 == 0 for p in holding)


def test_an_app_that_is_offline_lets_its_download_alone_out(hub, studio, monkeypatch):
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "no_proxy": "127.0.0.1,localhost"}
    monkeypatch.setattr(os, "environ", {**os.environ, **proxies})
    environment.go_offline()
    assert os.environ["HF_HUB_OFFLINE"] == "1" and "HTTP_PROXY" not in os.environ
    assert ended(downloads.start(studio, "sd15")).state == "finished"
    assert process._environment("train", 1)["HF_HUB_OFFLINE"] == "1"


def _is_child(pid, studio):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"download" in (said := file.read()) and os.fsencode(studio.home) in said
    except OSError:
        return False


@pytest.mark.parametrize("key", ["../../pictures", "..", "", "nosuch"])
def test_no_folder_is_called_by_a_key_that_is_not_known(studio, key):
    """Since what is given up is deleted."""
    for kind in (downloads.Download, downloads.CaptionerDownload):
        with pytest.raises(UserError, match="There is no (base|captioner)"):
            kind(studio, key)
