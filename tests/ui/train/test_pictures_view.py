"""The question which pictures, asked as the page asks it."""

import threading
import time
from types import SimpleNamespace

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.things import pictures, set_changes


def upload(page, *names):
    folder = page.home / "uploads"
    folder.mkdir(exist_ok=True)
    for name in names:
        if name.endswith("jpg"):
            Image.new("RGB", (96, 96), "orange").save(folder / name)
        else:
            (folder / name).write_text("not a picture at all")
    event = SimpleNamespace(paths=[str(folder / name) for name in names], names=names, skipped=[], failed=[])
    return page.setup._pictures._uploaded(event)


def test_pictures_come_in_and_what_is_none_is_named(page):
    changes = upload(page, "one.jpg", "notes.png")
    assert "notes.png is a text file" in changes[page.setup._pictures._remarks]
    assert [picture.label for picture in page.pictures()] == ["one.jpg"]
    shown = page.take(page.setup._look({}))
    assert page.shown["folder"] and "1 picture," in shown["plan"]
    assert page.changes[page.setup._pictures._chosen]["visible"] is True


def test_pictures_that_come_while_others_are_looked_at_join_them(page, monkeypatch):
    taken, begun = pictures.import_pictures, threading.Event()

    def slowly(*given):
        begun.set()
        time.sleep(0.3)
        return taken(*given)

    monkeypatch.setattr(pictures, "import_pictures", slowly)
    others = threading.Thread(target=upload, args=(page, "one.jpg", "two.jpg"))
    others.start()
    assert begun.wait(60)
    upload(page, "three.jpg")
    others.join()
    assert [picture.label for picture in page.pictures()] == ["one.jpg", "two.jpg", "three.jpg"]


def test_what_was_not_used_is_said_in_one_sentence_that_unfolds(page):
    folder = page.home / "uploads"
    paths = [folder / f"{n}" / "_" for n in range(4)]
    for path in paths:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (96, 96), "orange").save(path, "PNG")
    paths[1].write_text("a fox")
    names = ["set/a/1.png", "set/a/1.txt", "set/b/1.png", "set/masks/1.png"]
    event = SimpleNamespace(
        paths=[str(path) for path in paths], names=names, skipped=["set/.DS_Store"], failed=["x.png"]
    )
    said = page.setup._pictures._uploaded(event)[page.setup._pictures._remarks]
    assert "Not used: 1 mask, 1 hidden file or folder." in said
    assert "masks/1.png: masks are never learnt as pictures" in said and "x.png could not be copied" in said
    assert [picture.caption for picture in page.pictures()] == ["a fox", ""]


def test_a_file_that_is_none_of_the_uploads_is_not_taken(page):
    outside = page.home / "secret.jpg"
    Image.new("RGB", (96, 96)).save(outside)
    with pytest.raises(UserError, match="There are no pictures"):
        page.setup._pictures._uploaded(
            SimpleNamespace(paths=[str(outside), 7, None], names=["a", 7, None], skipped=[], failed=[])
        )


def test_an_upload_that_failed_is_a_sentence(page):
    with pytest.raises(UserError, match=r"big\.png could not be copied"):
        page.setup._pictures._uploaded(SimpleNamespace(paths=[], names=[], skipped=[], failed=["big.png"]))


def test_a_caption_is_kept_in_the_set_it_was_typed_for_and_nowhere_else_and_none_overtakes(page, monkeypatch):
    upload(page, "one.jpg", "two.jpg")
    first = page.context.drafts.train.value.folder
    page.setup._pictures._none(None)
    upload(page, "three.jpg")
    evil = "an orange ${1+1} {{value}} <b>square</b>"
    desk = page.setup._pictures.desk
    desk.answered(SimpleNamespace(act="caption", set=first, n=2, words=evil))
    assert [one.caption for one in pictures.load(page.studio.pictures / first).pictures] == ["", evil]
    assert [one.caption for one in page.pictures()] == [""]
    refused = desk.answered(SimpleNamespace(act="caption", set=first, n=9, words="x"))
    assert "not in this set any more" in refused["problem"]
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    for words, at in (("a fox", 900_000), ("a", 800_000)):  # the second comes late
        desk.answered(SimpleNamespace(act="caption", set=first, n=1, words=words, at=at))
    assert pictures.load(page.studio.pictures / first).pictures[0].caption == "a fox"
    monkeypatch.setattr(time, "time", lambda: 500.0)  # the clock was set back
    desk.answered(SimpleNamespace(act="caption", set=first, n=1, words="an owl", at=499_000))
    assert pictures.load(page.studio.pictures / first).pictures[0].caption == "an owl"


def test_the_example_pictures_come_whole_and_nothing_is_said_of_what_lies_beside_them(page):
    page.examples()
    found = pictures.load(page.studio.pictures / page.context.drafts.train.value.folder)
    assert found.title == "style" and found.left == () and all(one.caption for one in found.pictures)
    assert len(found.pictures) == len([*pictures.examples()["style"].glob("*.png")])


def test_choose_others_brings_the_drop_zone_back_and_the_pictures_can_be_taken_back(page):
    page.examples()
    view, folder, many = page.setup._pictures, page.context.drafts.train.value.folder, len(page.pictures())
    kept = view._none(None)[view._kept]
    assert f"Your {many} pictures and their captions are kept under Runs." in kept and f'data-set="{folder}"' in kept
    page.take(page.setup._look({}))
    assert page.shown["folder"] == "" and page.context.drafts.train.value.folder == ""
    changes = view.show(None)
    assert not changes[view._chosen]["visible"] and changes[view.doctor.line] == changes[view.doctor._rest] == ""
    view._taken_back(SimpleNamespace(set=folder))
    page.take(page.setup._look(page.shown))
    assert page.shown["folder"] == folder and page.changes[view._kept] == ""
    with pytest.raises(UserError, match="not in your studio any more"):
        view._taken_back(SimpleNamespace(set="../gone"))


def test_a_set_that_was_deleted_meanwhile_leaves_an_empty_question(page):
    page.examples()
    pictures.delete_set(page.studio, page.studio.pictures / page.context.drafts.train.value.folder)
    page.take(page.setup._look({}))
    assert page.shown["folder"] == "" and page.pictures() == ()


def test_many_captions_are_changed_as_they_were_accepted_and_a_list_of_other_pictures_changes_nothing(page):
    view, many = page.setup._pictures, page.setup._pictures._many
    upload(page, "one.jpg", "one.txt", "two.jpg", "two.txt")
    folder = page.context.drafts.train.value.folder
    shown = view._changed(SimpleNamespace(act="show", way="find", one="picture", other="<b>drawing</b>"))
    assert "2 captions would change" in shown[many.list] and "&lt;b&gt;drawing" in shown[many.list]
    assert {one.caption for one in page.pictures()} == {"not a picture at all"}
    row = ["0001.png", "one.jpg", "not a picture at all", "a fox"]
    accepted = SimpleNamespace(act="accept", set=folder, rows=[row], left=1)
    changes = view._changed(accepted)
    assert "a fox" in changes[view.desk.board] and many.list not in changes
    rejected = SimpleNamespace(act="reject", set=folder, rows=[row], left=0)
    assert view._changed(rejected) == {many.list: ""}, "or it stood there again once the page is drawn anew"
    assert [one.caption for one in page.pictures()] == ["a fox", "not a picture at all"]
    for wrong, says in (
        (accepted, "changed meanwhile"),
        (SimpleNamespace(act="accept", set="another", rows=[row], left=1), "not in the window any more"),
        (SimpleNamespace(act="show", way="find", one=" ", other=""), "nothing to change"),
    ):
        with pytest.raises(UserError, match=says):
            view._changed(wrong)
    assert set_changes.history(page.studio.pictures / folder)[-1].says == "1 caption was changed."
    none = view._changed(SimpleNamespace(act="show", way="goal", one="", other=""))
    assert "would change" in none[many.list]
