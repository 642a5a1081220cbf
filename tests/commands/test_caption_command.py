"""`caption --from` a captioner, and `captioners`, on the command line."""

import json

import pytest
from PIL import Image

from lora_gui.__main__ import main
from lora_gui.studio.doctor import doctor
from tests import tiny_captioners
from tests.tiny_captioners import TEXTS


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return tiny_captioners.taught(tmp_path_factory.mktemp("taught"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "pictures"
    place.mkdir()
    for colour in TEXTS:
        Image.new("RGB", (80, 70), colour).save(place / f"{colour}.png")
    (place / "blue.txt").write_text("by hand")
    return place


def told(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_captioner_describes_a_folder_and_the_goal_shortens_it(folder, taught, capsys):
    order = ["caption", str(folder), "--trigger", "zxy_style", "--goal", "style", "--from", str(taught), "--json"]
    assert main([*order, "--write"]) == 0
    found = {one["file"]: one for one in told(capsys)["captions"]}
    assert found["red.png"]["said"] == TEXTS["red"]
    assert found["red.png"]["suggestion"] == "zxy_style, woman in garden"
    assert found["blue.png"]["suggestion"] == "zxy_style, red fox in snow"
    assert (folder / "red.txt").read_text() == "zxy_style, woman in garden"
    assert (folder / "blue.txt").read_text() == "by hand"


def test_pictures_that_cannot_be_used_are_said_and_the_others_described(folder, taught, capsys):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    assert main(["caption", str(folder), "--from", str(taught), "--json"]) == 0
    out = capsys.readouterr()
    found = {one["file"]: one["said"] for one in json.loads(out.out.splitlines()[-1])["captions"]}
    assert found["red.png"] == TEXTS["red"] and found["broken.png"] == "" and "broken.png" in out.err


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        ("blip", (), "BLIP is not on this computer"),
        ("blipp", (), "There is no captioner 'blipp'"),
        ("{folder}", (), "no captioner that is known"),
        ("{taught}", ("--general", "7"), "--general is 7"),
    ],
)
def test_what_cannot_be_is_a_sentence(folder, taught, capsys, source, more, words):
    assert main(["caption", str(folder), "--from", source.format(folder=folder, taught=taught), *more, "--json"]) == 1
    assert words in told(capsys)["error"]


def test_captioners_are_listed_with_their_sizes_and_licences(folder, taught, tmp_path, capsys):
    (tmp_path / "studio" / "captioners").mkdir(parents=True)
    (tmp_path / "studio" / "captioners" / "mine").symlink_to(taught)
    assert main(["captioners", "--json"]) == 0
    found = told(capsys)
    assert [(one["kind"], one["title"]) for one in found["here"]] == [("blip", "mine")]
    assert all(one["licence"] and one["size_gb"] for one in found["to_download"])
    assert main(["captioners"]) == 0 and "about 1 GB, BSD-3-Clause" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["../../../pictures", "../x", "nosuch", ""])
def test_a_download_of_nothing_known_is_not_given_up_but_refused(folder, tmp_path, capsys, key):
    studio = tmp_path / "studio"
    (studio / "downloads" / "captioner-..").mkdir(parents=True)
    (studio / "pictures" / "mine").mkdir(parents=True)
    assert main(["captioners", "download", key, "--cancel", "--json"]) == 1
    assert told(capsys)["error"] == f"There is no captioner {key!r}."
    assert (studio / "pictures" / "mine").is_dir() and (studio / "downloads" / "captioner-..").is_dir()
    assert main(["bases", "download", key or "x", "--cancel", "--json"]) == 1


def words(folder):
    """What an import would say of each picture."""
    return {one.file: one.caption for one in doctor.of_folder(folder)}


@pytest.fixture
def foxes(folder):
    for path in folder.iterdir():
        path.unlink()
    for name in ("red fox", "blue fox", "grey fox"):
        Image.new("RGB", (80, 70), name.split()[0]).save(folder / f"{name}.png")
    return folder


def test_captions_are_replaced_in_the_files_that_they_stand_in(foxes, capsys):
    (foxes / "red fox.caption").write_text("old")
    (foxes / "blue fox.tags").write_text("old, tags")
    (foxes / "grey fox.txt").write_text("old")
    (foxes / "grey fox.tags").write_text("tags of it")
    before = {path.name for path in foxes.iterdir()}
    assert main(["caption", str(foxes), "--write", "--replace", "--goal", "style"]) == 0
    assert {path.name for path in foxes.iterdir()} == before
    assert words(foxes) == {name: name.removesuffix(".png") for name in words(foxes)}
    assert (foxes / "red fox.caption").read_text() == "red fox"
    assert (foxes / "grey fox.tags").read_text() == "tags of it"


def test_captions_in_a_table_are_left_and_that_is_said(foxes, capsys):
    table = json.dumps({"file_name": "red fox.png", "text": "of the table"})
    (foxes / "metadata.jsonl").write_text(table)
    assert main(["caption", str(foxes), "--write", "--replace", "--goal", "style"]) == 0
    assert "1 have a caption in a table, or several that differ, and keep them." in capsys.readouterr().err
    assert words(foxes)["red fox.png"] == "of the table" and words(foxes)["grey fox.png"] == "grey fox"
    assert not (foxes / "red fox.txt").exists() and (foxes / "metadata.jsonl").read_text() == table


def test_captions_that_differ_are_replaced_only_where_that_is_asked_for(foxes, capsys):
    (foxes / "red fox.caption").write_text("one")
    (foxes / "red fox.txt").write_text("another")
    assert main(["caption", str(foxes), "--write", "--goal", "style"]) == 0
    assert (foxes / "red fox.txt").read_text() == "another" and "several that differ" in capsys.readouterr().err
    assert main(["caption", str(foxes), "--write", "--replace", "--goal", "style"]) == 0
    assert words(foxes)["red fox.png"] == "red fox"
