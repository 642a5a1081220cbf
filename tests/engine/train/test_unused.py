"""Settings that count for nothing are said, and none that counts is."""

import pytest

from lora_gui.engine.train import unused
from lora_gui.settings import TrainSettings

SET = {
    "restarts": (5, {"scheduler": "cosine_with_restarts"}),
    "lokr_factor": (4, {"adapter": "lokr"}),
    "huber_c": (0.2, {"loss": "huber"}),
    "huber_schedule": ("constant", {"loss": "huber"}),
    "unmasked_weight": (0.5, {"masked_loss": True}),
    "class_weight": (2.0, {"class_pictures": 50}),
    "class_words": ("a woman", {"preservation": 1.0}),
    "keep_first_tags": (2, {"tag_dropout": 0.1}),
    "text_encoder_learning_rate": (2e-5, {"train_text_encoder": True}),
}


def told(**values):
    return [note.text for note in unused.notes(TrainSettings(**values))]


@pytest.mark.parametrize("name", SET)
def test_a_setting_that_counts_for_nothing_is_said_and_one_that_counts_is_not(name):
    value, beside = SET[name]
    title = TrainSettings.model_fields[name].title
    (said,) = told(**{name: value})
    assert said.startswith(f"The setting {title} counts for nothing, since ")
    assert told(**{name: value}, **beside) == []


def test_nothing_is_said_of_what_nobody_set_and_prodigy_has_one_rate():
    assert told() == []
    rates = {"train_text_encoder": True, "text_encoder_learning_rate": 2e-5, "lora_plus": 4.0}
    assert told(**rates) == []
    one, other = told(**rates, optimizer="prodigy")
    assert "LoRA+" in one and "text encoder" in other
