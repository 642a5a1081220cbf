"""Marks against training, written the ways that cameras, agencies and programs write them."""

import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import opt_out
from lora_gui.studio.things import pictures

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"
 plus:DataMining="http://ns.useplus.org/ldf/vocab/{}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def c2pa(use: str, label: str = "c2pa.training-mining") -> bytes:
    """A C2PA assertion as it lies in a manifest: its label, then CBOR."""
    def text(words: str) -> bytes:
        data = words.encode()
        return (bytes([0x60 + len(data)]) if len(data) < 24 else b"\x78" + bytes([len(data)])) + data

    entry = text("c2pa.ai_generative_training") + b"\xa1" + text("use") + text(use)
    return b"jumb" + label.encode() + b"\0\0\0\0cbor\xa1" + text("entries") + b"\xa1" + entry


def painted(path, **save):
    Image.effect_noise((80, 80), 60).convert("RGB").save(path, **save)
    return path


def chunk(path, kind, data):
    """Put a chunk behind the first one of a PNG."""
    import zlib

    whole = path.read_bytes()
    made = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(whole[:33] + made + whole[33:])
    return path


def text_of(name, words, zipped=False):
    texts = PngInfo()
    texts.add_text(name, words, zip=zipped)
    return {"pnginfo": texts}


def exif(tag, words):
    found = Image.Exif()
    found[tag] = words
    return {"exif": found}


FORBIDDEN = {
    "xmp.jpg": lambda p: painted(p, xmp=XMP.format("DMI-PROHIBITED-AIMLTRAINING").encode()),
    "xmp.png": lambda p: painted(p, **text_of("XML:com.adobe.xmp", XMP.format("DMI-PROHIBITED"))),
    "xmp.webp": lambda p: painted(p, xmp=XMP.format("DMI-PROHIBITED-GENAIMLTRAINING").encode()),
    "zipped.png": lambda p: painted(p, **text_of("Raw", XMP.format("DMI-PROHIBITED"), zipped=True)),
    "c2pa.png": lambda p: chunk(painted(p), b"caBX", c2pa("notAllowed")),
    "cawg.png": lambda p: chunk(painted(p), b"caBX", c2pa("constrained", "cawg.training-mining")),
    "noai.png": lambda p: painted(p, **text_of("robots", "noai, noimageai")),
    "noai.jpg": lambda p: painted(p, **exif(0x010E, "A fox. NoAI please")),
    "comment.jpg": lambda p: painted(p, comment=b"No AI training"),
}
ALLOWED = {
    "plain.png": painted,
    "allowed.jpg": lambda p: painted(p, xmp=XMP.format("DMI-ALLOWED").encode()),
    "c2pa.png": lambda p: chunk(painted(p), b"caBX", c2pa("allowed")),
    "far.png": lambda p: chunk(painted(p), b"caBX", b"c2pa.training-mining" + b"\0" * 9000 + c2pa("notAllowed", "x")),
    "words.png": lambda p: painted(p, **text_of("parameters", "noair, a piano aid, Nora in Shanghai")),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_mark_is_found_however_it_was_written(tmp_path, name):
    assert len(opt_out.marks(FORBIDDEN[name](tmp_path / name))) == 1


@pytest.mark.parametrize("name", ALLOWED)
def test_what_allows_or_only_looks_alike_is_no_mark(tmp_path, name):
    assert opt_out.marks(ALLOWED[name](tmp_path / name)) == []


def test_marked_pictures_are_named_at_import_and_known_in_the_set(tmp_path):
    inbox = tmp_path / "in"
    inbox.mkdir()
    ALLOWED["plain.png"](inbox / "a fine one.png")
    FORBIDDEN["xmp.jpg"](inbox / "b forbidden.jpg")
    found, refused = pictures.import_pictures(Studio(tmp_path / "studio"), [inbox])
    assert [one.opted_out for one in found.pictures] == [False, True] and not refused
    said = [remark for remark in found.remarks if "training AI" in remark]
    assert len(said) == 1 and said[0].startswith("b forbidden.jpg is marked as not to be used for training AI (IPTC")
    assert pictures.load(found.folder) == found
