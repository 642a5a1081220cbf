"""Names and captions as people type them."""

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.things.names import check_name, clean_caption, read_lines, safe_name


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("my-style", "my-style"),
        ("  My Style 2 ", "my-style-2"),
        ("Café", "cafe"),
        ("v1.5_b", "v1.5_b"),
        ("Cafe\u0301", "cafe"),
        ("My Fox.SafeTensors ", "my-fox"),
    ],
)
def test_a_good_name_is_stored_in_small_plain_letters(typed, stored, tell):
    tell("Names as people type them: stored safely, or refused with one that can be", 1)
    assert check_name(typed) == stored == check_name(stored)


@pytest.mark.parametrize(
    ("typed", "what", "remedy"),
    [
        ("", "The name is empty.", "Type a name for the LoRA, such as my-style."),
        ("../evil", "The name '../evil' looks like a path.", "Use a plain name such as evil."),
        ("a/b", "The name 'a/b' looks like a path.", "Use a plain name such as a-b."),
        ("a\\b", "The name 'a\\\\b' looks like a path.", "Use a plain name such as a-b."),
        ("C:cat", "The name 'C:cat' looks like a path.", "Use a plain name such as c-cat."),
        ("CON", "Windows keeps the name 'CON' for itself.", "Use another name, such as con-lora."),
        ("aux.txt", "Windows keeps the name 'aux.txt' for itself.", "Use another name, such as aux-lora."),
        ("cat.", "The name 'cat.' begins or ends with a dot.", "Use a plain name such as cat."),
        (".hidden", "The name '.hidden' begins or ends with a dot.", "Use a plain name such as hidden."),
        (
            "cat 🐱",
            "The name 'cat 🐱' holds the sign '🐱', which not every program can open.",
            "Use a-z, 0-9, - and _, such as cat.",
        ),
        (
            "猫",
            "The name '猫' holds the sign '猫', which not every program can open.",
            "Use a-z, 0-9, - and _, such as my-lora.",
        ),
        (
            "a\nb",
            "The name 'a\\nb' holds a sign that cannot be seen, which not every program can open.",
            "Use a-z, 0-9, - and _, such as a-b.",
        ),
        (
            "a*b",
            "The name 'a*b' holds the sign '*', which not every program can open.",
            "Use a-z, 0-9, - and _, such as a-b.",
        ),
        ("x" * 61, "The name is 61 characters long.", f"Use at most 60, such as {'x' * 60}."),
    ],
)
def test_a_name_that_cannot_be_stored_is_refused_with_one_that_can(typed, what, remedy, tell):
    tell("Names as people type them: stored safely, or refused with one that can be", 1)
    with pytest.raises(UserError) as caught:
        check_name(typed)
    assert (caught.value.what, caught.value.remedy) == (what, remedy)


@pytest.mark.parametrize(
    "text", ["", "../..", "CON", "猫", "x" * 300, "a\0b", "...", "com1.safetensors", "Ünï cödé", "-", "a..b"]
)
def test_a_safe_name_can_be_made_of_any_text(text, tell):
    tell("Names as people type them: stored safely, or refused with one that can be", 1)
    assert check_name(safe_name(text)) == safe_name(text)


def test_the_joiners_of_persian_and_indic_scripts_stay_in_captions():
    for caption in ("می\u200cخواهم", "क्\u200dष", "👩\u200d🚀"):
        assert clean_caption(f" {caption}\u200b\n") == caption


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a red cat\r\n", "a red cat"),
        ("\ufeffÄpfel".encode(), "Äpfel"),
        ("Äpfel".encode("utf-16"), "Äpfel"),
        (
            "le chat de Noël dort très près de la fenêtre fermée".encode("cp1252"),
            "le chat de Noël dort très près de la fenêtre fermée",
        ),
        (
            "赤いリンゴが白い背景の上にあります。とてもきれいです。".encode("cp932"),
            "赤いリンゴが白い背景の上にあります。とてもきれいです。",
        ),
        ("少女漫画".encode("cp932"), "少女漫画"),
        ("красное яблоко на белом фоне".encode("cp1251"), "красное яблоко на белом фоне"),
        ("一只红色的苹果在白色背景上".encode("gbk"), "一只红色的苹果在白色背景上"),
        ("A\u0308pfel 🙂".encode(), "Äpfel 🙂"),
        ("עברית".encode(), "עברית"),
        (b"  \n ", ""),
        (b"", ""),
    ],
)
def test_a_caption_is_read_in_whatever_encoding_it_is(tmp_path, data, text, tell):
    tell("Captions in the encodings there are: read, or refused in a sentence", 1)
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert " ".join(read_lines(path)) == text


@pytest.mark.parametrize(
    ("data", "what"), [(b"a\0b", "a.txt is not a text file."), (b"x" * 1_000_000, "a.txt is too long for a caption.")]
)
def test_what_is_no_caption_is_refused(tmp_path, data, what, tell):
    tell("Captions in the encodings there are: read, or refused in a sentence", 1)
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_lines(path)
    assert caught.value.what == what
