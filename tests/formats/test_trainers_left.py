"""What of others' settings changes a training most is taken as it was there, and nothing is left without a word."""

import json
import math

import pytest

from tests.formats.test_trainers import AI_TOOLKIT, ONE_TRAINER, from_yaml, read

KOHYA_SHORT = {"network_module": "networks.lora", "network_dim": 32, "learning_rate": 1e-4}


@pytest.mark.parametrize(("more", "values", "told"), [
    ({"network_alpha": 16, "max_train_epochs": 12, "max_train_steps": 1600}, {"steps": None, "alpha": 16.0},
     ["max_train_steps = 1600: the epochs go before it there.", "max_train_epochs = 12: a run is counted in steps"]),
    ({"epoch": 12, "max_train_steps": 1600, "max_train_epochs": 0}, {"steps": 1600, "alpha": 1.0}, []),
    ({"network_alpha": 0}, {"alpha": 32.0}, []),
    ({}, {"train_text_encoder": True, "text_encoder_learning_rate": 1e-4}, []),
    ({"network_train_unet_only": True}, {"train_text_encoder": False, "text_encoder_learning_rate": None}, []),
    ({"text_encoder_lr": 0.0}, {"train_text_encoder": False, "text_encoder_learning_rate": None}, []),
    ({"LoRA_type": "Standard", "text_encoder_lr": 0.0, "unet_lr": 2e-4},
     {"train_text_encoder": False, "learning_rate": 2e-4}, []),
    ({"text_encoder_lr": [5e-5, 1e-5]}, {"text_encoder_learning_rate": 5e-5},
     ["text_encoder_lr = [5e-05, 1e-05]: text encoders have one rate here"]),
    ({"text_encoder_lr": 5e-5, "unet_lr": 0}, {"text_encoder_learning_rate": 5e-5}, ["unet_lr = 0: the denoiser al"]),
    ({"network_module": "networks.lora_flux"}, {"train_text_encoder": None},
     ["learning_rate of the text encoder = 0.0001: those of this base are not trained here."]),
    ({"LoRA_type": "Flux1", "flux1_checkbox": True, "text_encoder_lr": 5e-5, "unet_lr": 1e-4},
     {"train_text_encoder": None}, ["text_encoder_lr of the text encoder = 5e-05"]),
    ({"max_grad_norm": 0.0, "min_snr_gamma": 0}, {"max_grad_norm": 0.0, "min_snr_gamma": 0.0}, []),
    ({"keep_tokens": "3"}, {"keep_first_tags": 2}, []),
    ({"max_timestep": 900, "min_timestep": 50}, {"learn_below": 0.9}, ["min_timestep = 50: there is nothing like it"]),
    ({"max_timestep": "1000", "min_timestep": 0}, {"learn_below": 1.0}, []),
    ({"max_timestep": "a"}, {"learn_below": None}, ["max_timestep = 'a'"]),
    ({"mixed_precision": "fp8"}, {"precision": None}, ["mixed_precision = 'fp8'"]),
    ({"stop_text_encoder_training": 100, "color_aug": True, "logit_mean": 0.5, "resume": "D:\\x",
      "dataset_config": "D:\\me\\set.toml", "additional_parameters": "--min_timestep 100"}, {},
     ["stop_text_encoder_training = 100", "color_aug = True", "logit_mean = 0.5", "resume = ",
      "dataset_config = 'set.toml'", "additional_parameters = "]),
])  # fmt: skip
def test_what_changes_kohyas_training_most_is_taken_as_it_was_there_or_named(tmp_path, more, values, told):
    found = read(tmp_path, KOHYA_SHORT | more)
    assert {name: found.values.get(name) for name in values} == values
    assert len(found.left) == len(told) and {*more} & {*found.own_way} <= {"LoRA_type", "flux1_checkbox"}
    for one in told:
        assert any(line.startswith(one) for line in found.left), one


def test_without_an_alpha_of_its_own_a_rank_goes_with_the_1_that_each_of_these_trainers_takes(tmp_path):
    for content in (
        {"algo": "lora", "linear_dim": 8},
        {"lora_rank": 8, "learning_rate": 1e-4},
        AI_TOOLKIT.replace("linear: 16, linear_alpha: 8", "linear: 8"),
    ):
        assert read(tmp_path, content).values.items() >= {"rank": 8, "alpha": 1.0}.items()
    assert "alpha" not in read(tmp_path, {"network_module": "networks.lora", "max_train_steps": 9}).values


INNER = {  # tables within the files of others, as the place of each is told
    "optimizer": (ONE_TRAINER, ["optimizer"]),
    "transformer": (ONE_TRAINER, ["transformer"]),
    "text_encoder": (ONE_TRAINER, ["text_encoder"]),
    "text_encoder_2": (ONE_TRAINER | {"text_encoder_2": {}}, ["text_encoder_2"]),
    "": (ONE_TRAINER, []),
    "network": (AI_TOOLKIT, ["network"]), "train": (AI_TOOLKIT, ["train"]), "save": (AI_TOOLKIT, ["save"]),
    "sample": (AI_TOOLKIT, ["sample"]), "model": (AI_TOOLKIT, ["model"]), "datasets": (AI_TOOLKIT, ["datasets", 0]),
    "train: optimizer_params": (AI_TOOLKIT, ["train", "optimizer_params"]),
    "train: ema_config": (AI_TOOLKIT, ["train", "ema_config"]), " ": (AI_TOOLKIT, []),
}  # fmt: skip


@pytest.mark.parametrize("value", [3.5, "odd", {"inner": 1}, [1, 2]])
@pytest.mark.parametrize("place", INNER)
def test_no_table_of_a_file_swallows_what_is_not_known_of_it(tmp_path, place, value):
    content, path = INNER[place]
    table = whole = json.loads(json.dumps(content if isinstance(content, dict) else from_yaml(content)))
    for step in ["config", "process", 0, *path] if content is AI_TOOLKIT else path:
        table = table[step]
    before = read(tmp_path, whole).left
    table["never_heard_of"] = value
    new = [one for one in read(tmp_path, whole).left if one not in before]
    told = f"{place}: never_heard_of" if place.strip() else "never_heard_of"
    assert len(new) == 1 and new[0].startswith(f"{told} = "), new


@pytest.mark.parametrize(("more", "values", "told"), [
    ({"optimizer": {"optimizer": "ADAMW", "beta1": 0.5, "beta2": 0.999, "eps": 1e-4, "fused": True, "decouple": True,
                    "stochastic_rounding": True, "growth_rate": math.inf, "amsgrad": False, "k": None}},
     {"optimizer": "adamw"}, ["optimizer: beta1 = 0.5", "optimizer: eps = 0.0001"]),
    ({"optimizer": {"optimizer": "ADAFACTOR", "eps": 1e-30, "eps2": 1e-3, "decay_rate": -0.8}},
     {"optimizer": "adafactor"}, []),
    ({"transformer": {"train": False}}, {}, ["transformer: train = False: the denoiser always learns here."]),
    ({"unet": {"train": False, "weight_dtype": "FLOAT_32"}}, {"precision": "nf4"}, []),  # the base has none
    ({"text_encoder": {"train": False, "stop_training_after": 30}}, {"train_text_encoder": False}, []),
    ({"text_encoder": {"train": True, "stop_training_after": 30, "stop_training_after_unit": "EPOCH"}}, {},
     ["text_encoder: stop_training_after = 30"]),
    ({"text_encoder": {"train": True, "stop_training_after": 30, "stop_training_after_unit": "NEVER"}}, {}, []),
    ({"text_encoder_2": {"train": True, "learning_rate": 9e-6}, "text_encoder_3": {"train": False}}, {},
     ["text_encoder_2: learning_rate = 9e-06: text encoders have one rate here."]),
    ({"text_encoder_2": {"train": False, "dropout_probability": 0.1}}, {},
     ["text_encoder_2: train = False: text encoders learn all or none here."]),
    ({"timestep_distribution": "LOGIT_NORMAL", "min_noising_strength": 0.2, "max_noising_strength": 1.0}, {},
     ["timestep_distribution = 'LOGIT_NORMAL': noise is sampled", "min_noising_strength = 0.2"]),
    ({"max_noising_strength": 0.8}, {"learn_below": 0.8}, []),
    ({"mse_strength": 0.0, "loss_scaler": "NONE", "learning_rate_scaler": "BATCH"}, {},
     ["mse_strength = 0.0", "learning_rate_scaler = 'BATCH'"]),
    ({"concepts": [{"path": "/home/me/x"}], "additional_embeddings": [{"token_count": 2}]}, {},
     ["concepts = 1: the pictures are chosen here", "additional_embeddings = "]),
    ({"gradient_checkpointing": False, "ema_update_step_interval": 5}, {"gradient_checkpointing": "none"},
     ["ema_update_step_interval = 5: the average takes in every step here."]),
])  # fmt: skip
def test_of_onetrainers_tables_what_is_other_here_is_named_and_what_is_usual_is_not(tmp_path, more, values, told):
    found, as_it_was = (read(tmp_path, ONE_TRAINER | one) for one in (more, {}))
    assert {name: found.values[name] for name in values} == values
    new = [one for one in found.left if one not in as_it_was.left]
    assert len(new) == len(told) and all(any(line.startswith(one) for line in new) for one in told), new
    assert not any(name in found.own_way for name in more)


def test_of_ai_toolkits_tables_what_is_other_here_is_named(tmp_path):
    content = AI_TOOLKIT.replace("{weight_decay: 1e-4}", "{weight_decay: 1e-4, betas: [0.9, 0.99]}")
    content = content.replace("train_unet: true", "train_unet: false").replace('"txt"', '"txt"\n          is_reg: true')
    content += "    - {type: sd_trainer, network: {linear: 4}}\n"
    assert [one.partition(" = ")[0] for one in read(tmp_path, content).left] == [
        "train: linear_timesteps", "train: optimizer_params: betas", "train: train_unet", "datasets: is_reg", "process",
    ]  # fmt: skip
