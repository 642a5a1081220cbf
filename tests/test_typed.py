"""Settings as people type them on the command line."""

import pytest

from lora_gui.commands import settings_of
from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, TrainSettings, check
from lora_gui.typed import number, read


@pytest.mark.parametrize(
    ("text", "whole", "found"),
    [
        ("1,000", True, 1000), ("1,000,000", True, 1_000_000), ("1 000", True, 1000), ("1'000", True, 1000),
        ("1_000", True, 1000), ("1.000.000", True, 1_000_000), ("12", True, 12), ("1e3", True, 1000.0),
        ("0,5", False, 0.5), ("0,001", False, 0.001), ("1,5", False, 1.5), ("-0,8", False, -0.8), (",5", False, 0.5),
        ("1e-4", False, 1e-4), ("1,5e-4", False, 1.5e-4), ("1,000.5", False, 1000.5), ("1.000,5", False, 1000.5),
        ("0.125", False, 0.125), ("1.125", False, 1.125), ("0,5", True, 0.5), ("many", True, "many"), ("", False, ""),
        ("1_0", False, "1_0"),
    ],
)  # fmt: skip
def test_a_number_is_read_as_people_write_it(text, whole, found):
    assert number(text, whole) == found and type(number(text, whole)) is type(found)


@pytest.mark.parametrize(("text", "whole"), [("1,000", False), ("1.000", True), ("12.500", True), ("12,500", False)])
def test_a_number_that_can_be_read_in_two_ways_is_a_sentence_with_both(text, whole):
    with pytest.raises(UserError, match="two ways") as caught:
        number(text, whole)
    assert text.replace(",", "").replace(".", "") in caught.value.what


def train(*pairs):
    return check(TrainSettings, settings_of(list(pairs), TrainSettings))


def test_the_names_of_other_trainers_are_ours():
    found = train(
        "lr=2e-4", "max_train_steps=1,200", "network_dim=8", "network_alpha=4", "train_batch_size=2",
        "gradient_accumulation_steps=4", "resolution=512,512", "lr_scheduler=constant_with_warmup",
        "lr_warmup_steps=10", "optimizer_type=AdamW8bit", "Learning-Rate=0,0002",
    )  # fmt: skip
    assert (found.learning_rate, found.steps, found.rank, found.alpha) == (2e-4, 1200, 8, 4)
    assert (found.batch_size, found.accumulation, found.resolution) == (2, 4, 512)
    assert (found.scheduler, found.warmup_steps, found.optimizer) == ("constant", 10, "adamw8bit")
    assert train("dim=8").rank == 8 and train("resolution=768x768").resolution == 768
    assert train("flip=yes").flip and not train("flip=False").flip
    with pytest.raises(UserError, match="two"):
        train("resolution=512,768")
    drawn = check(DrawSettings, settings_of(["size=512x768", "cfg_scale=5,5", "num_inference_steps=30"], DrawSettings))
    assert (drawn.width, drawn.height, drawn.guidance, drawn.steps) == (512, 768, 5.5, 30)


def test_a_name_that_nobody_has_names_the_nearest_and_a_wrong_value_its_bound():
    with pytest.raises(UserError, match="Did you mean 'rank'"):
        train("rnak=4")
    with pytest.raises(UserError, match="Steps must be a whole number. .* instead of 0.5"):
        train("steps=0,5")
    with pytest.raises(UserError, match="whole number. .* instead of 'many'"):
        train("steps=many")
    with pytest.raises(UserError, match="has no value"):
        train("steps")


@pytest.mark.parametrize(
    "text", ["up_blocks.2, mid_block", "up_blocks.2 mid_block", '["up_blocks.2", "mid_block"]',
             '"up_blocks.2", "mid_block"', "[up_blocks.2, mid_block]", "('up_blocks.2','mid_block')"],
)  # fmt: skip
def test_a_list_is_read_as_people_write_it(text):
    assert train(f"only_layers={text}").only_layers == ("up_blocks.2", "mid_block")


def test_prompts_keep_their_own_commas_and_how_a_list_was_taken_apart_is_said(capsys):
    train("sample_prompts=zxy a cat, at night")
    assert capsys.readouterr().err == "Sample prompts: 1 ('zxy a cat, at night').\n"
    assert train("sample_prompts=zxy a cat, at night; zxy a dog").sample_prompts == ("zxy a cat, at night", "zxy a dog")
    assert train('sample_prompts=["a, b", "c"]').sample_prompts == ("a, b", "c")
    assert train("only_layers=").only_layers == ()


def test_further_resolutions_are_read_as_a_list_of_numbers():
    for text in ("512 768", "512,768", "[512, 768]", "512;768"):
        values = read(TrainSettings, [("further-resolutions", text)])
        assert check(TrainSettings, values).further_resolutions == (512, 768), text
