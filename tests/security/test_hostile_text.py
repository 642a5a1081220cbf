"""What strangers write into names, captions, fields of LoRAs and prompts of pictures stays text wherever it shows."""

import inspect
import itertools
import json
from html.parser import HTMLParser

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import load_file, save_file

from lora_gui.protocol.events import Sample
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import drawings, loras, pictures
from lora_gui.ui.generate import rows
from lora_gui.ui.widgets import markup
from tests.security.test_fuzzed_loras import packed, whole

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "${alert(1)}", "`${a()}`",
    "' onmouseover='alert(1)", "</textarea><script>alert(1)</script>", "</title><iframe src=javascript:alert(1)>",
    "javascript:alert(1)", "{{constructor.constructor('alert(1)')()}}", "{% include 'x' %}", "<!--<b", "]]><b>",
    "&lt;b&gt;", "&#60;b&#62;", "\x00<b>", "<\x00b>", "\u202e<b>", "\ud800<b>", "\uff1cscript\uff1e", "%3Cscript%3E",
    "[x](javascript:alert(1))", "<a href='data:text/html,x'>", "\x1b[2J\x1b]0;x\x07", "-->\r\n<b>", "<math></b>",
    "<b" * 500,
)  # fmt: skip
TAGS = set("div p b i span ul li details summary figure img label textarea button pre input em".split())
HARMLESS = {
    "class", "style", "role", "open", "src", "alt", "title", "loading", "rows", "type",
    "data-act", "data-row", "placeholder", "maxlength", "data-word", "data-set", "data-index", "data-copy", "data-take",
    "data-learn",
    "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label",
}  # fmt: skip


class Seen(HTMLParser):
    """Which tags and attributes a browser would find."""

    def __init__(self, piece):
        super().__init__()
        self.tags, self.attributes, self.sources = set(), set(), set()
        self.feed(piece)
        self.close()

    def handle_starttag(self, tag, given):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in given}
        self.sources |= {value for name, value in given if name == "src"}

    def handle_comment(self, words):
        self.tags.add("comment")

    unknown_decl = handle_decl = handle_pi = handle_comment


def address(path):
    return "/gradio_api/file=x.webp"


MADE = {
    "text": markup.text,
    "notice": lambda words: markup.notice(words, words),
    "sentences": lambda words: markup.sentences(words, [words] * 5),
    "quiet": markup.quiet,
    "bar": lambda words: markup.bar(0.5, words, words),
    "learn": lambda words: markup.learn(words, words),
    "sample_grid": lambda words: markup.sample_grid([Sample(1, "1.png", words, 1)], address),
    "report": markup.report,
    "named stacks": lambda words: rows.named([words]),
    "verdict": lambda words: markup.verdict([words], words, words),
}


def test_no_words_become_a_tag_an_attribute_or_a_template(tell):
    row = tell("Hostile words in pieces of the page")
    for (name, made), words in itertools.product(MADE.items(), HOSTILE):
        with row:
            piece = made(words)
            piece.encode("utf-8")
            seen = Seen(piece)
            assert seen.tags <= TAGS and seen.attributes <= HARMLESS, f"{name}: {words!r} gave {piece}"
            assert seen.sources <= {address(None)}
            assert not any(sign in piece for sign in ("${", "{{", "{%", "`")), name


def test_every_piece_of_the_page_that_takes_words_is_tried():
    takes = {
        name
        for name, function in inspect.getmembers(markup, inspect.isfunction)
        if function.__module__ == markup.__name__ and "words" in inspect.signature(function).parameters
    }
    assert takes <= MADE.keys()


@pytest.mark.parametrize("words", HOSTILE)
def test_a_lora_that_says_hostile_things_of_itself_is_described_in_plain_words(tmp_path, words):
    header, data = whole()
    fields = "modelspec.trigger_phrase ss_sd_model_name lora_studio.base lora_studio.preset modelspec.date ss_steps"
    header["__metadata__"] = dict.fromkeys((*fields.split(), words), words)
    path = tmp_path / "a.safetensors"
    path.write_bytes(packed(header, data))
    lora = loras.describe(path)
    shown = (lora.trigger, lora.base_title, lora.base_key, lora.preset, lora.made)
    json.dumps(shown, ensure_ascii=False).encode("utf-8")
    assert all(letter.isprintable() or letter == "\u200d" for text in shown for letter in text)
    assert Seen(rows._lacks(0, "", [lora.trigger])).tags <= TAGS


def test_names_of_files_that_are_hostile_come_in_as_words_or_not_at_all(tmp_path):
    studio, inbox = Studio(tmp_path / "studio"), tmp_path / "inbox"
    inbox.mkdir()
    for name in ("<img src=x onerror=alert(1)>.png", "${1}{{2}}.png", "\udcff\udcfe.png", "a\u202eb.png", "a\nb.png"):
        Image.new("RGB", (64, 64)).save(inbox / name)
    (inbox / "\udcff<b>.png").write_text("no picture")
    made, refused = pictures.import_pictures(studio, [inbox])
    assert len(made.pictures) == 5 and len(refused) == 1 and pictures.load(made.folder) == made
    assert [p.path.name for p in made.pictures] == [f"000{n}.png" for n in range(1, 6)]
    assert Seen(markup.sentences("x", refused)).tags <= TAGS


def test_what_a_dropped_picture_says_of_its_making_stays_words_and_short(tmp_path):
    for number, words in enumerate(HOSTILE):
        said = PngInfo()
        said.add_itxt("parameters", words.encode("utf-8", "replace").decode() * 3)
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8)).save(path, pnginfo=said)
        shown = drawings.record(path)
        assert len(shown) <= drawings.RECORD_LIMIT and Seen(markup.quiet(shown)).tags <= TAGS


def test_a_lora_of_values_that_are_no_numbers_does_not_come_in(tmp_path):
    header, data = whole()
    path = tmp_path / "a.safetensors"
    path.write_bytes(packed(header, data))
    values = load_file(path)
    values[next(name for name in values if "up" in name)][0, 0] = float("nan")
    save_file(values, path)
    with pytest.raises(loras.UserError, match="not numbers"):
        loras.import_lora(Studio(tmp_path / "studio"), path)
    assert not (tmp_path / "studio").exists()
