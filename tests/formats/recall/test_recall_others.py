"""Workflows and texts of other programs as people have them: several passes, tags that say more, lines behind."""

import json

import pytest

from lora_gui.errors import UserError
from lora_gui.formats.recall import recall
from lora_gui.formats.recall.recalled import Lora
from tests.formats.recall.test_recall import A1111, CUSTOM, FLUX, SD, node, saved


def test_a_pass_over_the_decoded_picture_is_the_second_and_of_drawings_side_by_side_the_saved_one_counts(tmp_path):
    again = {name: SD["3"]["inputs"][name] for name in ("sampler_name", "scheduler", "model", "positive", "negative")}
    second = node("KSampler", seed=1, steps=9, cfg=1, denoise=0.4, latent_image=["31", 0], **again)
    larger = {"31": node("VAEEncode", pixels=["32", 0]), "32": node("ImageScaleBy", image=["8", 0], scale_by=2)}
    last = {"9": node("SaveImage", images=["33", 0]), "33": node("VAEDecode", samples=["2", 0])}
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps({"2": second, **larger, **SD, **last})))
    assert (found.settings["steps"], found.settings["seed"], found.settings["width"]) == (22, 99, 640)
    assert "first of 2 passes" in found.left[0] and not any("picture" in one for one in found.left)
    beside = {"2": SD["3"], "9": node("PreviewImage", images=["8", 0]), "40": node("SaveImage", images=["41", 0]),
              "41": node("VAEDecode", samples=["42", 0]),
              "42": node("KSampler", **second["inputs"] | {"latent_image": ["5", 0]})}  # fmt: skip
    assert recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | beside))).settings["steps"] == 9
    both = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | beside | {"9": SD["9"]})))
    assert both.settings["steps"] == 22 and "saves 2 drawings" in both.left[0]


def test_the_loras_are_those_of_the_model_that_is_drawn_with_and_a_second_guidance_is_told(tmp_path):
    steps = node("BasicScheduler", scheduler="simple", steps=20, denoise=1.0, model=["1", 0])
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(CUSTOM | {"8": steps})))
    assert found.loras == (Lora("a", 0.7),) and found.settings["steps"] == 20
    guider = node("CFGGuider", model=["2", 0], positive=["4", 0], negative=["3", 0], cfg=3.0)
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(CUSTOM | {"5": guider})))
    assert found.settings["guidance"] == 3.5 and any("CFG scale of 3 too" in one for one in found.left)
    found = recall(saved(tmp_path / "a.png", parameters=FLUX.replace("CFG scale: 1,", "CFG scale: 3,")))
    assert found.settings["guidance"] == 3.5 and any("CFG scale of 3 too" in one for one in found.left)


@pytest.mark.parametrize("base, kind, guidance", [
    ("flux1-dev-fp8.safetensors", "", 3.5), ("my.safetensors", "flux", 3.5), ("my.safetensors", "", 1.0),
    ("flux-2-klein-base-4b.safetensors", "flux2", 1.0),
])  # fmt: skip
def test_what_comfyui_gives_flux_where_no_node_says_a_guidance_is_carried_over(tmp_path, base, kind, guidance):
    sampler = {"3": node("KSampler", **SD["3"]["inputs"] | {"cfg": 1.0})}
    loaders = {"4": node("CheckpointLoaderSimple", ckpt_name=base), "40": node("DualCLIPLoader", type=kind)}
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | sampler | loaders)))
    assert found.settings["guidance"] == guidance and not any("CFG" in one for one in found.left)


@pytest.mark.parametrize(
    "tag, lora, left",
    [
        ("x:te=0.5:unet=0.8", Lora("x", 0.8, "", {"text_strength": 0.5}), ""),
        ("x:unet=0.3", Lora("x", 0.3, "", {"text_strength": 1.0}), ""),
        ("x:0.7:lbw=OUTD", Lora("x", 0.7), "lbw=OUTD"),
        ("x:0.7:1,0,0,1", Lora("x", 0.7), "1,0,0,1"),
        ("x:0.5:0.6:16", Lora("x", 0.6, "", {"text_strength": 0.5}), "16"),
        ("x:strong", Lora("x", 1.0), "strong"),
    ],
)
def test_strengths_of_a_tag_stand_in_order_or_by_name_and_what_else_it_says_is_told(tmp_path, tag, lora, left):
    found = recall(saved(tmp_path / "a.png", parameters=f"a fox <lora:{tag}>\n{FLUX.splitlines()[1]}"))
    assert found.loras == (lora,) and found.settings["prompt"] == "a fox"
    assert [left in one for one in found.left] == [True] * bool(left)


def test_lines_that_extensions_put_behind_the_fields_are_told_and_hide_none_of_them(tmp_path):
    behind = "\nTemplate: a {fox|cat}\nNegative Template: grey"
    found = recall(saved(tmp_path / "a.png", parameters=A1111 + behind))
    assert found.settings == recall(saved(tmp_path / "b.png", parameters=A1111)).settings
    assert "Template a {fox|cat}" in found.left[0]


def test_where_one_record_cannot_be_read_the_text_beside_it_is_and_that_is_told(tmp_path):
    unknown = json.dumps({"1": node("KSampler (Efficient)", seed=1)})
    found = recall(saved(tmp_path / "a.png", prompt=unknown, parameters=A1111))
    assert found.program == "A1111" and "no sampler that is known here" in found.left[0] and "beside" in found.left[0]
    damaged = recall(saved(tmp_path / "a.png", lora_studio="{", parameters=A1111))
    assert not damaged.exact and "damaged" in damaged.left[0]
    with pytest.raises(UserError, match="no sampler"):
        recall(saved(tmp_path / "a.png", prompt=unknown, parameters="a fox"))


LONG = "a fox, " * 600
SWARM = {"prompt": LONG, "loras": [f"l{n}" for n in range(20)], "loraweights": [1] * 20}
WORKFLOW = SD | {"6": node("CLIPTextEncode", text=LONG, clip=["4", 1])}
OWN = {"base": {}, "loras": [], "settings": {"prompt": LONG, "stack": [{"lora": "a"}] * 20}}


@pytest.mark.parametrize("keyword, text", [
    ("parameters", LONG + "<lora:a:1>" * 20 + "\n" + FLUX.splitlines()[1]), ("prompt", json.dumps(WORKFLOW)),
    ("parameters", json.dumps({"sui_image_params": SWARM})), ("lora_studio", json.dumps(OWN)),
], ids=["a1111", "comfyui", "swarmui", "ours"])  # fmt: skip
def test_longer_prompts_and_more_loras_than_are_taken_here_are_cut_and_that_is_told(tmp_path, keyword, text):
    found = recall(saved(tmp_path / "a.png", **{keyword: text}))
    assert found.settings["prompt"] == LONG[:4000] and "The prompt is cut to 4,000 characters." in found.left
    if keyword != "prompt":
        assert len(found.loras) == 16 and "It used 20 LoRAs, of which the first 16 are taken." in found.left
    assert not found.exact
