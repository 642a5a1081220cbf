"""Settings files of other trainers, as their own documentation has them, in our names; what is left is listed."""

import json
import random

import pytest

from lora_gui.engine.train import optimizers
from lora_gui.formats import trainers
from lora_gui.formats.trainers import ours
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings

KOHYA = """
[model_arguments]
pretrained_model_name_or_path = "/home/me/models/sd_xl_base_1.0.safetensors"
v_parameterization = false

[network]
network_module = "networks.lora"
network_dim = 32
network_alpha = 16
network_train_unet_only = false

[training]
output_name = "fox"
output_dir = "/home/me/out"
train_data_dir = "/home/me/annabel"
max_train_steps = 1600
learning_rate = 1e-4
unet_lr = 2e-4
text_encoder_lr = 5e-5
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 4
lr_warmup_steps = 100
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.1", "betas=0.9,0.99"]
train_batch_size = 4
resolution = "1024,1024"
mixed_precision = "bf16"
gradient_checkpointing = true
min_snr_gamma = 5
network_args = ["rank_dropout=0.1", "module_dropout=0.2", "loraplus_lr_ratio=2", "loraplus_unet_lr_ratio=8", "a=x",
                "dora_wd=True"]
network_dropout = 0.1
scale_weight_norms = 1.0
loss_type = "huber"
huber_c = 0.2
huber_schedule = "constant"
debiased_estimation_loss = true
caption_dropout_rate = 0.0
noise_offset = 0.03
shuffle_caption = true
keep_tokens = 3
caption_tag_dropout_rate = 0.1
masked_loss = true
prior_loss_weight = 0.5
clip_skip = 2
cache_latents = true
sdpa = true
seed = 42
"""
FRONT_END = {
    "LoRA_type": "LyCORIS/LoHa", "network_module": "lycoris.kohya", "network_dim": 8, "network_alpha": 999,
    "max_train_steps": 0, "epoch": 10, "learning_rate": 0.0001, "unet_lr": 0.0, "text_encoder_lr": 0.0,
    "optimizer": "Prodigy", "train_batch_size": 1, "max_resolution": "512,768", "mixed_precision": "fp16",
    "lr_scheduler": "adafactor", "keep_tokens": 1, "loss_type": "smooth_l1", "huber_c": 0.1, "rank_dropout": 0.3,
    "sdxl": False, "xformers": "xformers",
}  # fmt: skip
ONE_TRAINER = {
    "__version": 10, "training_method": "LORA", "peft_type": "LORA", "model_type": "FLUX_DEV_1",
    "base_model_name": "black-forest-labs/FLUX.1-dev", "output_model_destination": "models/fox.safetensors",
    "learning_rate": 0.0003, "learning_rate_scheduler": "COSINE", "learning_rate_warmup_steps": 200, "epochs": 100,
    "masked_training": True, "unmasked_weight": 0.2, "batch_size": 2,
    "gradient_accumulation_steps": 2, "clip_grad_norm": 1.0, "resolution": "768",
    "gradient_checkpointing": "CPU_OFFLOADED", "lora_rank": 16, "lora_alpha": 8.0, "lora_decompose": True,
    "layer_filter": "attn, ff.net", "train_dtype": "BFLOAT_16", "ema": "GPU", "ema_decay": 0.99,
    "loss_weight_fn": "MIN_SNR_GAMMA", "loss_weight_strength": 5.0,
    "transformer": {"train": True, "weight_dtype": "NFLOAT_4", "learning_rate": None},
    "text_encoder": {"train": True, "learning_rate": 3e-5, "dropout_probability": 0.1},
    "optimizer": {"optimizer": "ADAMW_8BIT", "weight_decay": 0.02}, "concept_file_name": "/home/me/annabel.json",
}  # fmt: skip
AI_TOOLKIT = """
job: extension
config:
  name: "my_fox_v1"
  process:
    - type: 'sd_trainer'
      training_folder: "output"
      trigger_word: "zxy"
      network: {type: "lora", linear: 16, linear_alpha: 8}
      save: {dtype: float16, save_every: 250}
      datasets:
        - folder_path: "/home/me/annabel"
          caption_ext: "txt"
          caption_dropout_rate: 0.05
          shuffle_tokens: true
          mask_path: "/home/me/masks"
          resolution: [512, 768, 1024]
      train:
        batch_size: 1
        steps: 2000
        gradient_accumulation_steps: 1
        train_unet: true
        train_text_encoder: false
        gradient_checkpointing: true
        noise_scheduler: "flowmatch"
        optimizer: "adamw8bit"
        optimizer_params: {weight_decay: 1e-4}
        lr: 1e-4
        linear_timesteps: true
        ema_config: {use_ema: true, ema_decay: 0.98}
        blank_prompt_preservation: false
        diff_output_preservation: true
        diff_output_preservation_class: "fox"
        diff_output_preservation_multiplier: 0.5
        dtype: bf16
      model: {name_or_path: "black-forest-labs/FLUX.1-dev", is_flux: true, quantize: true}
      sample:
        sample_every: 250
        prompts: ["zxy, a fox; red", "a cat"]
        seed: 42
"""


def read(tmp_path, content, name="settings.txt"):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return trainers.read(tmp_path / name)


def test_kohyas_toml_becomes_a_run_and_says_what_does_not(tmp_path):
    found = read(tmp_path, KOHYA)
    assert found.values == {
        "rank": 32, "alpha": 16.0, "steps": 1600, "learning_rate": 2e-4, "scheduler": "cosine_with_restarts",
        "restarts": 4, "warmup_steps": 100, "optimizer": "adamw8bit", "weight_decay": 0.1, "batch_size": 4,
        "resolution": 1024, "precision": "bf16", "gradient_checkpointing": "blocks", "min_snr_gamma": 5.0,
        "caption_dropout": 0.0, "noise_offset": 0.03, "seed": 42, "train_text_encoder": True,
        "text_encoder_learning_rate": 5e-5, "shuffle_tags": True, "keep_first_tags": 2, "tag_dropout": 0.1,
        "masked_loss": True, "class_weight": 0.5, "rank_dropout": 0.1, "module_dropout": 0.2, "lora_plus": 8.0,
        "dora": True,
        "max_norm": 1.0, "loss": "huber", "huber_c": 0.2, "huber_schedule": "constant", "debiased": True,
    }  # fmt: skip
    assert (found.name, found.base) == ("fox", "sd_xl_base_1.0")
    assert [one.partition(" = ")[0] for one in found.left] == [
        "optimizer_args: betas", "network_args: a", "network_dropout", "clip_skip",
    ]  # fmt: skip
    assert {"cache_latents", "sdpa", "output_dir", "train_data_dir"} <= {*found.own_way}


def test_kohyas_front_end_is_read_and_what_is_out_of_bounds_or_unknown_is_named(tmp_path):
    found = read(tmp_path, FRONT_END)
    assert found.values == {
        "rank": 8, "learning_rate": 1e-4, "optimizer": "prodigy", "batch_size": 1, "precision": "fp16",
        "keep_first_tags": 0, "rank_dropout": 0.3,
        "train_text_encoder": True, "text_encoder_learning_rate": 1e-4,  # it leaves out rates of 0
    }  # fmt: skip
    told = " ".join(found.left)
    for said in ("network_alpha = 999: Alpha can be at most 512.", "max_resolution = '512,768': The resolution is one",
                 "lr_scheduler = 'adafactor'", "network_module = 'lycoris.kohya': LoRAs and LoKrs",
                 "epoch = 10: a run is"):  # fmt: skip
        assert said in told, said


def test_onetrainers_json_becomes_a_run_and_says_what_does_not(tmp_path):
    found = read(tmp_path, ONE_TRAINER)
    assert found.values == {
        "rank": 16, "alpha": 8.0, "learning_rate": 3e-4, "scheduler": "cosine", "warmup_steps": 100, "batch_size": 2,
        "accumulation": 2, "max_grad_norm": 1.0, "resolution": 768, "gradient_checkpointing": "blocks",
        "precision": "nf4", "optimizer": "adamw8bit", "weight_decay": 0.02, "train_text_encoder": True,
        "text_encoder_learning_rate": 3e-5,
        "masked_loss": True, "unmasked_weight": 0.2,
        "caption_dropout": 0.1, "min_snr_gamma": 5.0, "only_layers": ("attn", "ff.net"), "ema_decay": 0.99,
        "dora": True,
    }  # fmt: skip
    assert (found.program, found.name, found.base) == ("OneTrainer", "fox", "black-forest-labs/FLUX.1-dev")
    assert [one.partition(" = ")[0] for one in found.left] == ["epochs"]


def test_ai_toolkits_yaml_becomes_a_run_and_says_what_does_not(tmp_path):
    found = read(tmp_path, AI_TOOLKIT)
    assert found.values == {
        "rank": 16, "alpha": 8.0, "steps": 2000, "learning_rate": 1e-4, "optimizer": "adamw8bit", "batch_size": 1,
        "accumulation": 1, "gradient_checkpointing": "blocks", "train_text_encoder": False, "precision": "int8",
        "weight_decay": 1e-4, "checkpoint_every": 250, "sample_every": 250, "seed": 42, "resolution": 1024,
        "sample_prompts": ("zxy, a fox; red", "a cat"), "caption_dropout": 0.05,
        "preservation": 0.5, "class_words": "fox", "shuffle_tags": True, "masked_loss": True,
        "further_resolutions": (512, 768), "ema_decay": 0.98,
    }  # fmt: skip
    assert (found.name, found.trigger, found.base) == ("my_fox_v1", "zxy", "black-forest-labs/FLUX.1-dev")
    told = [one.partition(" = ")[0] for one in found.left]
    assert told == ["train: linear_timesteps"]


LOKR = {"adapter": "lokr", "lokr_factor": 16, "rank": 8}
BY_LYCORIS = {"network_module": "lycoris.kohya", "network_dim": 8,
              "network_args": ["algo=lokr", "factor=16", "conv_dim=4", "full_matrix=True"]}  # fmt: skip
SAID = "the second factor is a product here"


@pytest.mark.parametrize(("content", "left"), [
    (BY_LYCORIS, ["full matrix", "network_args: conv_dim"]),
    (BY_LYCORIS | {"network_module": "networks.lokr", "network_args": "factor=16"}, []),
    ({"LoRA_type": "LyCORIS/LoKr", "network_module": "lycoris.kohya", "network_dim": 8, "factor": 16}, []),
    (ONE_TRAINER | {"peft_type": "LOKR", "lokr_dim": 8, "lokr_decompose_factor": 16, "lokr_full_matrix": True},
     ["full matrix", "epochs"]),
    (AI_TOOLKIT.replace('"lora", linear: 16', '"lokr", lokr_factor: 16, linear: 8'),
     ["train: linear_timesteps"]),
    ({"algo": "lokr", "multiplier": 1.0, "linear_dim": 8, "linear_alpha": 1, "factor": 16, "full_matrix": True,
      "apply_preset": {"target_module": ["Attention"]}}, ["full matrix", "apply_preset"]),
])  # fmt: skip
def test_a_lokr_is_one_here_too_and_what_is_other_about_it_is_named(tmp_path, content, left):
    found = read(tmp_path, content)
    assert {name: found.values[name] for name in LOKR} == LOKR
    assert [one.partition(" = ")[0] for one in found.left] == left
    assert ("full matrix" in left) == any(SAID in one for one in found.left)


def test_a_factor_of_minus_1_is_0_here_and_no_kind_of_lycoris_but_lokr_is_trained(tmp_path):
    args = {"network_module": "lycoris.kohya", "network_args": ["algo=lokr", "factor=-1"]}
    assert read(tmp_path, args).values == {"adapter": "lokr", "lokr_factor": 0}
    told = read(tmp_path, args | {"network_args": ["algo=loha"]})
    assert not told.values and "network_module = 'lycoris.kohya': LoRAs and LoKrs are trained here." in told.left


def test_no_folder_of_whoever_wrote_the_file_comes_along(tmp_path):
    for content in (KOHYA, ONE_TRAINER, AI_TOOLKIT):
        found = read(tmp_path, content)
        assert "/home/me" not in repr((found.name, found.base, found.values, found.own_way))


def test_our_own_file_is_read_as_it_was_written_and_tells_no_path_or_caption(tmp_path):
    settings = TrainSettings(rank=7, learning_rate=3e-5, sample_prompts=('a "cat" \\ ü\n;', "b"), flip=True,
                             further_resolutions=(64, 96), class_words='a "fox"', timestep_bias="style")
    picture = TrainPicture(path="/home/me/annabel/0001.png", caption="my daughter", digest="ab" * 32)
    base = Base(key="mine", title="Mine", family="sd1", path="/home/me/sd15", like="sd15")
    job = TrainJob(name="fox", trigger="zxy", preset="style", base=base, pictures=(picture,), settings=settings)
    text = ours.written(job)
    found = read(tmp_path, text)
    assert TrainSettings(**found.values) == settings and not found.left
    assert (found.name, found.trigger, found.preset, found.base) == ("fox", "zxy", "style", "sd15")
    assert "/home" not in text and "daughter" not in text and "annabel" not in text
    short = settings.model_copy(update={"steps": 45, "warmup_steps": 45})  # as a preset may fill them
    again = TrainSettings(**read(tmp_path, ours.text({}, short)).values)
    assert again.warmup_steps == optimizers.warmup(short) < again.steps
    newer = read(tmp_path, text + 'flux_capacitor = 3\nrank2 = "x"\n')
    assert TrainSettings(**newer.values) == settings and len(newer.left) == 2


ODD = (None, True, "", "x" * 5000, -1, 1e300, float("nan"), [], [[]], {}, {"a": {}}, "1,024", "1.000,5", "9" * 40,
       [1, "a"])  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_whatever_stands_at_a_setting_is_carried_over_checked_or_left(tmp_path, seed, tell):
    row, chance = tell("Settings files of others with odd values"), random.Random(seed)
    for content in (FRONT_END, ONE_TRAINER, json.loads(json.dumps(from_yaml(AI_TOOLKIT)))):
        for _ in range(60):
            with row:
                found = read(tmp_path, _spoilt(content, chance))
                TrainSettings(**found.values)
                assert all(isinstance(one, str) for one in (*found.left, found.name, found.base, found.trigger))


def from_yaml(text):
    import yaml

    return yaml.safe_load(text)


def _spoilt(value, chance):
    """The same with a few values replaced; what tells whose it is stays."""
    if isinstance(value, dict):
        kept = ("config", "process", "network", "training_method", "network_dim")
        return {k: _spoilt(v, chance) if k in kept or chance.random() > 0.15 else chance.choice(ODD)
                for k, v in value.items()}  # fmt: skip
    return [_spoilt(one, chance) for one in value] if isinstance(value, list) else value
