"""What a drawing says of itself."""

import io

from PIL import Image

from lora_gui.formats import png
from lora_gui.settings import DrawSettings

SETTINGS = DrawSettings(prompt='a "cat", 日本語 🙂', negative_prompt="grey", width=64, height=128, steps=20, guidance=7)


def test_the_text_is_that_of_a1111():
    stack = [("one", 0.8, "0123456789abcdef"), ("two", 1.0, "")]
    text = png.parameters(SETTINGS, 5, "Starter", "DDIM", stack, (60, 128))
    assert text.splitlines() == [
        'a "cat", 日本語 🙂 <lora:one:0.8> <lora:two:1>',
        "Negative prompt: grey",
        "Steps: 20, Sampler: DDIM, CFG scale: 7, Seed: 5, Size: 60x128, Model: Starter, "
        'Lora hashes: "one: 0123456789ab", Version: LoRA Studio 0.1.0',
    ]


def test_text_and_mark_come_back_from_the_file():
    text = png.parameters(SETTINGS, 5, "Base, of mine", "DDIM", [], (4, 4))
    image = Image.open(io.BytesIO(png.encode(Image.new("RGB", (4, 4), "red"), text)))
    assert image.info["parameters"] == text
    assert 'Model: "Base, of mine"' in text
    assert "digitalsourcetype/trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
    assert image.getpixel((0, 0)) == (255, 0, 0)
