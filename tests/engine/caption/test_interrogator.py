"""Words ranked by CLIP: the list, its licence, and what is said of probabilities."""

import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from lora_gui.engine.caption import interrogator, room
from lora_gui.engine.caption.describe import Opening
from lora_gui.studio.things import goals


def test_the_list_says_its_licence_and_has_every_word_once():
    assert "Apache-2.0" in interrogator.LIST.read_text(encoding="utf-8").splitlines()[1]
    found = interrogator.sections()
    assert list(found) == ["subject", "pose", "clothes", "place", "surroundings"]
    every = [word for words in found.values() for word in words]
    assert len(every) == len(set(every)) > 300


def test_the_subject_is_always_said_and_the_rest_where_it_stands_out():
    words, flat, clear = ["a fox", "a cat"], torch.tensor([0.1, 0.11]), torch.tensor([0.9, 0.1])
    assert interrogator.said("subject", words, flat) == "a cat"
    assert interrogator.said("place", words, flat) == "" and interrogator.said("place", words, clear) == "a fox"


def test_what_is_said_fits_best_by_the_model_itself(captioner, pictures):
    folder = captioner("interrogator")
    describer = interrogator.interrogator(
        Opening(folder, room.Room(torch.device("cpu"), torch.float32), "", 0.35, 0.85)
    )
    images = [Image.open(path).convert("RGB") for path in pictures]
    with torch.inference_mode():
        found = describer(images)
        model = CLIPModel.from_pretrained(folder).eval()
        subjects = interrogator.sections()["subject"]
        tokens = AutoTokenizer.from_pretrained(folder)(
            [f"a picture of {one}" for one in subjects], padding=True, truncation=True, return_tensors="pt"
        )
        pixels = CLIPImageProcessorPil.from_pretrained(folder)(images=images, return_tensors="pt")
        best = model(**tokens, **pixels).logits_per_image.argmax(-1)
    for text, number in zip(found, best, strict=True):
        assert text.startswith(subjects[number])


def test_words_whose_chances_are_near_keep_their_order_in_16_bits():
    seen = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16)
    known = torch.tensor([[0.25, 0.97], [0.251, 0.97]], dtype=torch.bfloat16)  # 25 and 25.1 are one in 16 bits
    assert float(known[1, 0]) > float(known[0, 0]) and bool((known * 100).bfloat16()[0, 0] == 25)
    chances = interrogator.ranking(seen, known, torch.tensor(100.0))
    exact = (100 * known[:, 0].double()).softmax(-1)
    assert chances.dtype == torch.float32 and torch.allclose(chances[0].double(), exact, atol=1e-5)


def test_goals_shorten_what_the_list_can_say():
    said = "a woman sitting wearing a hat in a garden at night"
    assert goals.shortened(said, "style", "zxy") == "zxy, woman sitting in garden"
    assert goals.shortened(said, "character", "zxy") == "zxy, sitting, wearing hat, in garden, at night"
