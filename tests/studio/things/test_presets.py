"""Presets: what they fill, who goes over whom, and what is wrong with a file."""

import os
import tomllib

import pytest

from lora_gui import families
from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio
from lora_gui.studio.things.presets import CARDS, content, fill, presets, read

STARTER = Base(key="starter", title="Starter", family="sd1", path="starter")
ADAM = "'adamw', 'adamw8bit', 'adafactor' or 'prodigy'."
SD15 = Base(key="sd15", title="Stable Diffusion 1.5", family="sd1", path="sd15")


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path)
    found.presets.mkdir()
    return found


def mine(studio, text, name="mine"):
    path = studio.presets / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("key", ["style", "character", "concept"])
def test_our_presets_are_whole_and_fill_every_known_base(studio, key):
    assert list(presets(studio))[:3] == ["style", "character", "concept"]
    content = read(presets(studio)[key].path, studio)
    assert content.title and content.description
    for family in families.facts().values():
        for known in family.bases:
            settings = fill(studio, key, Base(key=known.key, title="", family=family.key, path=""), 20)
            assert settings.alpha == settings.rank and settings.steps >= 100


def test_every_value_of_our_presets_has_its_reason_beside_it(studio):
    for preset in presets(studio).values():
        for line in preset.path.read_text(encoding="utf-8").splitlines():
            if " = " in line and not line.startswith(("#", "title", "description")):
                assert len(line.partition("#")[2].strip()) > 10, f"{preset.path.name}: {line}"


def test_rank_steps_and_memory_fit_the_subject(studio):
    assert [fill(studio, key, SD15, 20).rank for key in ("style", "character", "concept")] == [16, 32, 8]
    settings = fill(studio, "style", SD15, 20)
    assert (settings.optimizer, settings.precision, settings.resolution, settings.gradient_checkpointing) == (
        "adamw8bit",
        "bf16",
        512,
        "none",
    )
    assert fill(studio, "style", STARTER, 24).precision == "fp32"


def test_other_cards_step_up_or_down_from_that_of_12_gb(studio):
    def filled(key, family, card):
        return fill(studio, "style", Base(key=key, title="", family=family, path=""), 20, card=card)

    assert filled("flux1-dev", "flux1", 12).precision == "nf4" and filled("flux1-dev", "flux1", 24).precision == "int8"
    assert filled("flux1-dev", "flux1", 8).streamed_blocks > 0 and filled("flux1-dev", "flux1", 12).streamed_blocks == 0
    assert [filled("sd15", "sd1", card).batch_size for card in (4, 6, 11.6, 16, 48)] == [1, 1, 1, 2, 4]
    assert filled("starter", "sd1", 24).batch_size == 16  # the nearer table wins over a farther one of a card


def test_a_card_that_is_not_known_and_a_misspelt_table_are_named(studio):
    mine(studio, "[card.9.all]\nrank = 4\n")
    with pytest.raises(UserError, match="unknown card '9'"):
        fill(studio, "mine", STARTER, 10)
    mine(studio, "[card.8.famly.sd1]\nrank = 4\n")
    with pytest.raises(UserError, match="'famly'"):
        fill(studio, "mine", STARTER, 10)


def test_steps_grow_with_the_pictures_between_their_bounds(studio):
    mine(studio, "[all]\nsteps_per_picture = 10\nsteps_min = 50\nsteps_max = 200\n")
    assert [fill(studio, "mine", STARTER, count).steps for count in (1, 10, 100)] == [50, 100, 200]


def test_field_default_then_family_then_preset_then_the_hand(studio):
    mine(studio, "[all]\nrank = 5\nalpha = 5\n[family.sd1]\nrank = 6\nsteps = 70\n[base.starter]\nrank = 7\n")
    defaults = families.facts_of("sd1").train_defaults
    settings = fill(studio, "mine", STARTER, 9, {"seed": 3})
    assert (settings.rank, settings.alpha, settings.steps, settings.seed, settings.accumulation) == (7, 5, 70, 3, 1)
    assert fill(studio, "mine", SD15, 9).rank == 6
    assert fill(studio, "mine", SD15, 9).resolution == defaults["resolution"]
    assert fill(studio, "mine", STARTER, 9, {"rank": 9, "steps": 11}).rank == 9


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("[all]\nrankk = 4", "The preset mine.toml has an unknown key 'rankk' in [all].", "Did you mean 'rank'?"),
        (
            "[all]\nlr = 1e-4",
            "The preset mine.toml has an unknown key 'lr' in [all].",
            "Did you mean 'learning_rate'?",
        ),
        (
            "[all]\nsteps_per_pictures = 4",
            "The preset mine.toml has an unknown key 'steps_per_pictures' in [all].",
            "Did you mean 'steps_per_picture'?",
        ),
        (
            "[all]\nrank = 999",
            "In the preset mine.toml, 'rank' in [all] can be at most 256.",
            "It is 999 there.",
        ),
        ("[all]\nrank = 'x'", "In the preset mine.toml, 'rank' in [all] must be a whole number.", "It is 'x' there."),
        (
            "[all]\nresolution = 500",
            "In the preset mine.toml, 'resolution' in [all] goes in steps of 8.",
            "It is 500 there.",
        ),
        ("[all]\noptimizer = 'adam'", "In the preset mine.toml, 'optimizer' in [all] must be " + ADAM, None),
        ("[all]\nlearning_rate = nan", "In the preset mine.toml, 'learning_rate' in [all] must be a number.", None),
        (
            "[all]\nsteps_min = 0",
            "In the preset mine.toml, 'steps_min' in [all] must be at least 1.",
            "It is 0 there.",
        ),
        ("rank = 4", "The preset mine.toml has an unknown key 'rank'.", "It belongs under [all]."),
        ("[al]\nrank = 4", "The preset mine.toml has an unknown key 'al'.", "Did you mean 'all'?"),
        (
            "[family.sd-1]\nrank = 4",
            "The preset mine.toml has a table for an unknown family 'sd-1'.",
            "Did you mean 'sd1'?",
        ),
        (
            "[base.startr]\nrank = 4",
            "The preset mine.toml has a table for an unknown base 'startr'.",
            "Did you mean 'starter'?",
        ),
        ("all = 3", "In the preset mine.toml, 'all' must be a table.", "Write [all] on a line of its own."),
        (
            "[base]\nstarter = 3",
            "In the preset mine.toml, 'base.starter' must be a table.",
            "Write [base.starter] on a line of its own.",
        ),
        ("[all", "The preset mine.toml is not written correctly.", None),
    ],
)
def test_a_preset_file_with_a_mistake_names_the_file_the_key_and_the_nearest_known_one(studio, text, what, remedy):
    mine(studio, text)
    with pytest.raises(UserError) as caught:
        fill(studio, "mine", STARTER, 10)
    assert caught.value.what == what
    assert caught.value.remedy == remedy or (remedy is None and caught.value.remedy.endswith("."))


def test_a_broken_file_of_the_users_leaves_the_other_presets_alone(studio):
    mine(studio, "[[[")
    (studio.presets / "latin.toml").write_bytes(b"title = '\xe4'")
    known = presets(studio)
    assert "not written correctly" in known["mine"].problem and "cannot be read" in known["latin"].problem
    assert not known["style"].problem and fill(studio, "style", STARTER, 10).rank


def test_a_users_preset_of_the_same_name_replaces_ours_and_an_unknown_one_names_the_nearest(studio):
    mine(studio, "title = 'My look'\n[all]\nrank = 3", "style")
    assert presets(studio)["style"].title == "My look" and fill(studio, "style", STARTER, 10).rank == 3
    with pytest.raises(UserError, match="Did you mean 'style'"):
        fill(studio, "styl", STARTER, 10)


ODD = {
    "deep": "a = " + "[" * 200_000,
    "deep tables": "[all]\nrank" + ".a" * 4_000 + " = 1",
    "digits": "[all]\nrank = 1" + "0" * 5000,
    "hex digits": "[all]\nrank = 0x" + "f" * 5000,
    "long word": "[all]\noptimizer = '" + "x" * 100_000 + "'",
    "long key": "[all]\n" + "x" * 300 + " = 1",
    "long table": "[base." + "x" * 300 + "]\nrank = 1",
    "infinite": "[all]\nlearning_rate = inf",
    "title": "title = 5",
    "description": "description = [1]",
    "card": "card = 5",
    "card of words": "[card.eight.all]\nrank = 4",
    "table in the place of a value": "[all.rank]\nrank = 4",
    "value in a list": "[all]\nonly_layers = ['a', 5]",
    "too large": "# " + "x" * 2_000_000,
    "nul": "[all]\nrank = 4\0",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_preset_is_named_with_a_short_sentence_and_leaves_the_others_alone(studio, name):
    mine(studio, ODD[name])
    mine(studio, "title = 'Good'\n[all]\nrank = 3", "good")
    known = presets(studio)
    assert not known["good"].problem and fill(studio, "good", STARTER, 10).rank == 3
    assert "mine.toml" in known["mine"].problem and len(known["mine"].problem) < 1000
    with pytest.raises(UserError, match=r"mine\.toml"):
        fill(studio, "mine", STARTER, 10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_preset_that_is_a_pipe_or_has_no_end_hangs_nobody(studio):
    os.mkfifo(studio.presets / "pipe.toml")
    for name, target in (("endless", "/dev/zero"), ("gone", "/nowhere"), ("itself", studio.presets / "itself.toml")):
        (studio.presets / f"{name}.toml").symlink_to(target)
    (studio.presets / "folder.toml").mkdir()
    known = presets(studio)
    assert all("cannot be read" in known[name].problem for name in ("pipe", "endless", "gone", "itself", "folder"))
    assert not known["style"].problem


def test_a_table_for_a_base_of_the_users_own_is_known_by_what_lies_among_the_bases(studio):
    (studio.bases / "my base").mkdir(parents=True)
    (studio.bases / "one.safetensors").touch()
    mine(studio, "[base.'my base']\nrank = 3\n[base.one]\nrank = 4\n")
    assert not presets(studio)["mine"].problem
    assert fill(studio, "mine", Base(key="one", title="", family="sd1", path=""), 5).rank == 4


def test_prodigy_comes_with_what_it_needs_unless_the_hand_says_otherwise(studio):
    found = fill(studio, "style", SD15, 20, {"optimizer": "prodigy"})
    assert (found.learning_rate, found.scheduler, found.warmup_steps) == (1.0, "constant", 0)
    found = fill(studio, "style", SD15, 20, {"optimizer": "prodigy", "learning_rate": 0.5, "scheduler": "cosine"})
    assert (found.learning_rate, found.scheduler, found.warmup_steps) == (0.5, "cosine", 0)
    with pytest.raises(UserError, match="Prodigy does not learn at a rate of 0.0001.*rate of 1"):
        fill(studio, "style", SD15, 20, {"optimizer": "prodigy", "learning_rate": 1e-4})


def test_a_preset_may_choose_prodigy_and_the_hand_another_without_its_rate(studio):
    mine(studio, "[all]\noptimizer = 'prodigy'\n")
    assert fill(studio, "mine", SD15, 20).learning_rate == 1.0
    with pytest.raises(UserError, match="Prodigy does not learn"):
        fill(studio, "mine", SD15, 20, {"learning_rate": 1e-4})
    mine(studio, "[all]\noptimizer = 'prodigy'\nlearning_rate = 1.0\n")
    found = fill(studio, "mine", SD15, 20, {"optimizer": "adamw"})
    assert found.learning_rate == families.facts_of("sd1").train_defaults["learning_rate"]


def test_class_pictures_without_words_of_the_class_are_refused(studio):
    with pytest.raises(SettingError, match="need words of the class") as refused:
        fill(studio, "character", STARTER, 20, {"class_pictures": 50})
    assert (refused.value.setting, refused.value.instead) == ("class_pictures", 0)
    hand = {"class_pictures": 50, "class_words": "a woman"}
    assert fill(studio, "character", STARTER, 20, hand).class_words == "a woman"


def test_a_warm_up_by_hand_that_does_not_fit_into_the_run_is_refused(studio):
    with pytest.raises(UserError, match="A warm-up of 100 steps does not fit into a run of 4"):
        fill(studio, "style", SD15, 20, {"steps": 4, "warmup_steps": 100})
    assert fill(studio, "style", SD15, 20, {"steps": 101, "warmup_steps": 100}).warmup_steps == 100
    assert fill(studio, "style", SD15, 20, {"steps": 4}).steps == 4  # the run itself shortens the preset's, and says so


@pytest.mark.parametrize("preset", ["style", "character", "concept"])
def test_stable_diffusion_3_is_clipped_as_its_family_wants_and_the_others_as_usual(studio, preset):
    def clipped(key, family):
        return fill(studio, preset, Base(key=key, title="", family=family, path=""), 20).max_grad_norm

    assert (clipped("sd35-medium", "sd3"), clipped("sd35-large", "sd3"), clipped("sdxl", "sdxl")) == (0.5, 0.1, 1.0)


@pytest.mark.parametrize(("preset", "rate"), [("style", 3e-4), ("character", 2e-4), ("concept", 2e-4)])
def test_klein_is_trained_as_it_is_in_practice(studio, preset, rate):
    def filled(key, pictures):
        return fill(studio, preset, Base(key=key, title="", family="klein", path=""), pictures)

    small = [filled("klein-4b", pictures) for pictures in (5, 20, 60)]
    assert {one.learning_rate for one in small} == {rate} and all(500 <= one.steps <= 1200 for one in small)
    large = [filled("klein-9b", pictures) for pictures in (5, 20, 60)]
    assert {one.learning_rate for one in large} == {1e-4} and [one.steps for one in large] == [500, 600, 1800]


def test_every_linear_layer_learns_where_that_was_measured_to_be_better_and_fits(studio):
    def learns(preset, key, family, card=12):
        return fill(studio, preset, Base(key=key, title="", family=family, path=""), 20, card=card).layers

    for preset in ("style", "character"):
        assert {learns(preset, "sdxl", "sdxl", card) for card in CARDS} == {"linear"}
        cards = [learns(preset, "sd15", "sd1", card) for card in CARDS]
        assert cards == ["attention"] * 3 + ["linear"] * 2  # SD 1.5 is promised to fit 4 GB on a card of 12
        assert len({learns(preset, "starter", "sd1", card) for card in CARDS}) == 1
    assert learns("concept", "sdxl", "sdxl") == learns("style", "flux1-dev", "flux1") == "attention"


@pytest.mark.parametrize(("beside", "said"), [({"dora": True}, "DoRA is for"), ({"lora_plus": 4}, r"LoRA\+ ratio is")])
def test_what_only_the_halves_of_a_lora_have_is_refused_beside_a_lokr(studio, beside, said):
    with pytest.raises(SettingError, match=said) as refused:
        fill(studio, "style", STARTER, 20, {"adapter": "lokr"} | beside)
    assert refused.value.setting in beside
    assert fill(studio, "style", STARTER, 20, {"adapter": "lokr", "max_norm": 1, "ema_decay": 0.9}).adapter == "lokr"


def test_a_dora_that_its_file_could_not_say_is_refused_before_anything_is_encoded(studio):
    flux = Base(key="flux1-dev", title="FLUX.1 dev", family="flux1", known="flux1-dev", path="")
    hand = {"dora": True, "layers": "attention"}
    with pytest.raises(SettingError, match="Set Layers to linear, or switch DoRA off") as refused:
        fill(studio, "style", flux, 20, hand)
    assert (refused.value.setting, refused.value.instead) == ("layers", "linear")
    for further in ({"layers": "linear"}, {"only_layers": ("ff",)}):
        assert fill(studio, "style", flux, 20, hand | further).dora
    assert fill(studio, "style", STARTER, 20, hand).dora


@pytest.mark.parametrize(("family", "asked", "near"), [("sd1", 8, 64), ("flux1", 72, 64), ("wuerstchen", 64, 128)])
def test_samples_are_as_large_as_the_family_draws_or_refused(studio, family, asked, near):
    base = Base(key="own", title="Own", family=family, path="")
    with pytest.raises(SettingError, match=f"none of {asked}") as refused:
        fill(studio, "style", base, 20, {"sample_resolution": asked})
    assert (refused.value.setting, refused.value.instead) == ("sample_resolution", near)
    for good in (0, near, 512):
        assert fill(studio, "style", base, 20, {"sample_resolution": good}).sample_resolution == good


def test_further_resolutions_are_smaller_than_the_resolution(studio):
    with pytest.raises(SettingError, match="smaller than the resolution, which is 128") as refused:
        fill(studio, "style", STARTER, 20, {"resolution": 128, "further_resolutions": (64, 128)})
    assert refused.value.setting == "further_resolutions"
    assert fill(studio, "style", STARTER, 20, {"further_resolutions": (64,)}).further_resolutions
    with pytest.raises(SettingError, match="Further resolutions can be at most 2,048. It was 5000."):
        fill(studio, "style", STARTER, 20, {"further_resolutions": (5000,)})


def test_what_macos_puts_beside_a_preset_is_none(studio):
    mine(studio, "[all]\nrank = 5\n")
    (studio.presets / "._mine.toml").write_bytes(b"\0\x05\x16\x07" * 20)
    assert list(presets(studio)) == ["style", "character", "concept", "mine"]


def test_a_file_is_parsed_again_only_once_it_has_changed(studio, monkeypatch):
    path, parsed = mine(studio, "[all]\nrank = 5\n"), []
    real = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: parsed.append(text) or real(text))
    for rank in (7, 7, 9):
        path.write_text(f"[all]\nrank = {rank}\n", encoding="utf-8")
        content(path)["all"]["rank"] = 1  # what is done to what was read stays there
        assert fill(studio, "mine", STARTER, 20).rank == rank
    assert [text for text in parsed if "[all]\nrank = " in text] == ["[all]\nrank = 7\n", "[all]\nrank = 9\n"]
