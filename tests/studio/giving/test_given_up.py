"""What is being given away is given up: at once, and nothing of it is left."""

import sys

import pytest

from lora_gui import files
from lora_gui.formats import contract, edit
from lora_gui.studio.giving import civitai, exports, publish, share
from lora_gui.studio.tasks import process
from lora_gui.studio.things import loras
from tests.net.hub import SmallHub
from tests.studio.giving.test_share import TOLD


class GivenUpError(Exception):
    pass


def giving_up(after):
    """Said so often, and no more."""
    heard = []

    def say(words):
        heard.append(words)
        if len(heard) > after:
            raise GivenUpError

    return say


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_export_a_folder_and_a_zip_that_are_given_up_leave_nothing(studio, drawer, lora, tmp_path, after):
    edit.edit(lora.path, contract.fields_of(TOLD))
    lora, place = loras.describe(lora.path), tmp_path / "place"
    for way in (
        lambda say: exports.for_program(studio, drawer, lora, "diffusers", place, say),
        lambda say: share.share(studio, drawer, lora, (), 1.0, place / "fox", say),
        lambda say: civitai.pack(studio, drawer, lora, (), 1.0, place / "fox.zip", say),
    ):
        with pytest.raises(GivenUpError):
            way(giving_up(after))
        assert not drawer.waiting()  # what still draws may write into the folder that is removed
    assert not place.exists() or not list(place.iterdir())
    assert not list(studio.cache.glob(".test-drawings*"))


def test_an_upload_that_is_given_up_ends_with_its_child_and_publishes_nothing(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-m", "lora_gui.worker"))  # it reads what is set here
    begun, start = [], process.start
    monkeypatch.setattr(process, "start", lambda *a, **k: begun.append(start(*a, **k)) or begun[-1])
    folder = tmp_path / "fox"
    folder.mkdir()
    (folder / "README.md").write_text("# fox")
    sums = {"README.md": files.sha256(folder / "README.md")}
    what = publish.Shown(folder, "ada/fox", True, {"README.md": 5}, sums, "# fox")
    with SmallHub() as hub:
        hub.allow("hf_write", "ada")
        hub.fault("POST .*create", stall=60.0)
        for name, value in hub.environment().items():
            monkeypatch.setenv(name, value)

        def say(words):
            if words == "Uploading":
                raise GivenUpError

        with pytest.raises(GivenUpError):
            publish.publish(studio, what, say)
        assert begun[0].poll() is not None
        assert not hub.requests("POST .*commit")
