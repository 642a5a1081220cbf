"""Captions as other trainers leave them: each with its picture, and what is not certain is said."""

import json
import os
import unicodedata

import pytest
from PIL import Image

from lora_gui.studio.paths import Studio
from lora_gui.studio.things.pictures import import_pictures, load
from lora_gui.studio.things.report import CAPTION, details
from tests.studio.things.folders import KINDS, brought, filled_with, paired


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.mark.parametrize(
    "name", ["a.txt", "a.TXT", "A.txt", "a.png.txt", "a.caption", "a.PNG.Caption", "captions/a.txt", "txt/a.txt",
             "Text/a.png.txt", "a.tags", "captions/a.caption"],
)  # fmt: skip
def test_a_caption_file_of_the_pictures_name_is_its_caption(tmp_path, name, tell):
    tell(KINDS, 1)
    assert paired(tmp_path, [("a.png", None), (name, "a fox")])[0] == {"a.png": "a fox"}


@pytest.mark.parametrize(
    "said",
    [
        {"caption": "a fox"}, {"text": "a fox"}, {"prompt": "a fox"}, {"Caption": " a fox\n"}, {"tags": "a fox"},
        {"caption": "a fox", "tags": ["fox", "red"]}, {"caption": ["a fox"]}, {"text": "a fox", "width": 8},
        {"tags": {"a fox": 0.9}}, {"tags": {"general": ["a fox"], "artist": []}, "description": ""},
        {"tags": {"general": {"a fox": 0.9}}}, {"tags": {"general": "a fox"}},
    ],
)  # fmt: skip
def test_a_json_file_beside_a_picture_is_read(tmp_path, said, tell):
    tell(KINDS, 1)
    assert paired(tmp_path, [("a.png", None), ("a.json", json.dumps(said))])[0] == {"a.png": "a fox"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "a.png", "text": "a fox, red"}\n\n{"file": "b/b.png", "text": "a bear"}'),
        ("metadata.csv", 'file_name,text\na.png,"a fox, red"\nb/b.png,a bear\n'),
        ("metadata.csv", "\ufefffile_name;text\r\na.png;a fox, red\r\nb\\b.png;a bear\r\n"),
        ("METADATA.CSV", "image\tcaption\na.png\ta fox, red\nb.png\ta bear\n"),
        ("captions.csv", 'a.png,"a fox, red"\nb.png,a bear\n'),
        ("list.json", '[{"image": "a.png", "caption": "a fox, red"}, {"image": "b.png", "caption": "a bear"}]'),
        ("meta_lat.json", '{"/d/a": {"caption": "a fox, red", "tags": 1}, "C:\\\\b\\\\b.png": {"tags": "a bear"}}'),
        ("coco.json", json.dumps({
            "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
            "annotations": [{"image_id": 1, "caption": "a fox, red"}, {"image_id": 2, "caption": "a bear"}],
        })),
        ("captions.txt", "a.png: a fox, red\nb/b.png\ta bear\nmore words\n"),
        ("captions.tsv", "a.png\ta fox, red\nb/b.png\ta bear\n"), ("captions.tsv", "a\ta fox, red\nb/b\ta bear\n"),
        ("metadata.csv", "a.png;a fox, red\nb.png;a bear\n"), ("metadata.csv", "a.png|a fox, red\nb.png|a bear\n"),
        ("metadata.jsonl", '{"file_name": "a.JPG", "text": "a fox, red"}\n{"file": "/d/b/b.webp", "text": "a bear"}'),
        ("metadata.jsonl", json.dumps({"file_name": "a.png", "tags": {"general": ["a fox"], "species": ["red"]}})
         + '\n{"file_name": "b.png", "tags": {"a bear": 0.8}}'),
        ("captions.json", '{"A.PNG": "a fox, red", "b.png": "a bear"}'),
        ("metadata.csv", "file_name,text\na.png,a fox, red\nb.png,a bear,\n"),  # as people write it, without quotes
        ("metadata.csv", "text,file_name\na fox, red,a.png\na bear,b.png\n"),
        ("metadata.csv", 'file_name, text\na.png, "a fox, red"\nb.png, a bear\n'),
        ("metadata.csv", "sep=;\r\ntext;seen;file_name\r\na fox, red;1;a.png\r\na bear;2;b.png\r\n"),  # Excel
    ],
)  # fmt: skip
def test_a_table_of_captions_is_read(tmp_path, name, text, tell):
    tell(KINDS, 1)
    captions, left = paired(tmp_path, [("a.png", None), ("b/b.png", None), (name, text)])
    assert captions == {"a.png": "a fox, red", "b.png": "a bear"} and not left


def test_a_table_in_utf_16_is_read_and_rows_without_a_picture_are_named(studio, tmp_path):
    table = "file_name,text\na.png,ein Füchslein\nc.png,nobody\n".encode("utf-16")
    captions, made = brought(studio, tmp_path, [("a.png", None), ("metadata.csv", table)])
    assert captions == {"a.png": "ein Füchslein"}
    assert [one.file for one in made.left] == ["metadata.csv (c.png)"] and "Not used: 1 caption." in made.sentence


def test_a_row_for_another_folder_is_no_caption_of_a_picture_that_has_its_own(tmp_path):
    rows = '{"file_name": "sub/a.png", "text": "another"}\n{"file_name": "a.png", "text": "its own"}'
    assert paired(tmp_path, [("a.png", None), ("metadata.jsonl", rows)])[0] == {"a.png": "its own"}
    rows = '{"file_name": "y/1.png", "text": "another"}'
    assert paired(tmp_path / "2", [("x/1.png", None), ("metadata.jsonl", rows)])[0] == {"1.png": ""}


@pytest.mark.parametrize(
    "files",
    [
        {"a.txt": "one", "a.caption": "two"}, {"a.txt": "one", "a.png.txt": "two"},
        {"a.txt": "one", "txt/a.txt": "two"},
        {"a.txt": "one", "a.json": '{"caption": "two"}'}, {"a.json": '{"caption": "one", "prompt": "two"}'},
        {"metadata.jsonl": '{"file": "a.png", "text": "one"}\n{"file": "A.png", "text": "two"}', "a.txt": "three"},
        {"metadata.csv": "file_name,text,prompt\na.png,one,two\na.png,one,three\n"},
    ],
)  # fmt: skip
def test_of_two_captions_none_is_guessed_and_both_are_named(tmp_path, files, tell):
    tell(KINDS, 1)
    captions, left = paired(tmp_path, [("a.png", None), *files.items()])
    assert captions == {"a.png": ""} and all(one.kind == CAPTION for one in left)
    (said,) = (note for note in details(left) if "different captions" in note)
    assert said.startswith("a.png ") and all(name in said for name in files)


@pytest.mark.parametrize(
    "name, text",
    [
        ("coco.json", json.dumps({
            "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
            "annotations": [{"image_id": one, "caption": text} for one, text in ((1, "one"), (2, "b"), (1, "two"))],
        })),
        ("metadata.jsonl", '{"file": "a.png", "text": "one"}\n{"file": "a.png", "text": "two"}'),
        ("metadata.jsonl", '{"file": "a.png", "text": ["one", "two", "one"], "tags": "red"}'),
        ("captions.csv", "image,caption\na.png,one\na.png,two\na.png,one\n"),
        ("captions.txt", "a.png#0\tone\na.png#1\ttwo\n"), ("captions.tsv", "a.png#0\tone\na.png#1\ttwo\n"),
        ("captions.txt", "image,caption\na.png,one\na.png,two\n"), ("list.json", '{"a.png": ["one", "two"]}'),
    ],
)  # fmt: skip
def test_several_captions_of_a_picture_in_one_table_are_lines_of_its_caption(studio, tmp_path, name, text):
    captions, made = brought(studio, tmp_path, [("a.png", None), ("b.png", None), (name, text)])
    assert captions["a.png"] == "one two" and made.pictures[0].lines == ("one", "two") and not made.left
    (said,) = made.remarks
    assert said.startswith(f"{name} has several captions of 1 picture. They are learnt as one, or in turn where")


def test_pictures_that_were_converted_since_keep_the_captions_of_their_names(tmp_path):
    files = {"a.png": None, "a.jpg.txt": "a fox", "b.png": None, "b.jpg.json": '{"tags": ["a bear"]}'}
    assert paired(tmp_path, files.items()) == ({"a.png": "a fox", "b.png": "a bear"}, [])
    rows = '{"file": "/d/a.jpg", "text": "another"}\n{"file": "/d/a.png", "text": "its own"}'
    captions, left = paired(tmp_path / "2", [("a.png", None), ("metadata.jsonl", rows)])
    assert captions == {"a.png": "its own"} and not left
    rows = rows.replace("/d/", "")
    captions, left = paired(tmp_path / "3", [("a.png", None), ("metadata.jsonl", rows)])
    assert captions == {"a.png": "its own"} and [one.file for one in left] == ["metadata.jsonl (a.jpg)"]
    files = {"a.png": None, "a.png.txt": "its own", "a.jpg.txt": "another"}
    captions, left = paired(tmp_path / "4", files.items())
    assert captions == {"a.png": "its own"} and [one.file for one in left] == ["a.jpg.txt"]


def test_of_pictures_of_one_name_a_row_means_the_one_whose_folders_agree_furthest(studio, tmp_path):
    rows = {f"/content/data/{name}": {"caption": name} for name in ("a.png", "sub/a.png", "more/sub/a.png")}
    files = [*((name.removeprefix("/content/data/"), None) for name in rows), ("meta_cap.json", json.dumps(rows))]
    filled_with(tmp_path / "in", files)
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert [one.caption for one in made.pictures] == ["a.png", "more/sub/a.png", "sub/a.png"] and not made.left


def test_two_captions_that_say_the_same_or_of_which_one_is_empty_are_one(studio, tmp_path):
    files = {"a.png": None, "a.txt": "a fox", "a.caption": " a fox", "b.png": None, "b.txt": "", "b.caption": "a bear"}
    captions, made = brought(studio, tmp_path, files.items())
    assert captions == {"a.png": "a fox", "b.png": "a bear"} and made.notes == ("2 pictures, 2 with captions.",)


def test_tags_of_danbooru_which_only_spaces_part_are_tags_apart(tmp_path):
    told = json.dumps({"id": 7, "tag_string": "1girl blue_hair  solo", "tag_string_artist": "somebody"})
    assert paired(tmp_path, [("a.png", None), ("a.json", told)])[0] == {"a.png": "1girl, blue_hair, solo"}


def test_tags_give_way_to_a_sentence(tmp_path):
    files = {"a.png": None, "a.txt": "a fox", "a.tags": "fox, red"}
    captions, left = paired(tmp_path, files.items())
    assert captions == {"a.png": "a fox"} and [one.file for one in left] == ["a.tags"]


def test_pictures_that_differ_in_case_or_suffix_keep_each_its_caption(studio, tmp_path):
    files = {"A.png": None, "a.png": None, "a.txt": "small", "b.png": None, "b.jpg": None, "b.png.txt": "one",
             "b.txt": "other", "c.png": None, "c.webp": None, "c.txt": "both"}  # fmt: skip
    captions, made = brought(studio, tmp_path, files.items())
    wanted = {"A.png": "", "a.png": "small", "b.png": "one", "b.jpg": "other", "c.png": "both", "c.webp": "both"}
    assert captions == wanted and made.remarks == ("c.txt is the caption of c.png and c.webp.",)


def test_a_name_in_another_unicode_form_is_the_same_name(tmp_path):
    files = [
        (unicodedata.normalize("NFD", "Fähre é.png"), None),
        (unicodedata.normalize("NFC", "fähre É.txt"), "a ferry"),
    ]
    assert list(paired(tmp_path, files)[0].values()) == ["a ferry"]


def test_the_same_name_in_two_folders_keeps_each_its_caption(studio, tmp_path):
    files = [
        ("x/1.png", None),
        ("x/1.txt", "red"),
        ("y/1.png", None),
        ("captions/y/1.txt", "blue"),
        ("z/1.txt", "lost"),
    ]
    filled_with(tmp_path / "in", files)
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert [one.caption for one in made.pictures] == ["red", "blue"]
    assert [(one.file, one.kind) for one in made.left] == [("z/1.txt", CAPTION)]
    made, _ = import_pictures(Studio(tmp_path / "another"), [tmp_path / "in" / "x", tmp_path / "in" / "y"])
    assert [one.caption for one in made.pictures] == ["red", ""]


def test_a_caption_whose_picture_is_damaged_is_told_and_a_text_of_another_suffix_gets_advice(studio, tmp_path):
    files = [("a.png", None), ("b.png", b"\x89PNG\r\n\x1a\n\0"), ("b.txt", "a bear"), ("a.wd14", "fox, red")]
    filled_with(tmp_path / "in", files)
    made, refused = import_pictures(studio, [tmp_path / "in"])
    assert "Captions whose picture is not used: b.txt." in made.notes
    assert made.sentence.endswith("Not used: 2 files that cannot be used, 1 caption.")
    assert refused[0].endswith("If it holds a caption, call it a.txt.") and "b.png" in refused[1]


@pytest.mark.parametrize("name", ["a.json", "metadata.jsonl", "metadata.csv", "captions.json", "a.txt"])
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b'{"a.png": {"a.png": {}}}', b"\0\1\2" * 100, b"null", b'"', b'{"caption": 5}',
     b'[{"file_name": 5, "text": "x"}]', b'x,"y\nz' * 50, b"\xff\xfe\xff", b"1e999"],
    ids=range(12),
)  # fmt: skip
def test_a_strange_caption_file_costs_nobody_anything(tmp_path, name, content, tell):
    tell(KINDS, 1)
    captions, _ = paired(tmp_path, [("a.png", None), (name, content)])
    assert list(captions) == ["a.png"]


@pytest.mark.parametrize("name", ["captions.json", "metadata.jsonl"])
@pytest.mark.parametrize(
    "text",
    ['{"file_name": "a.png", "text": "a fox"},\n{"file_name": "b.png", "text": "a cat"},\n',
     '[{"file_name": "a.png", "text": "a fox"},\n {"file_name": "b.png", "text": "a cat"}]'],
    ids=["lines", "list"],
)  # fmt: skip
def test_json_and_json_lines_are_read_by_what_they_are_and_not_by_what_they_are_called(tmp_path, name, text):
    said, left = paired(tmp_path, [("a.png", None), ("b.png", None), (name, text)])
    assert said == {"a.png": "a fox", "b.png": "a cat"} and not left


def test_captions_in_json_that_is_not_whole_are_said(tmp_path):
    files = [("a.png", None), ("captions.json", '{"a.png": "a fox",}'), ("metadata.jsonl", '{"file_name": "a.png"')]
    said, left = paired(tmp_path, files)
    assert said == {"a.png": ""} and ["no whole JSON" in one.reason for one in left] == [True, True]


def test_caption_tables_of_any_size_cost_no_memory(studio, tmp_path):
    filled_with(tmp_path / "in", [("a.png", None)])
    for name in ("metadata.jsonl", "metadata.csv", "a.json", "a.txt"):
        (tmp_path / "in" / name).touch()
        os.truncate(tmp_path / "in" / name, 3 << 30)
    made, _ = import_pictures(studio, [tmp_path / "in"])
    assert len(made.left) == 4 and all(one.kind == CAPTION for one in made.left)


def test_lines_of_a_caption_file_are_one_caption_and_stay_lines_for_those_who_learn_each(tmp_path):
    inbox, studio = tmp_path / "in", Studio(tmp_path / "studio")
    inbox.mkdir()
    Image.new("RGB", (96, 80)).save(inbox / "a.png")
    (inbox / "a.txt").write_text("red hat, smile\r\n\n  a woman  in a garden \n")
    made, _ = import_pictures(studio, [inbox])
    (one,) = load(made.folder).pictures
    assert one.caption == "red hat, smile a woman in a garden"
    assert one.lines == ("red hat, smile", "a woman in a garden")


def test_of_a_text_that_says_how_its_picture_was_drawn_the_prompt_is_the_caption(studio, tmp_path):
    """A1111 writes one beside each drawing; its negative prompt and settings would be learnt."""
    told = "a fox <lora:ink:0.8>\nNegative prompt: a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 8x8"
    files = [("a.png", None), ("a.txt", told), ("b.png", None), ("b.txt", "Steps: 20, of stone")]
    said, made = brought(studio, tmp_path, files)
    assert said == {"a.png": "a fox", "b.png": "Steps: 20, of stone"}
    assert any("the prompt is the caption: 1." in note for note in made.notes)
