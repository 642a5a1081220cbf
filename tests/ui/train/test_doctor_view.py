"""What is said under the pictures follows what they are for."""

import time
from types import SimpleNamespace

from PIL import Image

from lora_gui.studio.things import pictures
from lora_gui.ui.train.doctor_view import DoctorView
from tests import making


def edited(page, **changes):
    return page.setup._edited(SimpleNamespace(changes=changes), page.shown)


def said(page, view: DoctorView) -> str:
    """What the line says in the end, as a page that looks again and again gets it."""
    for _ in range(2400):
        line = "".join(str(view._look({}).get(one, "")) for one in (view.line, view._rest))
        if line and "Looking at the pictures" not in line:
            return line
        time.sleep(0.05)
    raise AssertionError("it never ended")


def test_an_edit_tells_the_page_whether_a_judgement_hangs_on_it(page):
    view = page.setup._pictures.doctor
    first = edited(page, trigger="zxy_a")[view._hangs]
    assert edited(page, name="foxes")[view._hangs] == first
    different = {first}
    for change in ({"trigger": "zxy_b"}, {"preset": "character"}, {"resolution": 256}, {"base": "starter"}):
        now = edited(page, **change)[view._hangs]
        assert now not in different
        different.add(now)


def test_another_trigger_word_is_judged_and_a_sign_for_it_counts(page):
    view, folder = page.setup._pictures.doctor, page.home / "uploads"
    view._wanted = page.setup._to_judge  # as the tab connects it
    folder.mkdir()
    Image.new("RGBA", (96, 96), (255, 255, 255, 0)).save(folder / "one.png")
    (folder / "one.txt").write_text("zxy_a fox")
    edited(page, trigger="zxy_a", ground="#204060")
    names = ["one.png", "one.txt"]
    paths = [str(folder / name) for name in names]
    page.setup._pictures._uploaded(SimpleNamespace(paths=paths, names=names, skipped=[], failed=[]))
    (picture,) = page.pictures()
    with Image.open(picture.path) as copy:
        assert copy.getpixel((0, 0)) == (0x20, 0x40, 0x60)
    assert "is put before" not in said(page, view)
    edited(page, trigger="zxy_b")
    assert "zxy_b is put before each caption." in said(page, view)
    making.captioned(pictures.load(picture.path.parent), ["[trigger] fox"])
    assert "is put before" not in said(page, view)
    edited(page, trigger="zxy_c")
    told = view._look({"mark": "older", "set": picture.path.parent.name})
    assert "Looking at the pictures" in told[view.line] and view._rest not in told, "what stands under it jumps not"
    assert said(page, view)
