"""What a PNG says of how it was made: A1111's text, ComfyUI's nodes, our record; and what is hostile."""

import json
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.errors import UserError
from lora_gui.formats import generation, png
from lora_gui.formats.generation import Made
from lora_gui.formats.recall import recall
from lora_gui.formats.recall.recalled import Lora
from lora_gui.settings import DrawSettings, StackEntry

# as A1111 1.10 and Forge write it
A1111 = """a <lora:ink:0.8> fox, (sharp:1.2),
by a lake <lora:style v2:0.5:1.1>
Negative prompt: blurry,
grey
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 12345678901, Size: 768x512, \
Model hash: 6ce0161689, Model: v1-5-pruned, Denoising strength: 0.4, Hires upscale: 2, \
Lora hashes: "ink: 0123456789ab, style v2: fedcba987654", Version: v1.10.1"""
FLUX = """a fox
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 7, Size: 896x1152, \
Model hash: aa, Model: flux1-dev, Version: f2.0.1v1.10.1"""


def saved(path, **texts):
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (8, 8)).save(path, "PNG", pnginfo=info)
    return path


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


SD = {
    "3": node("KSampler", seed=["20", 0], steps=22, cfg=7.5, sampler_name="dpmpp_2m", scheduler="karras", denoise=1.0,
              model=["11", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0]),
    "4": node("CheckpointLoaderSimple", ckpt_name="SD15\\\\dream.safetensors".replace("\\\\", "\\")),
    "5": node("EmptyLatentImage", width=640, height=384, batch_size=1),
    "6": node("CLIPTextEncode", text=["21", 0], clip=["12", 0]),
    "7": node("CLIPTextEncode", text="grey", clip=["12", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", filename_prefix="a", images=["8", 0]),
    "10": node("LoraLoader", lora_name="styles/ink.safetensors", strength_model=0.8, strength_clip=0.4,
               model=["4", 0], clip=["4", 1]),
    "11": node("LoraLoaderModelOnly", lora_name="fox.safetensors", strength_model=-0.5, model=["10", 0]),
    "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
    "20": node("PrimitiveInt", value=99), "21": node("PrimitiveString", value="a fox"),
    "30": node("ControlNetApply", strength=1.0, conditioning=["6", 0]),
}  # fmt: skip
CUSTOM = {
    "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "2": node("Power Lora Loader (rgthree)", model=["1", 0], lora_1={"on": True, "lora": "a", "strength": 0.7},
              lora_2={"on": False, "lora": "b.safetensors", "strength": 1}),
    "3": node("CLIPTextEncode", text="a lake", clip=["9", 0]),
    "4": node("FluxGuidance", guidance=3.5, conditioning=["3", 0]),
    "5": node("BasicGuider", model=["2", 0], conditioning=["4", 0]),
    "6": node("RandomNoise", noise_seed=5),
    "7": node("KSamplerSelect", sampler_name="euler"),
    "8": node("BasicScheduler", scheduler="simple", steps=20, denoise=1.0, model=["2", 0]),
    "9": node("DualCLIPLoader", clip_name1="t5", clip_name2="l"),
    "10": node("EmptySD3LatentImage", width=1024, height=768, batch_size=2),
    "11": node("SamplerCustomAdvanced", noise=["6", 0], guider=["5", 0], sampler=["7", 0], sigmas=["8", 0],
               latent_image=["10", 0]),
    "12": node("VAEDecode", samples=["11", 0]), "13": node("SaveImage", images=["12", 0]),
}  # fmt: skip


def test_the_text_of_a1111_is_read_as_it_reads_it(tmp_path):
    found = recall(saved(tmp_path / "a.png", parameters=A1111))
    assert found.program == "A1111" and found.base == "v1-5-pruned" and found.base_hash == "6ce0161689"
    assert found.settings == {
        "prompt": "a fox, (sharp:1.2),\nby a lake", "negative_prompt": "blurry,\ngrey", "steps": 30, "guidance": 6.5,
        "seed": 12345678901, "width": 768, "height": 512, "sampler": "DPM++ 2M", "schedule": "Karras",
    }  # fmt: skip
    ink, style = found.loras
    assert ink == Lora("ink", 0.8, "0123456789ab")
    assert style == Lora("style v2", 1.1, "fedcba987654", {"text_strength": 0.5})
    assert found.left == ("Not carried over: Denoising strength 0.4, Hires upscale 2.",)


def test_forges_guidance_for_flux_and_older_names_of_samplers_are_known(tmp_path):
    found = recall(saved(tmp_path / "a.png", parameters=FLUX))
    assert found.program == "Forge" and found.settings["guidance"] == 3.5 and found.settings["sampler"] == "Euler"
    old = A1111.replace("DPM++ 2M, Schedule type: Karras", "DPM++ SDE Karras")
    assert recall(saved(tmp_path / "a.png", parameters=old)).settings["schedule"] == "Karras"
    odd = recall(saved(tmp_path / "a.png", parameters=A1111.replace("DPM++ 2M,", "Restart,")))
    assert "The sampler Restart is not known here" in odd.left[0] and "sampler" not in odd.settings


def test_the_common_nodes_of_comfyui_are_followed(tmp_path):
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD), workflow="{}"))
    assert found.program == "ComfyUI" and found.base == "dream"
    assert found.settings == {
        "prompt": "a fox", "negative_prompt": "grey", "steps": 22, "guidance": 7.5, "seed": 99, "width": 640,
        "height": 384, "sampler": "DPM++ 2M", "schedule": "Karras", "clip_skip": 2,
    }  # fmt: skip
    assert found.loras == (Lora("ink", 0.8, "", {"text_strength": 0.4}), Lora("fox", -0.5, "", {"text_strength": 0.0}))
    assert found.left == ("Not carried over: ControlNetApply.",)


def test_a_sampler_that_is_put_together_of_nodes_is_followed_too(tmp_path):
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(CUSTOM)))
    assert found.settings == {
        "prompt": "a lake", "negative_prompt": "", "steps": 20, "guidance": 3.5, "seed": 5, "width": 1024,
        "height": 768, "sampler": "Euler",
    }  # fmt: skip
    assert found.base == "flux1-dev" and found.loras == (Lora("a", 0.7),) and "in a batch" in found.left[0]


def test_texts_that_are_joined_and_stacks_of_loras_are_followed_and_what_else_is_on_the_way_is_named(tmp_path):
    way = {
        "21": node("StringConcatenate", string_a=["22", 0], string_b="in snow", delimiter=", "),
        "22": node("PrimitiveString", value="a fox"),
        "10": node("FreeU_V2", b1=1.3, model=["13", 0]),
        "13": node("Lora Loader Stack (rgthree)", lora_01="a/ink.safetensors", strength_01=0.6, lora_02="None",
                   strength_02=1, model=["14", 0], clip=["4", 1]),
        "14": node("Power Lora Loader (rgthree)", model=["4", 0],
                   lora_1={"lora": "b", "strength": 1, "strengthTwo": 0}),
    }  # fmt: skip
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | way)))
    assert found.settings["prompt"] == "a fox, in snow"
    fox = Lora("fox", -0.5, "", {"text_strength": 0.0})
    assert found.loras == (Lora("b", 1, "", {"text_strength": 0}), Lora("ink", 0.6), fox)
    assert found.left == ("Not carried over: ControlNetApply, FreeU_V2.",)


def test_what_stands_before_a_prompt_and_the_words_of_another_text_encoder_are_not_passed_over_in_silence(tmp_path):
    between = {
        "3": SD["3"] | {"inputs": SD["3"]["inputs"] | {"positive": ["30", 0]}},
        "6": node("CLIPTextEncodeSDXL", text_g="wide", text_l="near", clip=["4", 1]),
    }
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | between)))
    other, named = found.left
    assert found.settings["prompt"] == "wide" and "one text encoder" in other and "ControlNetApply" in named


def test_what_comes_from_nodes_that_are_not_known_is_told_and_nothing_is_made_up_for_it(tmp_path):
    unknown = {
        "20": node("Seed Everywhere", group=1),
        "21": node("StringConcatenate", string_a=["40", 0], string_b=["41", 0], delimiter=" "),
        "40": node("Wildcards", seed=7, wildcard_text="x"),
        "41": node("StringReplace", string="a fox", find="fox", replace="hare"),
        "7": node("ImpactWildcardEncode", clip=["12", 0]),
    }
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(SD | unknown)))
    assert found.settings["prompt"] == "a fox" and "seed" not in found.settings
    assert found.left == (
        "Not carried over: ControlNetApply, ImpactWildcardEncode, StringReplace, Wildcards.",
        "Left out, as it comes from nodes that are not known here: seed (Seed Everywhere), the prompt (Wildcards), "
        "the negative prompt (ImpactWildcardEncode).",
    )


def test_texts_that_double_at_each_step_and_go_round_take_no_time(tmp_path):
    twice = {n: {"string_a": [str(n + 1), 0], "string_b": [str(n + 1), 0]} for n in range(50, 99)}
    steps = {str(n): node("StringConcatenate", **inputs) for n, inputs in twice.items()}
    for last in ("ab", ["50", 0]):
        nodes = SD | {"21": node("Text", text=["50", 0])} | steps | {"99": node("Text", text=last)}
        found = recall(saved(tmp_path / "a.png", prompt=json.dumps(nodes)))
        assert len(found.settings["prompt"]) == (4000 if last == "ab" else 0)
        assert any("is cut" in one if last == "ab" else "the prompt (" in one for one in found.left)


def test_of_two_passes_the_first_is_carried_over(tmp_path):
    second = node("KSamplerAdvanced", noise_seed=1, steps=9, cfg=1, sampler_name="euler", scheduler="normal",
                  model=["4", 0], positive=["6", 0], negative=["7", 0], latent_image=["31", 0])  # fmt: skip
    twice = {"2": second, "31": node("LatentUpscale", samples=["3", 0], width=9, height=9)} | SD
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(twice)))
    assert found.settings["steps"] == 22 and "first of 2 passes" in found.left[0]


def test_our_own_record_says_all_and_counts_before_the_text(tmp_path):
    entry = StackEntry(lora="/secret/ink.safetensors", strength=0.8, text_strength=0.3, up=0.5)
    settings = DrawSettings(prompt="a fox", seed=2**63, steps=3, guidance=4.5, sampler="Heun", stack=(entry,))
    made = Made(settings, "Starter", ("Heun", ""), [("ink", 0.8, "ab" * 32)], (512, 512), "starter", "")
    path = tmp_path / "a.png"
    path.write_bytes(png.of(Image.new("RGB", (8, 8)), made))
    found = recall(path)
    assert found.exact and found.base_key == "starter" and not found.left
    assert found.settings.items() <= settings.model_dump(mode="json").items() and found.settings["sampler"] == "Heun"
    parts = {"text_strength": 0.3, "down": 1.0, "middle": 1.0, "up": 0.5}
    assert found.loras == (Lora("ink", 0.8, "ab" * 32, parts),)
    assert b"secret" not in path.read_bytes() and b"<lora:ink:0.3:0.8>" in path.read_bytes()


def test_our_text_by_itself_says_what_others_have_no_field_for(tmp_path):
    settings = DrawSettings(prompt="a fox", guidance_end=0.75, prediction="v")
    made = Made(settings, "Starter", ("Heun", ""), [], (512, 512))
    found = recall(saved(tmp_path / "a.png", parameters=generation.text(made)))
    assert not found.exact and not found.left
    assert (found.settings["guidance_end"], found.settings["prediction"]) == (0.75, "v")


def test_a_picture_that_it_began_with_is_told_by_its_name(tmp_path):
    made = Made(DrawSettings(picture="/x/lake.png"), "Starter", ("Heun", ""), [], (512, 512), "starter", "")
    path = tmp_path / "a.png"
    path.write_bytes(png.of(Image.new("RGB", (8, 8)), made))
    found = recall(path)
    assert found.pictures == {"picture": "lake.png"} and "picture" not in found.settings


DEEP = "[" * 100_000
CIRCLE = {
    "3": SD["3"] | {"inputs": SD["3"]["inputs"] | {"latent_image": ["3", 0]}},
    "11": node("LoraLoaderModelOnly", lora_name="a", model=["11", 0]),
    "20": node("PrimitiveInt", value=["20", 0]),
}


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": DEEP}, {"prompt": "{}"}, {"prompt": "[1]"}, {"prompt": '{"1": {"class_type": "KSampler"}}'},
        {"prompt": '{"1": 3}'}, {"workflow": "{}"}, {"parameters": ""}, {"parameters": "just words"}, {},
        {"lora_studio": "null"}, {"lora_studio": DEEP}, {"lora_studio": '{"settings": 3}'},
    ],
    ids=lambda texts: "-".join(f"{name} {text[:20]}" for name, text in texts.items()) or "nothing",
)  # fmt: skip
def test_what_says_nothing_is_refused_in_two_sentences(tmp_path, texts):
    with pytest.raises(UserError) as caught:
        recall(saved(tmp_path / "a.png", **texts))
    assert caught.value.what.endswith(".") and caught.value.remedy.endswith(".")


def test_circles_strange_values_and_signs_that_cannot_be_seen_do_no_harm(tmp_path):
    found = recall(saved(tmp_path / "a.png", prompt=json.dumps(CIRCLE)))
    assert len(found.loras) <= 16 and "seed" not in found.settings
    strange = {"3": node("KSampler", seed={}, steps=1e400, cfg="nan", sampler_name=7, model=3, positive=["x"],
                         latent_image=[[]], negative=[None])}  # fmt: skip
    assert "steps" not in recall(saved(tmp_path / "a.png", prompt=json.dumps(strange))).settings
    evil = recall(saved(tmp_path / "a.png", parameters=A1111.replace("v1-5-pruned", "\u202egnp.exe\x07")))
    assert evil.base == " gnp.exe "
    many = "<lora:x:1>" * 10_000 + "\nSteps: 1, Sampler: Euler, CFG scale: inf, Seed: " + "9" * 5000
    found = recall(saved(tmp_path / "a.png", parameters=many))
    assert len(found.loras) == 16 and {"steps", "seed", "guidance"} & found.settings.keys() == {"steps"}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_text_that_unpacks_to_more_than_memory_and_one_cut_short_are_passed_over(tmp_path):
    bomb = b"prompt\0\0" + zlib.compress(bytes(50_000_000), 9)
    path = tmp_path / "a.png"
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"zTXt", bomb)
    path.write_bytes(start + chunk(b"iTXt", b"parameters\0\0\0\0\0" + FLUX.encode()) + chunk(b"tEXt", b"x")[:9])
    assert recall(path).program == "Forge"
    for data in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT"):
        path.write_bytes(data)
        with pytest.raises(UserError):
            recall(path)
