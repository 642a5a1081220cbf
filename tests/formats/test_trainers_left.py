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
    ({"max_train_steps": 1000, "lr_warmup_steps": 0.05}, {"warmup_steps": 50}, []),
    ({"max_train_steps": 1000, "lr_warmup_steps": "10%"}, {"warmup_steps": 100}, []),
    ({"max_train_steps": 1000, "lr_warmup_steps": 1}, {"warmup_steps": 1}, []),
    ({"max_train_epochs": 9, "lr_warmup_steps": 0.05}, {"warmup_steps": None},
     ["max_train_epochs = 9", "lr_warmup_steps = 0.05: it is a share of the run, whose steps are not known"]),
    ({"max_train_steps": 1600, "lr_warmup": 10, "lr_warmup_steps": 0, "lr_scheduler": "cosine"},
     {"warmup_steps": 160}, []),
    ({"max_train_steps": 1600, "lr_warmup": 10, "lr_warmup_steps": 30}, {"warmup_steps": 30}, []),
    ({"sample_prompts": "a fox, red --n bad --w 512 --d 1\n# a note\n\na cat - black -- white"},
     {"sample_prompts": ("a fox, red", "a cat - black -- white")}, []),
    ({"sample_prompts": "D:\\me\\prompts.txt"}, {"sample_prompts": None},
     ["sample_prompts = 'prompts.txt': it is a file of its own"]),
    ({"sample_prompts": "\n".join(f"cat {n}" for n in range(9))},
     {"sample_prompts": tuple(f"cat {n}" for n in range(8))}, ["sample_prompts = 9: the first 8 are taken."]),
    ({"sample_prompts": ""}, {"sample_prompts": None}, []),
    ({"lr_warmup_steps": 0}, {"warmup_steps": 0}, []),
    ({"max_train_steps": 1600, "lr_warmup": 0, "lr_warmup_steps": 0}, {"warmup_steps": 0}, []),
    ({"max_train_steps": 1600, "lr_warmup": 10, "lr_scheduler": "constant"}, {"warmup_steps": 0}, []),
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
    ({"learning_rate_warmup_steps": 100, "gradient_accumulation_steps": 4}, {"warmup_steps": 25}, []),
    ({"learning_rate_warmup_steps": 0.1}, {}, ["learning_rate_warmup_steps = 0.1: it is a share of the run"]),
    ({"learning_rate_warmup_steps": 1}, {}, ["learning_rate_warmup_steps = 1: it is a share of the run"]),
    ({"learning_rate_scheduler": "COSINE_WITH_RESTARTS"}, {"scheduler": "cosine_with_restarts"},
     ["learning_rate_scheduler = 'COSINE_WITH_RESTARTS': the rate climbs back slowly there"]),
    ({"learning_rate_scheduler": "COSINE_WITH_HARD_RESTARTS"}, {"scheduler": "cosine_with_restarts"}, []),
    ({"learning_rate_warmup_steps": 0, "clip_grad_norm": None, "loss_weight_fn": "CONSTANT",
      "optimizer": {"optimizer": "ADAMW", "weight_decay": 0.0}, "text_encoder": {"dropout_probability": 0.0}},
     {"warmup_steps": 0, "max_grad_norm": 0.0, "min_snr_gamma": 0.0, "weight_decay": 0.0, "caption_dropout": 0.0}, []),
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


def test_of_batches_that_ai_toolkit_gathers_by_the_older_name_each_is_a_step_there(tmp_path):
    content = AI_TOOLKIT.replace("gradient_accumulation_steps: 1", "gradient_accumulation_steps: 4")
    found = read(tmp_path, content)
    taken = {name: found.values[name] for name in ("steps", "accumulation", "checkpoint_every", "sample_every")}
    assert taken == {"steps": 500, "accumulation": 4, "checkpoint_every": 62, "sample_every": 62}
    assert any(one.startswith("train: gradient_accumulation_steps = 4: each of them counts") for one in found.left)
    newer = read(tmp_path, content.replace("gradient_accumulation_steps", "gradient_accumulation"))
    assert newer.values["steps"] == 2000 and newer.values["accumulation"] == 4


SIMPLE_TUNER = {
    "model_family": "flux", "model_type": "lora", "lora_type": "standard", "lora_rank": 16, "optimizer": "adamw_bf16",
    "pretrained_model_name_or_path": "black-forest-labs/FLUX.1-dev", "base_model_precision": "int8-quanto",
    "data_backend_config": "config/me/backend.json", "max_train_steps": 900, "num_train_epochs": 0, "seed": 42,
    "learning_rate": "1e-4", "lr_scheduler": "cosine", "lr_warmup_steps": 100, "mixed_precision": "bf16",
    "gradient_checkpointing": "true", "caption_dropout_probability": 0.0, "resolution": 1.0, "resolution_type": "area",
    "validation_prompt": "a fox, in snow", "validation_step_interval": 50, "train_batch_size": 2, "use_ema": "false",
    "hub_model_id": "fox", "flow_schedule_shift": 3, "output_dir": "/home/me/out",
}  # fmt: skip


def test_simpletuners_own_settings_are_read_as_its_own_and_say_what_does_not(tmp_path):
    found = read(tmp_path, SIMPLE_TUNER)
    assert (found.program, found.name, found.base) == ("SimpleTuner", "fox", "black-forest-labs/FLUX.1-dev")
    assert found.values == {
        "rank": 16, "alpha": 16.0, "optimizer": "adamw", "precision": "int8", "steps": 900, "learning_rate": 1e-4,
        "scheduler": "cosine", "warmup_steps": 100, "gradient_checkpointing": "blocks", "caption_dropout": 0.0,
        "resolution": 1024, "sample_prompts": ("a fox, in snow",), "sample_every": 50, "batch_size": 2, "seed": 42,
    }  # fmt: skip
    assert [one.partition(" = ")[0] for one in found.left] == ["data_backend_config", "flow_schedule_shift"]
    assert "output_dir" in found.own_way and "/me/" not in str(found)
    dashed = read(tmp_path, {f"--{name}": value for name, value in SIMPLE_TUNER.items()})
    assert dashed.values == found.values and dashed.left == found.left


@pytest.mark.parametrize(("more", "values", "told"), [
    ({"num_train_epochs": 5}, {"steps": None},
     ["num_train_epochs = 5: a run is counted", "max_train_steps = 900: the epochs"]),
    ({"lora_alpha": 4}, {"alpha": 4.0}, []),
    ({"resolution": 768, "resolution_type": "pixel_area"}, {"resolution": 768}, []),
    ({"resolution": 768, "resolution_type": "pixel"}, {"resolution": 768},
     ["resolution_type = 'pixel': it is the shorter side there"]),
    ({"resolution": 0.25}, {"resolution": 512}, []),
    ({"base_model_precision": "no_change"}, {"precision": "bf16"}, []),
    ({"base_model_precision": "fp8-torchao"}, {"precision": None}, ["base_model_precision = 'fp8-torchao'"]),
    ({"optimizer": "optimi-lion"}, {"optimizer": None}, ["optimizer = 'optimi-lion'"]),
    ({"lora_type": "lycoris", "lycoris_config": "config/lycoris_config.json", "lora_rank": None}, {"rank": None},
     ["lycoris_config = 'lycoris_config.json': it is a file of its own"]),
    ({"model_type": "full"}, {}, ["model_type = 'full': LoRAs alone"]),
    ({"lr_scheduler": "polynomial", "noise_offset": 0.2, "offset_noise": False}, {"noise_offset": None},
     ["lr_scheduler = 'polynomial'"]),
    ({"use_ema": True, "ema_decay": 0.99, "snr_gamma": 5, "never_heard_of": 1},
     {"ema_decay": 0.99, "min_snr_gamma": 5.0}, ["never_heard_of = 1"]),
])  # fmt: skip
def test_what_is_other_in_simpletuners_settings_is_named(tmp_path, more, values, told):
    found, as_it_was = read(tmp_path, SIMPLE_TUNER | more), read(tmp_path, SIMPLE_TUNER)
    assert {name: found.values.get(name) for name in values} == values
    new = [one for one in found.left if one not in as_it_was.left]
    assert len(new) == len(told) and all(any(line.startswith(one) for line in new) for one in told), new


def test_prompts_of_ai_toolkits_samples_come_from_either_list_and_the_first_few_of_many(tmp_path):
    newer = "samples: [{prompt: a fox, width: 9}, {prompt: b}, {x: 1}]"
    content = AI_TOOLKIT.replace('prompts: ["zxy, a fox; red", "a cat"]', newer)
    assert read(tmp_path, content).values["sample_prompts"] == ("a fox", "b")
    many = AI_TOOLKIT.replace('"a cat"]', ", ".join(f'"cat {n}"' for n in range(9)) + "]")
    found = read(tmp_path, many)
    assert len(found.values["sample_prompts"]) == 8 and "sample: prompts = 10: the first 8 are taken." in found.left
    odd = read(tmp_path, AI_TOOLKIT.replace('["zxy, a fox; red", "a cat"]', "a fox"))
    assert "sample_prompts" not in odd.values and any(one.startswith("sample: prompts = 'a fox'") for one in odd.left)
