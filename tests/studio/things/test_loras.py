"""The LoRAs of the user: only whole ones come in, and headers are read once."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.studio.library import bin, scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
SAYS = {
    "modelspec.architecture": "stable-diffusion-v1/lora", "modelspec.trigger_phrase": "zxy",
    "ss_sd_model_name": "Starter", "ss_steps": "200",
    "lora_studio.base": "starter", "lora_studio.preset": "style", "modelspec.date": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path / "studio")
    found.loras.mkdir(parents=True)
    return found


def tensors(value=0.5):
    return {
        f"{LAYER}.lora_down.weight": np.full((4, 8), value, np.float16),
        f"{LAYER}.lora_up.weight": np.full((8, 4), value, np.float16),
        f"{LAYER}.alpha": np.array(2, np.float16),
    }  # fmt: skip


def lora(path, says=SAYS, **more):
    save_file(tensors(**more), path, says)
    return path


def test_a_lora_is_described_by_its_header(studio):
    info = loras.describe(lora(studio.loras / "cat.safetensors"))
    assert (info.name, info.family, info.dialect, info.rank, info.alpha, info.trigger) == (
        "cat",
        "sd1",
        "kohya",
        4,
        2.0,
        "zxy",
    )
    assert (info.base_title, info.base_key, info.preset, info.steps, info.layers) == (
        "Starter",
        "starter",
        "style",
        200,
        1,
    )
    assert loras.is_finite(info.path)


def test_a_file_that_changed_is_read_again_and_one_that_did_not_is_not(studio, monkeypatch):
    path = lora(studio.loras / "cat.safetensors")
    loras.describe(path)
    calls = []
    real = loras.read_header
    monkeypatch.setattr(loras, "read_header", lambda path: calls.append(path) or real(path))
    loras.describe(path)
    assert not calls
    lora(path, SAYS | {"modelspec.trigger_phrase": "another"})
    os.utime(path, (1, 1))  # a clock may be too coarse to tell two writes at once
    assert loras.describe(path).trigger == "another" and len(calls) == 1


def test_the_list_holds_what_can_be_used_and_the_rest_is_told(studio):
    lora(studio.loras / "good.safetensors")
    (studio.loras / "bad.safetensors").write_bytes(b"nonsense")
    (studio.loras / ".good.safetensors.1234.part").write_bytes(b"")
    lora(studio.loras / "flux.safetensors", {"modelspec.architecture": "hunyuan-video/lora"})
    assert [info.name for info in scan.usable(studio)] == ["good"]


def test_import_copies_under_a_safe_and_free_name(studio, tmp_path):
    source = lora(tmp_path / "My Cät (v2).safetensors")
    first, second = loras.import_lora(studio, source), loras.import_lora(studio, source)
    assert (first.path.name, second.path.name) == ("my-cat-v2.safetensors", "my-cat-v2-2.safetensors")
    assert source.read_bytes() == first.path.read_bytes()


def test_two_that_come_at_once_under_one_name_are_both_kept(studio, tmp_path, monkeypatch):
    copy = files.copy
    monkeypatch.setattr(files, "copy", lambda *given: (time.sleep(0.3), copy(*given)))  # as of large files
    for n in range(2):
        (tmp_path / str(n)).mkdir()
    sources = [lora(tmp_path / str(n) / "same.safetensors", SAYS | {"n": str(n)}) for n in range(2)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda path: loras.import_lora(studio, path), sources))
    assert [one.path.read_bytes() for one in found] == [path.read_bytes() for path in sources]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04" + b"x" * 99, "a.safetensors is in an old format that can carry programs, so it is not opened."),
        (b"\x80\x02}q", "a.safetensors is in an old format that can carry programs, so it is not opened."),
        (save(tensors())[:-5], "a.safetensors is cut short."),
        (save({"model.weight": np.ones(3, np.float16)}), "a.safetensors is not a LoRA."),
        (save({"x.lora_A.weight": np.ones((1, 2), np.float16), "x.lora_B.weight": np.ones((2, 1), np.float16)}),
         "This LoRA names its layers in a way that is not known."),
    ],
)  # fmt: skip
def test_what_is_no_usable_lora_is_refused_and_nothing_is_kept(studio, tmp_path, data, what):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        loras.import_lora(studio, path)
    assert caught.value.what == what and not list(studio.loras.iterdir())


def test_a_lora_is_found_by_name_or_path_and_a_wrong_name_names_the_nearest(studio, tmp_path):
    mine = lora(studio.loras / "my-cat.safetensors")
    far = lora(tmp_path / "far.safetensors")
    assert {loras.find(studio, name).path for name in ("my-cat", "My-Cat", "my-cat.safetensors")} == {mine}
    assert loras.find(studio, str(far)).path == far
    with pytest.raises(UserError) as caught:
        loras.find(studio, "my-dog")
    assert (caught.value.what, caught.value.remedy) == ("There is no LoRA 'my-dog'.", "Did you mean 'my-cat'?")


@pytest.mark.parametrize("name", ["模型", "кот", "🦊", "???", "", "My Cat", "my", "my-cat ", "мy-cat", "my-cat.ckpt"])
def test_a_name_is_never_guessed(studio, name):
    lora(studio.loras / "my-cat.safetensors")
    lora(studio.loras / "my-lora.safetensors")
    with pytest.raises(UserError, match="There is no LoRA"):
        loras.find(studio, name)


def test_names_in_any_script_are_found_in_either_form_of_unicode(studio):
    mine = lora(studio.loras / "Кот-cafe\u0301.safetensors")
    assert loras.find(studio, "кот-caf\u00e9").path == mine


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="names differ in case there")
def test_what_may_be_one_of_several_is_refused_with_their_names_and_an_exact_name_is_not(studio, tmp_path, monkeypatch):
    one, two = lora(studio.loras / "Cat.safetensors"), lora(studio.loras / "cat.safetensors")
    assert loras.find(studio, "Cat").path == one and loras.find(studio, "cat").path == two
    with pytest.raises(UserError) as caught:
        loras.find(studio, "CAT")
    assert str(one) in caught.value.what and str(two) in caught.value.what
    other = lora(tmp_path / "cat.safetensors")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="may be one of several"):
        loras.find(studio, "cat.safetensors")
    assert loras.find(studio, "./cat.safetensors").path == other
    monkeypatch.chdir(studio.loras)
    assert loras.find(studio, "cat.safetensors").path == two


@pytest.mark.skipif(os.name == "nt", reason="a file has no such number there")
def test_a_lora_that_was_replaced_by_one_as_large_and_as_old_is_read_again(studio):
    path, new = lora(studio.loras / "cat.safetensors"), studio.loras / "new"
    os.utime(path, (1, 1))
    assert loras.describe(path).trigger == "zxy"
    lora(new, SAYS | {"modelspec.trigger_phrase": "yxz"})
    os.utime(new, (1, 1))
    assert new.stat().st_size == path.stat().st_size
    os.replace(new, path)
    assert loras.describe(path).trigger == "yxz"


def test_a_lora_that_is_deleted_while_another_window_shows_it_hurts_nobody(studio, tell):
    infos = [loras.describe(lora(studio.loras / f"cat-{n}.safetensors")) for n in range(10)]
    over = threading.Event()

    def show():
        shown = []
        while not over.is_set():
            loras._describe.cache_clear()  # as a window that has just been opened
            shown.append(len(scan.usable(studio)))
        return shown

    with ThreadPoolExecutor(1) as window:
        showing = window.submit(show)
        for info in infos:
            bin.delete(studio, info.path)
            time.sleep(0.02)
        over.set()
        shown = showing.result()
    row = tell("LoRAs deleted in one window while another shows them")
    for info in infos:
        with row, pytest.raises(UserError):
            loras.find(studio, info.name)
    assert shown == sorted(shown, reverse=True) and scan.usable(studio) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipes_devices_and_links_without_an_end_hang_nobody_and_hide_no_lora(studio):
    lora(studio.loras / "good.safetensors")
    os.mkfifo(studio.loras / "pipe.safetensors")
    itself = studio.loras / "itself.safetensors"
    for name, target in (("device", "/dev/zero"), ("itself", itself), ("gone", "/nowhere")):
        (studio.loras / f"{name}.safetensors").symlink_to(target)
    assert [info.name for info in scan.usable(studio)] == ["good"]
    for name in ("pipe", "device", "itself", "gone"):
        with pytest.raises(UserError):
            loras.find(studio, name)
        with pytest.raises(UserError):
            loras.describe(studio.loras / f"{name}.safetensors")


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-that-name", "nul\0", "", "."])
def test_a_name_that_no_disk_takes_is_a_sentence(studio, name):
    with pytest.raises(UserError):
        loras.find(studio, name)
    with pytest.raises(UserError):
        loras.describe(studio.loras / name)
