"""The versions of a LoRA, put into use without exporting, and where a file lies."""

import shutil
import sys

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.library import folder, shelf
from lora_gui.studio.library.versions import put_into_use, versions
from lora_gui.studio.tasks.launching import until
from tests import making


def found(studio, name="fox"):
    there = shelf.shelf(studio)
    card = shelf.named(studio, there, name)
    return card, [(one.step, one.path and one.path.name, one.is_last) for one in versions(studio, card, there)]


def keep(studio, run, step, value):
    kept = run.files.checkpoint(step)
    kept.mkdir(parents=True)
    shutil.move(making.lora(studio, "kept", value), kept / "adapter.safetensors")
    (kept / "MANIFEST.json").write_text("{}")


def test_what_a_run_kept_is_put_into_use_once_and_stands_among_its_versions(studio):
    run = making.run(studio, "fox", making.lora(studio, "fox", ss_steps="20"))
    run.summary()
    assert found(studio)[1] == []
    keep(studio, run, 10, 0.25)
    card, listed = found(studio)
    assert listed == [(20, "fox.safetensors", True), (10, None, False)]
    made = put_into_use(studio, card, 10)
    assert made.name == "fox-step-10.safetensors" and put_into_use(studio, card, 10) == made
    assert found(studio)[1] == [(20, "fox.safetensors", True), (10, made.name, False)]
    assert found(studio, "fox-step-10")[0].run == run.folder.name
    with pytest.raises(UserError, match="not kept any more"):
        put_into_use(studio, card, 5)


def test_a_lora_that_was_brought_has_no_versions(studio):
    making.lora(studio, "fox")
    assert found(studio)[1] == []


def test_where_nobody_could_see_a_file_manager_the_place_is_said(studio):
    path = making.lora(studio, "fox")
    if sys.platform in ("win32", "darwin"):
        pytest.skip("there is always one")
    with pytest.raises(UserError, match="fox.safetensors"):
        folder.show(path, {"PATH": "/usr/bin"})


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no xdg-open there")
def test_a_file_manager_is_given_the_folder_as_one_argument_whatever_it_is_called(tmp_path):
    opener, told = tmp_path / "xdg-open", tmp_path / "told"
    opener.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > "{told}.part"; mv "{told}.part" "{told}"\n')
    opener.chmod(0o755)
    odd = tmp_path / "a; touch gone $(x) 'b"
    odd.mkdir()
    folder.show(odd / "fox.safetensors", {"PATH": f"{tmp_path}:/usr/bin:/bin", "DISPLAY": ":0"})
    assert until(told.exists, 60)
    assert told.read_text() == f"1\n{odd}\n"
