"""The zip for Civitai: drawings whose text it reads, a checklist, and nothing where rights are not known."""

import io
import re
import zipfile

import pytest
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui.errors import UserError
from lora_gui.formats import contract, edit
from lora_gui.studio.giving import civitai
from lora_gui.studio.things import loras
from tests.studio.giving.conftest import CAPTION, HOME
from tests.studio.giving.test_share import TOLD, drawing


def test_rights_that_are_not_known_hold_it_back_and_nothing_is_made(
    studio, drawer, lora, tmp_path, monkeypatch, capsys
):
    edit.edit(lora.path, dict.fromkeys((contract.RIGHTS, contract.CONSENT)))
    with pytest.raises(UserError, match="Nobody has said yet whose the pictures are"):
        civitai.pack(studio, drawer, lora, (), 1.0, tmp_path / "fox.zip", [].append)
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))
    assert cli.main(["give", "fox", "civitai", "--out", str(tmp_path / "fox.zip")]) == 1
    assert "whose the pictures are" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_zip_holds_the_file_drawings_that_name_it_by_its_own_hash_and_a_checklist(studio, drawer, lora, tmp_path):
    edit.edit(lora.path, contract.fields_of(TOLD))
    lora = loras.describe(lora.path)
    own = edit.metadata(lora.path)["sshs_model_hash"]
    chosen = drawing(tmp_path / "a.png", "zxy, a fox", own)
    made = civitai.pack(studio, drawer, lora, [chosen], 0.8, tmp_path / "fox.zip", [].append)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "fox.zip"}
    with zipfile.ZipFile(made.file) as archive:
        assert archive.testzip() is None
        held = {name: archive.read(name) for name in archive.namelist()}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert set(held) == {"fox.safetensors", "images/1.png", "CHECKLIST.txt", "DESCRIPTION.md"} == set(made.files)
    (tmp_path / "fox.safetensors").write_bytes(held["fox.safetensors"])
    given = edit.metadata(tmp_path / "fox.safetensors")["sshs_model_hash"]
    text = Image.open(io.BytesIO(held["images/1.png"])).info["parameters"]
    tag = re.search(r"<lora:(\w+):([\d.]+)>", text)
    assert tag and tag.groups() == ("fox", "0.8") and text.startswith("zxy, a fox")
    assert f"fox: {given[:12]}" in text
    listed = held["CHECKLIST.txt"].decode()
    for line in ("[x] The pictures: 3 my own, 1 under a licence", "[ ] It shows no real person.", "Trigger words: zxy",
                 "[x] Nobody can be recognised", "[x] The copy draws the same test drawing"):  # fmt: skip
        assert line in listed, line
    everything = b"".join(held.values())
    assert CAPTION.encode() not in everything and HOME.encode() not in everything
    assert held["DESCRIPTION.md"].startswith(b"# fox") and b"base_model" not in held["DESCRIPTION.md"]
