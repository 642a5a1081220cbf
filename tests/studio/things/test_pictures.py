"""Pictures come in: every kind that people have, and everything that only looks like one."""

import io
import json
import os
import struct
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.protocol.task_folder import Reached, TaskFolder
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import picture_decode
from lora_gui.studio.things import picture_index, pictures
from lora_gui.studio.things.pictures import (
    delete_set,
    examples,
    import_pictures,
    load,
    picture_sets,
    sets,
)

HEIC = Path(__file__).parents[2] / "data" / "heic"
KINDS = "Pictures as people have them: as they look, or refused in a sentence"


def decode(path, ground=picture_decode.GROUND):
    return picture_decode.opened(path, ground)[:2]


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in box"
    folder.mkdir()
    return folder


def gradient(size=(80, 64)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0])
    return Image.fromarray(np.stack([ramp, ramp[::-1], np.full_like(ramp, 90)], axis=-1).astype(np.uint8))


def saved(path, image=None, **options):
    (image or gradient()).save(path, **options)
    return path


def mean(image: Image.Image) -> list[float]:
    return np.asarray(image, dtype=float).mean(axis=(0, 1)).round(1).tolist()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp", "tiff", "avif"])
def test_every_usual_format_is_read(inbox, kind, tell):
    tell(KINDS, 1)
    image, _ = decode(saved(inbox / f"a.{kind}", quality=95))
    assert image.mode == "RGB" and image.size == (80, 64)
    assert np.abs(np.array(mean(image)) - mean(gradient())).max() < 4


@pytest.mark.parametrize("name", ["plain", "transparent"])
def test_pictures_of_a_telephone_in_heic_are_read_and_composited_on_a_ground(name, tell):
    """The files were made once of the same gradient: what writes them has a licence that this app has not."""
    tell(KINDS, 1)
    image, notes = decode(HEIC / f"{name}.heic", "#204060")
    assert image.mode == "RGB" and image.size == (80, 64)
    whole = image.crop((0, 36, 80, 64))
    assert np.abs(np.array(mean(whole)) - mean(gradient().crop((0, 36, 80, 64)))).max() < 4
    if name == "transparent":
        assert np.abs(np.array(mean(image.crop((0, 0, 80, 28)))) - (0x20, 0x40, 0x60)).max() < 4
        assert notes == ["transparent.heic is transparent in places; there it is learnt as #204060."]


def test_the_suffix_does_not_matter(inbox, tell):
    tell(KINDS, 1)
    saved(inbox / "a.png").rename(inbox / "a.jpg.txt.exe")
    assert decode(inbox / "a.jpg.txt.exe")[0].size == (80, 64)


def test_sixteen_bits_of_grey_keep_their_tones(inbox, tell):
    tell(KINDS, 2)
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    for name, image in (
        ("a.png", Image.fromarray(ramp.astype(np.uint16))),
        ("a.tiff", Image.fromarray(ramp.astype(np.int32))),
    ):
        assert abs(mean(decode(saved(inbox / name, image))[0])[0] - 127.5) < 0.6


def test_a_tiff_of_floats_is_scaled_by_its_own_range(inbox, tell):
    tell(KINDS, 1)
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    image, _ = decode(saved(inbox / "a.tiff", Image.fromarray(ramp)))
    assert abs(mean(image)[0] - 127.5) < 0.6 and image.getextrema()[0] == (0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white_and_is_told(inbox, mode, tell):
    tell(KINDS, 1)
    image = gradient((64, 64)).convert(mode)
    image.putalpha(Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 32, 0).repeat(64, 1)))
    opened, notes = decode(saved(inbox / "a.png", image))
    assert mean(opened.crop((0, 0, 64, 32))) == [255, 255, 255]
    assert mean(opened.crop((0, 32, 64, 64))) == mean(image.convert("RGB").crop((0, 32, 64, 64)))
    assert notes == ["a.png is transparent in places; there it is learnt as white."]


def test_what_is_transparent_all_over_is_said_to_be_so(inbox, tell):
    tell(KINDS, 1)
    opened, notes = decode(saved(inbox / "a.png", Image.new("RGBA", (80, 64), (255, 0, 0, 0))))
    assert opened.getcolors() == [(80 * 64, (255, 255, 255))]
    assert notes == ["a.png is transparent all over: nothing but white is learnt of it. Take it out again."]


def test_a_palette_with_transparency_becomes_white_there(inbox, tell):
    tell(KINDS, 1)
    image = gradient((64, 64)).convert("RGB").quantize(8)
    image.info["transparency"] = image.getpixel((0, 0))
    opened, notes = decode(saved(inbox / "a.png", image, transparency=image.getpixel((0, 0))))
    assert opened.getpixel((0, 0)) == (255, 255, 255) and notes


def test_a_set_is_composited_on_the_colour_that_was_chosen_and_a_wrong_one_is_a_sentence(studio, inbox):
    saved(inbox / "a.png", Image.new("RGBA", (80, 64), (255, 0, 0, 0)))
    made, _ = import_pictures(studio, [inbox], ground="#204060")
    with Image.open(made.pictures[0].path) as picture:
        assert picture.getpixel((0, 0)) == (0x20, 0x40, 0x60)
    with pytest.raises(UserError, match="'mauvish' is no colour"):
        import_pictures(studio, [inbox], ground="mauvish")


def test_one_bit_and_cmyk_are_read(inbox, tell):
    tell(KINDS, 2)
    assert decode(saved(inbox / "a.png", gradient().convert("1")))[0].mode == "RGB"
    plain, _ = decode(saved(inbox / "a.tiff", gradient().convert("CMYK")))
    assert np.abs(np.array(mean(plain)) - mean(gradient())).max() < 1


def test_a_colour_profile_is_turned_into_plain_colours_and_a_damaged_one_is_told(inbox, tell):
    tell(KINDS, 2)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kept, notes = decode(saved(inbox / "a.png", icc_profile=lab))
    assert np.abs(np.asarray(kept, int) - np.asarray(gradient(), int)).max() <= 2 and not notes and not kept.info
    _, notes = decode(saved(inbox / "b.tiff", gradient().convert("CMYK"), icc_profile=b"not a profile" * 20))
    assert notes == ["The colour profile of b.tiff is damaged, so its colours may differ a little."]


def test_of_a_moving_picture_the_first_frame_is_used_and_told(inbox, tell):
    tell(KINDS, 1)
    path = saved(inbox / "a.gif", save_all=True, append_images=[Image.new("RGB", (80, 64), c) for c in ("red", "blue")])
    image, notes = decode(path)
    assert abs(mean(image)[2] - 90) < 8
    assert notes == ["a.gif holds 3 pictures; only the first is used."]


def test_the_place_where_it_was_taken_does_not_come_in(studio, inbox):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "a camera"
    saved(inbox / "a.jpg", exif=exif)
    made, _ = import_pictures(studio, [inbox])
    assert made.remarks == ("a.jpg says where it was taken; the copy in your studio does not.",)
    with Image.open(made.pictures[0].path) as copy:
        assert not copy.getexif() and not copy.info


def png_header(width, height) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
        + chunk(b"IEND", b"")
    )


def jpeg() -> bytes:
    buffer = io.BytesIO()
    gradient((400, 300)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "a.png is empty."),
        (b"just some words", "a.png is a text file, not a picture."),
        ("Grüße".encode("cp1252"), "a.png is a text file, not a picture."),
        (jpeg()[: len(jpeg()) // 2], "a.png is damaged or only half there."),
        (jpeg()[:30], "a.png is damaged or only half there."),
        (b"PK\x03\x04" + b"\0" * 60, "a.png is not a picture but a zip archive."),
        (b"\xff\x0a" + b"\0" * 60, "a.png is in the format JPEG XL, which this app does not read."),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a.png is in the format JPEG XL, which this app does not read."),
        (b"%PDF-1.7\n\0", "a.png is not a picture but a PDF."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "a.png is not a picture but a PostScript drawing."),
        (b"8BPS\0\1" + b"\0" * 40, "a.png is not a picture but a Photoshop file."),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a.png is in the iPhone's own format HEIC."),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a.png is not a picture but a video."),
        (
            b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "a.png is a drawing made of lines (SVG), not of pixels.",
        ),
        (b"\0\1\2\3" * 50, "a.png is not a picture that can be opened."),
        (png_header(60_000, 60_000), "a.png has more than 89 million pixels."),
        (png_header(10_000, 9_000), "a.png has more than 89 million pixels."),
        (png_header(1, 1), "a.png is only 1 x 1 pixels."),
        (png_header(20_000, 10), "a.png is only 20000 x 10 pixels."),
        (png_header(100, 100), "a.png is damaged or only half there."),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_usable_picture_is_refused_in_a_sentence(inbox, data, what, tell):
    tell(KINDS, 1)
    path = inbox / "a.png"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        decode(path)
    assert caught.value.what == what and caught.value.remedy.endswith(".")


def test_a_huge_text_inside_a_picture_is_refused_or_passed_over(inbox, tell):
    tell(KINDS, 1)
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("bomb", "x" * 3_000_000, zip=True)
    saved(inbox / "a.png", pnginfo=texts)
    try:
        image, _ = decode(inbox / "a.png")
        assert not image.info
    except UserError as error:
        assert error.what == "a.png is damaged or only half there."


def test_every_cut_of_every_format_gives_a_picture_or_a_sentence(inbox, tell):
    path, row = inbox / "cut", tell("Pictures cut short: as far as they can be read, or refused in a sentence")
    for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff", "avif"):
        whole = saved(inbox / f"a.{kind}").read_bytes()
        for length in range(1, len(whole), max(len(whole) // 25, 1)):
            path.write_bytes(whole[:length])
            with row:
                try:
                    decode(path)
                except UserError as error:
                    assert error.what and error.remedy


def test_good_pictures_come_in_and_bad_ones_are_named(studio, inbox):
    saved(inbox / "b.png")
    saved(inbox / "a.jpg")
    (inbox / "a.txt").write_bytes("\ufeffein Äpfel ".encode())
    (inbox / "c.png").write_text("no picture")
    (inbox / "readme.md").write_text("beside")
    (inbox / ".hidden.png").write_text("hidden")
    made, refused = import_pictures(studio, [inbox])
    assert [(p.path.name, p.caption, p.label) for p in made.pictures] == [
        ("0001.png", "ein Äpfel", "a.jpg"),
        ("0002.png", "", "b.png"),
    ]
    assert refused == ["c.png is a text file, not a picture. Drop PNG, JPEG or WebP pictures."]
    assert made.title == "in box" and made == load(made.folder) and picture_sets(studio) == [made.folder]
    assert (inbox / "b.png").exists()


def test_captions_dropped_beside_their_pictures_find_them(studio, tmp_path):
    for folder, name in (("x", "cat.png"), ("y", "dog.png")):
        (tmp_path / folder).mkdir()
        saved(tmp_path / folder / name)
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "dog.txt").write_text("a dog")
    made, _ = import_pictures(
        studio, [tmp_path / "x" / "cat.png", tmp_path / "y" / "dog.png", tmp_path / "z" / "dog.txt"]
    )
    assert [p.caption for p in made.pictures] == ["", "a dog"] and made.title == "2 pictures"


def test_a_caption_that_is_no_text_costs_only_itself(studio, inbox):
    saved(inbox / "a.png")
    (inbox / "a.txt").write_bytes(b"\0\0\0")
    made, refused = import_pictures(studio, [inbox])
    assert made.pictures[0].caption == "" and not refused
    assert made.notes[1:] == ("a.txt is not a text file. Write the caption as plain text.",)


@pytest.mark.parametrize(
    "what", ["There are no pictures.", "There are no pictures in in box.", "nowhere is not there."]
)
def test_nothing_to_import_is_a_sentence_and_leaves_nothing(studio, inbox, what):
    sources = {"There are no pictures.": [], "There are no pictures in in box.": [inbox]}.get(what, ["nowhere"])
    with pytest.raises(UserError) as caught:
        import_pictures(studio, sources)
    assert caught.value.what == what and not studio.pictures.exists()


def test_only_bad_pictures_leave_nothing_behind(studio, inbox):
    (inbox / "a.png").write_text("no")
    with pytest.raises(UserError, match="a text file"):
        import_pictures(studio, [inbox])
    (inbox / "b.png").write_text("no")
    with pytest.raises(UserError, match="None of the 2 files is a usable picture"):
        import_pictures(studio, [inbox])
    assert not list(studio.pictures.glob("*/*"))


def test_a_full_disk_leaves_no_half_set_and_the_sources_whole(studio, inbox, monkeypatch):
    for name in ("a.png", "b.png"):
        saved(inbox / name)
    real, calls = files.write_bytes, []

    def full(path, data):
        calls.append(path)
        if len(calls) > 2:
            raise UserError("The disk is full.", "Make some space.")
        real(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(UserError, match="disk is full"):
        import_pictures(studio, [inbox])
    assert not list(studio.pictures.glob("*")) and len(list(inbox.iterdir())) == 2


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[1]", "{", '{"title": "a"}', '{"title": 5, "labels": ["a.png"]}', '{"title": "a", "labels": "b"}',
        '{"title": "a", "labels": [1]}', '{"title": "a", "labels": ["a.png"], "notes": 5}', "[" * 200_000,
        '{"title": "a", "labels": ' + '["a",' * 50_000, '{"title": "a", "labels": [' + '"",' * 6000 + '""]}',
        '{"version": Infinity, "title": "a", "labels": ["a.png"]}', '{"version": 1' + "0" * 5000 + "}",
    ],
    ids=range(14),
)  # fmt: skip
def test_a_damaged_list_is_a_sentence_and_hides_no_other_set(studio, inbox, text):
    saved(inbox / "a.png")
    (inbox / "a.txt").write_text("a caption")
    good, _ = import_pictures(studio, [inbox])
    odd, _ = import_pictures(studio, [inbox])
    (odd.folder / "set.json").write_text(text)
    with pytest.raises(UserError, match="The list of this picture set is damaged"):
        load(odd.folder)
    first, second = sets(studio)
    assert (first.folder, second.folder, second.problem) == (odd.folder, good.folder, "")
    assert "is damaged. Add the folder" in first.problem and (first.count, first.captions) == (1, 1)
    again, _ = import_pictures(studio, [odd.folder])  # what the sentence says to do
    assert [picture.caption for picture in again.pictures] == ["a caption"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipes_endless_links_and_huge_captions_hang_nobody(studio, inbox):
    saved(inbox / "a.png")
    saved(inbox / "b.png")
    saved(inbox / "c.png")
    os.mkfifo(inbox / "a.txt")
    (inbox / "b.txt").symlink_to("/dev/zero")
    (inbox / "c.txt").touch()
    os.truncate(inbox / "c.txt", 3 << 30)
    os.mkfifo(inbox / "d.png")
    made, _ = import_pictures(studio, [inbox])
    assert [picture.caption for picture in made.pictures] == ["", "", ""]
    assert made.notes[1:] == (
        "Neither files nor folders: a.txt, b.txt, d.png.",
        "c.txt is too long for a caption. Shorten it to a sentence or two.",
    )
    for kind in ("pipe", "link", "device"):
        (made.folder / "set.json").unlink()
        if kind == "pipe":
            os.mkfifo(made.folder / "set.json")
        else:
            (made.folder / "set.json").symlink_to("/dev/zero" if kind == "device" else made.folder / "set.json")
        with pytest.raises(UserError):
            load(made.folder)
        assert sets(studio)[0].problem


def test_a_set_without_one_of_its_captions_is_used_and_says_so(studio, inbox):
    saved(inbox / "a.png")
    made, _ = import_pictures(studio, [inbox])
    (made.folder / "0001.txt").unlink()
    found = load(made.folder)
    assert found.pictures[0].caption == "" and "0001.txt could not be read" in found.remarks[0]


def test_a_picture_that_was_replaced_by_hand_is_told_and_known_by_nothing_that_the_old_one_was(studio, inbox):
    for name in ("a.png", "b.png", "c.png"):
        saved(inbox / name)
    made, _ = import_pictures(studio, [inbox])
    assert not made.remarks and all(one.learnt().digest for one in made.pictures)
    for number, who, known in (
        (2, "b.png was", [True, False, True]), (3, "2 pictures, such as b.png, were", [True, False, False]),
    ):  # fmt: skip
        Image.new("RGB", (300, 200)).save(made.folder / f"000{number}.png")
        found = load(made.folder)
        assert found.remarks == (f"{who} changed in the folder of your studio. What lies there now is learnt.",)
        assert [bool(one.learnt().digest) for one in found.pictures] == known


def test_a_set_of_an_older_version_has_no_sum_and_a_later_one_may_say_more(studio, inbox):
    saved(inbox / "a.png")
    made, _ = import_pictures(studio, [inbox])
    said = json.loads((made.folder / "set.json").read_text())
    for older in ({"title": "old", "labels": ["a.png"], "notes": []}, said | {"title": "new", "version": 9, "more": 1}):
        (made.folder / "set.json").write_text(json.dumps(older))
        assert load(made.folder).title == older["title"]


def test_an_import_that_is_broken_off_leaves_nothing(studio, inbox, monkeypatch):
    saved(inbox / "a.png")

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_index, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        import_pictures(studio, [inbox])
    assert not list(studio.pictures.iterdir()) and sets(studio) == picture_sets(studio) == []


def test_an_import_leaves_alone_what_another_is_making_and_sweeps_what_a_crash_left(studio, inbox, monkeypatch):
    """The other one stands in the middle: its folder, and what it has unpacked, are there."""
    saved(inbox / "a.png")
    real, between = picture_index.write, []

    def meanwhile(folder, index):
        if not between:
            between.append(files.half_made(studio.cache / "archive"))
            files.write_bytes(between[0] / "0" / "00000", b"a member")
            between.append(import_pictures(studio, [inbox])[0].folder)
        real(folder, index)

    dead = [place / f".new.{2**22 + 1}-0123abcd.tmp" for place in (studio.pictures, studio.cache)]
    for folder in dead:
        files.write_bytes(folder / "0001.png", b"half")
    monkeypatch.setattr(picture_index, "write", meanwhile)
    made, _ = import_pictures(studio, [inbox])
    assert picture_sets(studio) == sorted([made.folder, between[1]], reverse=True)
    assert len(made.pictures) == 1 and (between[0] / "0" / "00000").exists()
    assert not any(folder.exists() for folder in dead)


def learns_from(studio, made, name, last):
    """A run with that last event which learns from a set."""
    task = TaskFolder(studio.runs / f"20260101-120000-{len(list(studio.runs.glob('*'))):04x}")
    base = Base(key="toy", title="Toy", family="sd1", path="/toy")
    learnt = tuple(TrainPicture(path=str(picture.path.resolve())) for picture in made.pictures)
    task.write_job(
        TrainJob(name=name, trigger="zxy", preset="style", base=base, pictures=learnt, settings=TrainSettings(),
                 publish_to=str(studio.loras))
    )  # fmt: skip
    task.write_result(last, Reached(0, 5, 10))
    return task


def test_sets_are_listed_with_what_they_hold_and_who_learns_from_them(studio, inbox):
    for name in ("a.png", "c.png"):
        saved(inbox / name)
    Image.new("RGB", (80, 64), "red").save(inbox / "b.png")
    (inbox / "b.txt").write_text("a caption")
    made, _ = import_pictures(studio, [inbox])
    other, _ = import_pictures(studio, [inbox / "a.png"])
    done = events.Done("loras/cat.safetensors", "0", 10, 5.0)
    for name in ("cat", "dog"):
        learns_from(studio, made, name, done)
    (studio.runs / "odd").mkdir()
    (studio.runs / "odd" / "job.json").write_text("[1]")
    newest, oldest = sets(studio)
    assert (newest.folder, newest.title, newest.count, newest.captions, newest.used_by) == (other.folder, "a", 1, 0, ())
    assert (oldest.title, oldest.count, oldest.captions, sorted(oldest.used_by)) == ("in box", 3, 1, ["cat", "dog"])
    assert oldest.size == sum(path.stat().st_size for path in made.folder.iterdir())
    assert oldest.first == tuple(picture.path for picture in made.pictures)
    assert datetime.fromisoformat(oldest.made) <= datetime.fromisoformat(newest.made)


def test_a_set_goes_to_the_bin_unless_a_run_that_is_not_finished_learns_from_it(studio, inbox, monkeypatch):
    saved(inbox / "a.png")
    made, _ = import_pictures(studio, [inbox])
    binned = []
    monkeypatch.setattr(pictures, "send2trash", binned.append)
    for number, last in enumerate((events.Paused(5), events.Stopped(5), events.Failed("It broke.", "Mend it."))):
        task = learns_from(studio, made, "cat", last)
        with pytest.raises(UserError) as caught:
            delete_set(studio, made.folder)
        assert caught.value.what.startswith(f"The training of cat ({task.path.name}) learns from these"), number
        task.write_result(events.Done("loras/cat.safetensors", "0", 10, 5.0), Reached(0, 10, 10))
    assert not binned
    delete_set(studio, made.folder)
    assert binned == [made.folder]


def test_nothing_but_a_set_of_the_studio_can_be_deleted_and_no_bin_is_a_sentence(studio, inbox, monkeypatch):
    saved(inbox / "a.png")
    made, _ = import_pictures(studio, [inbox])

    def no_bin(path):
        raise OSError("no bin")

    monkeypatch.setattr(pictures, "send2trash", no_bin)
    for name in ("", ".", "..", "nothing", "x" * 300):
        with pytest.raises(UserError, match="There is no picture set"):
            delete_set(studio, studio.pictures / name)
    with pytest.raises(UserError, match="could not be moved to the bin"):
        delete_set(studio, inbox / made.folder.name)  # the name counts, wherever it is said to be
    assert made.folder.is_dir()


def test_the_examples_come_in_whole(studio):
    assert set(examples()) == {"style", "character", "concept"}
    made, refused = import_pictures(studio, [examples()["style"]])
    assert len(made.pictures) == 24 and not refused and all(p.caption for p in made.pictures)
