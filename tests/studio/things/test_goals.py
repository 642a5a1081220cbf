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
