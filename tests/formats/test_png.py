"""What a drawing says of itself."""

import io
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from lora_gui.formats import png
from lora_gui.formats.generation import PROGRAM, Made, exact, text
from lora_gui.settings import DrawSettings

SETTINGS = DrawSettings(
    prompt='a "cat", 日本語 🙂', negative_prompt="grey", width=64, height=128, steps=20, guidance=7, seed=5
)
DIGEST = "0123456789abcdef" * 4
MADE = Made(SETTINGS, "Starter", ("DPM++ 2M", "Karras"), [("one", 0.8, DIGEST), ("two", 1.0, "")], (60, 128))

# modules/infotext_utils.py of AUTOMATIC1111/stable-diffusion-webui: its expressions and its order of reading
_PARAM = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def parsed(infotext):
    """As `parse_generation_parameters` of A1111 reads it: prompt, negative prompt, fields."""
    *lines, lastline = infotext.strip().split("\n")
    if len(_PARAM.findall(lastline)) < 3:
        lines.append(lastline)
        lastline = ""
    prompt, negative, after = "", "", False
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            after, line = True, line[16:].strip()
        if after:
            negative += ("" if negative == "" else "\n") + line
        else:
            prompt += ("" if prompt == "" else "\n") + line
    fields = {}
    for key, value in _PARAM.findall(lastline):
        fields[key] = json.loads(value) if value[:1] == value[-1:] == '"' else value
    return prompt, negative, fields


def test_the_text_is_that_of_a1111():
    assert text(MADE).splitlines() == [
        'a "cat", 日本語 🙂 <lora:one:0.8> <lora:two:1>',
        "Negative prompt: grey",
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 60x128, Model: Starter, "
        f'Lora hashes: "one: 0123456789ab", Version: {PROGRAM}',
    ]


@pytest.mark.parametrize(
    ("prompt", "negative", "title"),
    [
        ("a cat", "", "Base"),
        ('a "cat", (loud:1.2)\nin two lines: and more', "grey,\nbad: hands", 'My "base", v1: new'),
        ("日本語 🙂", "grey", "Base\nof two lines"),
    ],
)
def test_a1111_reads_the_text_back_as_it_was_meant(prompt, negative, title):
    settings = SETTINGS.model_copy(update={"prompt": prompt, "negative_prompt": negative})
    loras = [("a", 0.8, DIGEST), ("b", -1.0, "f" * 64)]
    made = replace(MADE, settings=settings, base=title, base_hash=DIGEST, loras=loras)
    found, unwanted, fields = parsed(text(made))
    assert (found, unwanted) == (f"{prompt} <lora:a:0.8> <lora:b:-1>", negative)
    assert fields["Model"] == title and fields["Model hash"] == DIGEST[:10]
    assert dict(re.findall(r"([^:, ]+): (\w+)", fields["Lora hashes"])) == {"a": DIGEST[:12], "b": "f" * 12}
    assert (fields["Sampler"], fields["Schedule type"], fields["Seed"]) == ("DPM++ 2M", "Karras", "5")


def read(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_text_record_and_mark_come_back_from_the_file():
    image = read(png.of(Image.new("RGB", (4, 4), "red"), MADE))
    assert image.info["parameters"] == text(MADE)
    record = json.loads(image.info[png.EXACT])
    assert record["settings"]["seed"] == 5 and record["settings"]["prompt"] == SETTINGS.prompt
    assert record["loras"][0] == {"name": "one", "strength": 0.8, "hash": DIGEST}
    assert "digitalsourcetype/trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_the_mark_is_gone_where_it_is_not_wanted_and_nothing_else_is():
    unmarked = replace(MADE, settings=SETTINGS.model_copy(update={"mark": False}))
    data = png.of(Image.new("RGB", (4, 4)), unmarked)
    assert b"trainedAlgorithmicMedia" not in data
    assert read(data).info["parameters"] == text(MADE)


def test_the_record_makes_the_same_settings_again():
    record = json.loads(exact(MADE))
    assert DrawSettings(**record["settings"]) == SETTINGS
