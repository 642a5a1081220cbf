"""`give` on the command line: where it puts what it makes."""

from argparse import Namespace

import pytest

from lora_gui.__main__ import main
from lora_gui.commands import give


@pytest.mark.parametrize(
    ("out", "suffix", "place"),
    [("there", "", "there/fox-2"), ("there", ".zip", "there/fox.zip"), ("new", "", "new"), ("new", ".zip", "new.zip"),
     ("new.zip", ".zip", "new.zip"), ("new.ZIP", ".zip", "new.ZIP"), ("v1.2", ".zip", "v1.2.zip")],
)  # fmt: skip
def test_a_folder_that_is_there_is_where_it_is_put_and_a_new_name_is_its_own(tmp_path, out, suffix, place):
    (tmp_path / "there" / "fox").mkdir(parents=True)
    assert give._place(Namespace(out=tmp_path / out), "fox", suffix) == tmp_path / place
    assert give._place(Namespace(out=None), "fox", suffix) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [("fox share --repo ada/fox --yes", "--repo, --yes says nothing to share"),
     ("fox --for comfyui --strength 0", "--strength says nothing to a program")],
)  # fmt: skip
def test_what_a_way_of_giving_does_not_heed_is_refused(line, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path))
    assert main(["give", *line.split()]) == 1
    assert said in capsys.readouterr().err
