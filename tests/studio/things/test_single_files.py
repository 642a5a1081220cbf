"""Bases that are one file, found or refused. Sparse files stand for them."""

import json

import pytest

from lora_gui.errors import UserError
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests.studio.things.base_folders import SD15, SDXL, UNET, sparse


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


@pytest.fixture
def write(studio):
    """`write(name, shapes, cause)` makes a file among the bases, so many bytes too short."""

    def make(name, shapes, cause=0):
        return sparse(studio.bases / name, shapes, short=cause)

    return make


def test_a_file_among_the_bases_is_one_of_them_and_known_by_its_tensors(studio, write):
    write("Realistic v6.safetensors", SD15)
    write("sdxl.safetensors", SDXL)
    write("a lora.safetensors", {"lora_unet_x.lora_down.weight": (4, 320)})
    found = {base.key: base for base in bases.list_bases(studio)}
    assert list(found)[1:] == ["Realistic v6", "sdxl"]
    assert (found["Realistic v6"].family, found["Realistic v6"].title) == ("sd1", "Realistic v6")
    assert (found["sdxl"].family, found["sdxl"].title) == ("sdxl", "Stable Diffusion XL 1.0")
    for name in ("Realistic v6", "Realistic v6.safetensors", str(studio.bases / "Realistic v6.safetensors")):
        assert bases.find(studio, name) == found["Realistic v6"]
    assert bases.size(found["sdxl"]) == (studio.bases / "sdxl.safetensors").stat().st_size
    planned = plans.job(studio, found["Realistic v6"], TrainSettings(), 12.0).base
    assert (planned.key, planned.family, planned.path) == ("sd15", "sd1", "")


def test_a_file_called_sft_is_one_too(studio, write):
    path = write("flux1-dev.sft", SD15)
    found = bases.find(studio, "flux1-dev")
    assert (found.path, found.family) == (str(path), "sd1") and found in bases.list_bases(studio)


def without(shapes, beginning):
    return {name: shape for name, shape in shapes.items() if not name.startswith(beginning)}


@pytest.mark.parametrize(
    ("shapes", "cause", "what", "remedy"),
    [
        (without(SD15, "first_stage"), 0, "not whole: its autoencoder is missing", "the whole checkpoint"),
        (without(SDXL, "conditioner.embedders.1"), 0, "its second text encoder is missing", "the whole checkpoint"),
        (SD15 | {f"{UNET}.input_blocks.0.0.weight": (320, 9, 3, 3)}, 0, "made for filling in", "from words alone"),
        ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, 0, "of a build that is not read", "diffusers folder"),
        (SD15 | {f"{UNET}.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024)}, 0,
         "is Stable Diffusion 2.x", "another kind"),
        (SDXL | {f"{UNET}.input_blocks.8.1.transformer_blocks.{n}.attn1.to_q.weight": (8, 8) for n in range(4)}, 0,
         "such as SSD-1B", "itself"),
        ({"decoder.conv_in.weight": (512, 4, 3, 3)}, 0, "an autoencoder .VAE. alone", "the whole checkpoint"),
        ({"encoder.block.0.layer.0.SelfAttention.q.weight": (8, 8)}, 0, "a T5 text encoder alone", "whole checkpoint"),
        ({"down_blocks.0.resnets.0.conv1.weight": (8, 8)}, 0, "a U-Net alone", "the whole checkpoint"),
        ({"control_model.input_blocks.0.0.weight": (8, 8)}, 0, "a ControlNet, not a base", "Choose a base"),
        ({"emb_params": (2, 768)}, 0, "a textual inversion, not a base", "Choose a base"),
        ({"joint_blocks.0.x_block.attn.qkv.weight": (8, 8)}, 0, "Stable Diffusion 3 or 3.5, of a build", "folder"),
        ({"lora_unet_x.lora_down.weight": (4, 320)}, 0, "is a LoRA, not a base", "among your LoRAs"),
        (SD15, 7, "is cut short", "Download it again"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_base_is_refused_in_a_sentence(studio, write, shapes, cause, what, remedy):
    path = write("odd.safetensors", shapes, cause)
    with pytest.raises(UserError, match=what) as caught:
        bases.find(studio, str(path))
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F16"], "shape": [1], "data_offsets": [0, 2]},
        {"dtype": "F16", "shape": "12", "data_offsets": [0, 2]},
        {"dtype": "F16", "shape": [10**9, 10**9], "data_offsets": [0, 2]},
        {"dtype": "F16", "shape": [1], "data_offsets": [-2, 0]},
        {"dtype": "F16", "shape": [True], "data_offsets": [0, 2.5]},
    ],
)
def test_a_header_that_lies_is_damaged_and_hides_no_other_base(studio, write, entry):
    write("good.safetensors", SD15)
    text = json.dumps({"w": entry}).encode()
    (studio.bases / "bad.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"12")
    with pytest.raises(UserError, match="The header of bad.safetensors is damaged"):
        bases.find(studio, "bad.safetensors")
    assert [base.key for base in bases.list_bases(studio)] == ["starter", "good"]


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.pth"])
def test_a_pickle_is_refused_by_name(studio, tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x02")
    with pytest.raises(UserError, match=f"{name} is in an old format that can carry programs"):
        bases.find(studio, str(tmp_path / name))


def test_a_gated_base_says_what_comes_before_the_download(studio):
    with pytest.raises(UserError) as caught:
        bases.find(studio, "flux1-dev")
    assert caught.value.remedy.startswith("Download black-forest-labs/")
