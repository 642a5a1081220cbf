"""A base is what its weights are, not what its folder is called; what is none is called what it is."""

import json
import os
import shutil

import pytest

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, presets
from tests.studio.things.base_folders import make, weights

HUB = [known for known in bases.known_bases().values() if known.repo]


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


def refused(studio, name) -> str:
    with pytest.raises(UserError) as caught:
        bases.find(studio, str(name))
    return caught.value.what


def in_family(known, folder):
    """What a base needs in further folders."""
    own = next(one for one in families.facts().values() if known in one.bases)
    for inner in own.further:
        (folder / inner).mkdir(exist_ok=True)
    return own


@pytest.mark.parametrize("known", HUB, ids=lambda known: known.key)
def test_every_known_base_is_known_under_any_name_and_has_its_own_values(studio, known):
    called = f"mine {known.called}".strip()
    folder = make(studio.bases / called, known.key)
    family = in_family(known, folder)
    found = bases.find(studio, called)
    assert (found.family, found.known, found.title) == (family.key, known.key, called)
    assert bases.draw_defaults(found) == family.draw_defaults_of(known.key)
    assert bases.train_defaults(found) == family.train_defaults_of(known.key)
    plain = found.model_copy(update={"key": known.key, "like": None})
    assert presets.fill(studio, "style", found, 20) == presets.fill(studio, "style", plain, 20)
    shutil.move(folder, folder.with_name(known.repo.rpartition("/")[2]))
    assert bases.list_bases(studio)[-1].title == known.title


def test_a_large_base_in_a_folder_called_medium_is_trained_as_what_it_is(studio):
    make(studio.bases / "sd35-medium", "sd35-large")
    found = bases.find(studio, "sd35-medium")
    settings = presets.fill(studio, "style", found, 20)
    assert (settings.learning_rate, settings.max_grad_norm) == (2e-5, 0.1)
    facts = families.facts_of("sd3")
    assert facts.named(found.known) == ("stable-diffusion-3-5-large/lora", "5-large")


def test_a_copy_of_the_starter_is_trained_as_the_starter(studio):
    shutil.copytree(bases.SHIPPED, studio.bases / "my copy")
    found = bases.find(studio, "my copy")
    assert found.known == "starter" and bases.train_defaults(found)["resolution"] == 128


def test_a_table_of_a_preset_for_the_users_own_folder_still_counts(studio):
    make(studio.bases / "mine", "sd35-large")
    studio.presets.mkdir(parents=True)
    tables = "[base.sd35-large]\nrank = 8\nalpha = 8\n[base.mine]\nrank = 4\n"
    (studio.presets / "x.toml").write_text(tables)
    settings = presets.fill(studio, "x", bases.find(studio, "mine"), 20)
    assert (settings.rank, settings.alpha) == (4, 8)


OTHERS = {
    "Stable Diffusion 2.x": ("sd15", {"unet": {"cross_attention_dim": 1024}}),
    "made for filling in": ("sd15", {"unet": {"in_channels": 9}}),
    "made for filling in (inpainting)": ("sdxl", {"unet": {"in_channels": 9}}),
    "made for editing": ("sd15", {"unet": {"in_channels": 8}}),
    "made for drawing by depth": ("sd15", {"unet": {"in_channels": 5}}),
    "the refiner of Stable Diffusion XL": ("sdxl", {"unet": {"cross_attention_dim": 1280}}),
    "FLUX.1 Fill": ("flux1-dev", {"transformer": {"in_channels": 384}}),
    "Stable Diffusion 3, the one before": ("sd35-medium", {"transformer": {"dual_attention_layers": []}}),
    "made for Stable Diffusion XL, filling in": (
        "sdxl", {"pipeline": {"_class_name": "StableDiffusionXLInpaintPipeline"}}
    ),
    "made for FLUX.1, editing": ("flux1-dev", {"pipeline": {"_class_name": "FluxKontextPipeline"}}),
    "made for Qwen-Image": ("flux1-dev", {"pipeline": {"_class_name": "QwenImagePipeline"}}),
    "EDM": ("sdxl", {"scheduler": {"_class_name": "EDMDPMSolverMultistepScheduler"}}),
    "flow matching": ("sdxl", {"scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler"}}),
    "predicts 'wind'": ("sd15", {"scheduler": {"prediction_type": "wind"}}),
    "AutoencoderKL for its unet": ("sd15", {"pipeline": {"unet": ["diffusers", "AutoencoderKL"]}}),
    "num_layers 1000000000 cannot be": ("flux1-dev", {"transformer": {"num_layers": 10**9}}),
    "of so many digits cannot be": ("sd15", {"unet": {"cross_attention_dim": 10**40}}),
    "its text_encoder is missing": ("sd15", {"pipeline": {"text_encoder": [None, None]}}),
}


@pytest.mark.parametrize("words", OTHERS)
def test_what_is_no_base_for_words_alone_is_named(studio, words):
    like, changes = OTHERS[words]
    folder = make(studio.bases / "odd", like, **changes)
    if "text_encoder" in words:
        shutil.rmtree(folder / "text_encoder")
        words = "its folder text_encoder is missing"
    assert words in refused(studio, "odd")
    ((path, why),) = bases.passed_over(studio)
    assert path == folder and words in why.what


def test_a_snapshot_of_the_hubs_cache_is_used_and_called_as_its_repository(studio, tmp_path):
    hub = studio.bases / "models--stabilityai--stable-diffusion-3.5-large"
    blobs, old, new = hub / "blobs", hub / "snapshots" / "aaaa", hub / "snapshots" / "bbbb"
    blobs.mkdir(parents=True)
    make(new, "sd35-large")
    for number, file in enumerate(path for path in sorted(new.rglob("*")) if path.is_file()):
        shutil.move(file, blobs / str(number))
        file.symlink_to(os.path.relpath(blobs / str(number), file.parent))
    old.mkdir()
    (old / "README.md").write_text("only this")
    found = bases.list_bases(studio)[-1]
    assert (found.key, found.title, found.path) == (
        "stable-diffusion-3.5-large", "Stable Diffusion 3.5 large", str(new)
    )  # fmt: skip
    assert bases.find(studio, str(hub)) == found and bases.find(studio, str(new)) == found
    assert bases.networks(found)["transformer"] == 4
    (blobs / "0").unlink()
    assert refused(studio, hub)


def test_a_base_one_folder_down_and_a_checkpoint_in_a_folder_are_found(studio):
    make(studio.bases / "mine" / "sdxl", "sdxl")
    shutil.copytree(studio.bases / "mine", studio.bases / "__MACOSX")
    assert [base.key for base in bases.list_bases(studio)] == ["starter", "sdxl"]
    assert bases.find(studio, "mine").title == "Stable Diffusion XL 1.0"


def test_what_a_download_brings_along_neither_counts_nor_is_missed(studio):
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    folder = make(studio.bases / "whole", pipeline={"safety_checker": checker})
    before = bases.size(bases.find(studio, "whole"))
    weights(folder / "safety_checker" / "model.safetensors", (64, 64))
    weights(folder / "v1-5-pruned.safetensors", (64, 64))
    weights(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors", (64, 64))
    weights(folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors", (64, 64))
    (folder / "unet" / "._diffusion_pytorch_model.safetensors").write_bytes(b"\0\5\x16\7")
    (folder.parent / "._whole.safetensors").write_bytes(b"\0\5\x16\7")
    found = bases.find(studio, "whole")
    assert set(bases.networks(found).values()) == {4} and bases.size(found) == before
    assert bases.passed_over(studio) == []


def test_parts_in_half_precision_alone_with_capital_suffixes_are_a_base(studio):
    folder = make(studio.bases / "half")
    for part in ("unet", "vae", "text_encoder"):
        (file,) = (folder / part).glob("*.safetensors")
        file.rename(file.with_name(file.stem + (".fp16.safetensors" if part == "unet" else ".SAFETENSORS")))
    assert set(bases.networks(bases.find(studio, "half")).values()) == {4}


def test_a_byte_order_mark_is_explained(studio):
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        path = make(studio.bases / name.partition("/")[0]) / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert f"{name} begins with a byte order mark" in refused(studio, name.partition("/")[0])


DISGUISED = {
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167534\n",
    "a web page": b"\n<!DOCTYPE html><html><head><title>Log in</title></head></html>",
    "holds a text instead of weights: 'Access to model": b"Access to model black-forest-labs/FLUX.1-dev is restricted.",
    "nothing but zeros": bytes(4096),
    "is empty": b"",
    "is an archive": b"Rar!\x1a\x07\x01\x00" + bytes(100),
    "can carry programs": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("words", DISGUISED)
def test_a_file_that_is_called_weights_and_is_none_is_called_what_it_is(studio, words):
    folder = make(studio.bases / "folder")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(DISGUISED[words])
    (studio.bases / "single.safetensors").write_bytes(DISGUISED[words])
    named = {path.name for path, why in bases.passed_over(studio) if words in why.what}
    assert named == {"folder", "single.safetensors"}
    assert [base.key for base in bases.list_bases(studio)] == ["starter"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.ckpt", "can carry programs"), ("a.zip", "an archive"), ("a.gguf", "GGUF"),
        ("a.safetensors.part", "not finished"),
    ],
)  # fmt: skip
def test_files_that_were_meant_to_be_a_base_are_listed_with_a_sentence(studio, name, words):
    studio.bases.mkdir(parents=True)
    (studio.bases / name).write_bytes(b"x" * 20)
    (studio.bases / "notes.txt").write_text("mine")
    ((path, why),) = bases.passed_over(studio)
    assert path.name == name and words in why.what


def test_a_base_is_looked_at_again_once_its_files_change(studio):
    folder = make(studio.bases / "mine")
    assert bases.find(studio, "mine").known == "sd15"
    config = json.loads((folder / "unet" / "config.json").read_text()) | {"cross_attention_dim": 1024}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    assert "Stable Diffusion 2.x" in refused(studio, "mine")
