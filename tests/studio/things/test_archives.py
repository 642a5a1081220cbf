"""Zip archives come in by their members, which lead nowhere, and within limits that are counted while reading."""

import io
import stat
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from lora_gui import drive, files
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import archives
from lora_gui.studio.things.pictures import import_pictures

ATTACKS = "Zip archives that mean harm: held within the studio and the limits, or refused in a sentence"


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "home" / "studio")


def png(colour="orange"):
    data = io.BytesIO()
    Image.new("RGB", (96, 80), colour).save(data, "PNG")
    return data.getvalue()


def packed(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as held:
        for name, data in members:
            held.writestr(name, data)
    return path


def everything(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_pictures_captions_and_folders_of_an_archive_come_in_as_they_would_unpacked(studio, tmp_path):
    members = [("10_fox/a.png", png()), ("10_fox/a.txt", b"a fox"), ("b.png", png("blue")), ("masks/b.png", png()),
               ("__MACOSX/._b.png", b"x"), ("notes.md", b"#")]  # fmt: skip
    made, refused = import_pictures(studio, [packed(tmp_path / "foxes.zip", members)])
    assert made.title == "foxes" and not refused
    told = [(one.label, one.caption, one.repeats) for one in made.pictures]
    assert told == [("a.png", "a fox", 10), ("b.png", "", 1)]
    assert "Masks that came with their pictures: 1." in made.notes
    assert {path.name for path in studio.pictures.iterdir()} == {made.folder.name}
    assert not list(studio.cache.glob(".archive*"))


def test_an_archive_beside_pictures_is_a_folder_of_them_whatever_its_suffix(studio, tmp_path):
    (tmp_path / "c.png").write_bytes(png("green"))
    packed(tmp_path / "more.dat", [("c.png", png())])
    made, _ = import_pictures(studio, [tmp_path / "c.png", tmp_path / "more.dat"])
    assert len(made.pictures) == 2


NAMES = (
    "../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\..\\evil.png", "a/../../../evil.png", "CON.png", "x\0.png",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_studio(studio, tmp_path, name, tell):
    tell(ATTACKS, 1)
    before = everything(tmp_path)
    archive = packed(tmp_path / "a.zip", [(name, png())])
    made, _ = import_pictures(studio, [archive])
    new = everything(tmp_path) - before - {archive}
    assert len(made.pictures) == 1 and all(path.is_relative_to(studio.home) for path in new)


def test_links_are_not_followed_and_a_name_twice_is_said(studio, tmp_path, tell):
    tell(ATTACKS, 2)
    link = zipfile.ZipInfo("secret.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.warns(UserWarning, match="Duplicate"):
        packed(tmp_path / "a.zip", [(link, b"/etc/passwd"), ("a.png", png()), ("a.png", png("blue"))])
    made, _ = import_pictures(studio, [tmp_path / "a.zip"])
    assert [one.label for one in made.pictures] == ["a.png"]
    assert {one.reason for one in made.left} == {
        "links in an archive are not followed",
        "an archive holds this name twice, the first is used",
    }


def bomb(path):
    """A member that says it is small and unpacks to a hundred megabytes."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(squeezed.compress(bytes(1 << 20)) for _ in range(100)) + squeezed.flush()
    packed(path, [("a.png", png()), ("b.png", b"")])
    name = b"bomb.png"
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(data), 10, len(name), 0) + name + data
    entry = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(data), 100 << 20, len(name), 0, 0, 0, 0, 0, 0
    )
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry) + len(name), len(local), 0)
    path.write_bytes(local + entry + name + end)


def test_what_unpacks_without_end_is_stopped_while_it_is_read(studio, tmp_path, tell):
    tell(ATTACKS, 1)
    bomb(tmp_path / "a.zip")
    with pytest.raises(UserError, match="a.zip unpacks to far more than pictures take"):
        import_pictures(studio, [tmp_path / "a.zip"])
    assert not list(studio.pictures.glob("*"))


def test_too_much_in_all_is_refused(studio, tmp_path, monkeypatch, tell):
    tell(ATTACKS, 2)
    monkeypatch.setattr(archives, "MOST_BYTES", 3000)
    with pytest.raises(UserError, match="far more"):
        import_pictures(studio, [packed(tmp_path / "a.zip", [(f"{n}.png", bytes(2000)) for n in range(3)])])
    many = packed(tmp_path / "b.zip", [(f"{n}", b"") for n in range(archives.MOST_MEMBERS + 1)])
    with pytest.raises(UserError, match="b.zip holds more than 5000 files"):
        import_pictures(studio, [many])


def test_a_locked_or_damaged_archive_is_a_sentence(studio, tmp_path, tell):
    tell(ATTACKS, 12)
    whole = packed(tmp_path / "a.zip", [("a.png", png()), ("b.png", png("red"))]).read_bytes()
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.index(b"PK\1\2") + 8] |= 1
    cuts = [bytes(locked), whole[:100], whole[:-1], whole[:30] + b"\xff" * 40 + whole[70:]]
    cuts += [whole[: len(whole) * part // 9] for part in range(1, 9)]
    for at, data in enumerate(cuts):
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(UserError, match="locked with a password" if at == 0 else "a.zip is damaged"):
            import_pictures(studio, [tmp_path / "a.zip"])


def test_an_archive_that_cannot_be_used_stops_nothing_that_came_with_it(studio, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png())
    (tmp_path / "in" / "b.png").write_bytes(b"PK\3\4" + bytes(60))
    packed(tmp_path / "in" / "c.zip", [("c.png", png("red")), ("d.png", png("blue"))])
    (tmp_path / "in" / "d.zip").write_bytes((tmp_path / "in" / "c.zip").read_bytes()[:-30])
    made, refused = import_pictures(studio, [tmp_path / "in"])
    assert [one.label for one in made.pictures] == ["a.png", "c.png", "d.png"] and refused == []
    for name in ("b.png", "d.zip"):
        said = f"{name} is damaged, or packed in a way that cannot be read here. Unpack it and drop the folder."
        assert said in made.notes
    assert "2 other files" in made.sentence and not list(studio.cache.glob("*archive*"))


def test_a_full_disk_is_not_taken_for_a_damaged_archive(studio, tmp_path, monkeypatch):
    def full(path, chunks):
        raise files.DiskFullError(*drive.FULL)

    (tmp_path / "a.png").write_bytes(png())
    monkeypatch.setattr(files, "write_chunks", full)
    with pytest.raises(files.DiskFullError):
        import_pictures(studio, [tmp_path / "a.png", packed(tmp_path / "a.zip", [("c.png", png("red"))])])


def test_an_archive_within_an_archive_is_no_picture(studio, tmp_path, tell):
    tell(ATTACKS, 1)
    packed(tmp_path / "in.zip", [("a.png", png())])
    outer = packed(tmp_path / "a.zip", [("in.zip", (tmp_path / "in.zip").read_bytes()), ("b.png", png())])
    made, refused = import_pictures(studio, [outer])
    assert len(made.pictures) == 1
    assert refused == ["in.zip is not a picture but a zip archive. Unpack it and drop the folder."]


@pytest.mark.parametrize("code, name, folder", [
    ("utf-8", "füchsin", "füchse"), ("cp850", "füchsin", "füchse"), ("cp932", "表紙の猫", "絵"),
    ("cp932", "訓練画像", "風景"),
    ("gbk", "老虎在树下", "新建文件夹"), ("cp949", "빨간 사과", "새 폴더"), ("cp866", "красное яблоко", "новая"),
])  # fmt: skip
def test_names_that_macos_and_windows_write_without_saying_how_are_read(studio, tmp_path, code, name, folder):
    class Unsaid(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):
            return self.filename.encode(code), self.flag_bits

    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as held:
        held.writestr(Unsaid(f"{folder}/{name}.png"), png())
        held.writestr(Unsaid(f"{folder}/metadata.csv"), f"file_name,caption\n{name}.png,a fox".encode())
    made, refused = import_pictures(studio, [tmp_path / "theirs.zip"])
    assert [(one.label, one.caption) for one in made.pictures] == [(f"{name}.png", "a fox")] and not refused


@pytest.mark.parametrize(
    "name, table",
    [("metadata.csv", "file_name,caption\na.png,a fox"), ("Captions.TSV", "a.png\ta fox"),
     ("metadata.jsonl", '{"file_name": "a.png", "text": "a fox"}'), ("meta.json", '{"a.png": {"caption": "a fox"}}'),
     ("a.json", '{"caption": "a fox"}')],
)  # fmt: skip
def test_a_table_of_captions_in_an_archive_is_read_as_it_would_be_unpacked(studio, tmp_path, name, table):
    made, _ = import_pictures(studio, [packed(tmp_path / "foxes.zip", [("a.png", png()), (name, table.encode())])])
    assert [one.caption for one in made.pictures] == ["a fox"]
