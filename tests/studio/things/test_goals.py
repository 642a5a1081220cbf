"""Captions by goal: what is said, and what is left to the trigger word."""

import pytest

from lora_gui.studio.things.goals import of_file_name, shortened


@pytest.mark.parametrize(
    "described, style, character, concept",
    [
        ("a woman with long hair in a garden", "woman in garden", "in garden", "in garden"),
        ("a woman with long hair in a red dress standing in a garden", "woman in red dress standing",
         "in red dress, standing, in garden", "in red dress, standing, in garden"),
        ("a watercolor painting of a red fox sitting on a log", "red fox sitting on log", "sitting, on log",
         "sitting, on log"),
        ("an illustration of a cat wearing a hat", "cat", "wearing hat", "wearing hat"),
        ("1girl, solo, long hair, garden", "long hair, garden", "garden", "solo, long hair, garden"),
        ("two people walking on a beach at sunset", "two people walking on beach", "walking, on beach, at sunset",
         "walking, on beach, at sunset"),
        ("zxy, a red car", "red car", "", ""),
        ("a woman standing by the lake", "woman standing by lake", "standing, by lake", "standing, by lake"),
        ("a man surrounded by trees", "man surrounded by trees", "surrounded by trees", "surrounded by trees"),
        ("a room lit by candles", "room lit by candles", "lit by candles", "lit by candles"),
        ("a painting of a cat by van gogh", "cat", "", ""),
        ("a cat, by van gogh, 4k", "cat", "cat", ""),
        ("a man looking at a painting", "man looking at painting", "looking, at painting", "looking, at painting"),
        ("a person with a portrait of a cat", "person", "with portrait of cat", ""),
        ("arafed man on a beach", "man on beach", "on beach", "on beach"),
        ("a red fox by a tree, digital art", "red fox, by tree", "red fox, by tree", "by tree"),
        ("two dogs in a photo", "two dogs", "", ""),
        ("there is a woman that is standing in the snow", "woman standing in snow", "standing, in snow",
         "standing, in snow"),
        ("a woman wearing a short black and white skirt", "woman", "wearing short black and white skirt",
         "wearing short black and white skirt"),
        ("a black and white photo of a man sitting on an old bench", "man sitting on old bench",
         "sitting, on old bench", "sitting, on old bench"),
        ("a woman in front of a tall building", "woman in front of building", "in front of tall building",
         "in front of tall building"),
        ("1girl, short hair, short sleeves, closed eyes, blue eyes, fur trim, tail", "short hair, short sleeves",
         "short sleeves, closed eyes, fur trim", "short hair, short sleeves, closed eyes, blue eyes, fur trim, tail"),
        ("Eine Katze auf der Straße", "der straße", "", ""),
        ("", "", "", ""),
    ],
)  # fmt: skip
def test_each_goal_says_what_it_wants_said(described, style, character, concept):
    for goal, said in {"style": style, "character": character, "concept": concept}.items():
        assert shortened(described, goal, "zxy") == (f"zxy, {said}" if said else "zxy")


@pytest.mark.parametrize(
    "name, said",
    [("woman_in-garden (3).jpg", "woman in garden"), ("redFox.png", "red fox"), ("IMG_2041.jpg", ""), ("DSC01.JPG", ""),
     ("photo-of-a-cat_final2.webp", "a cat"), ("9f8a7c6b5d.png", "")],
)  # fmt: skip
def test_a_file_name_says_what_it_says_and_no_more(name, said):
    assert of_file_name(name) == said
