"""What JPEG, WebP and AVIF pictures say of themselves in their EXIF, and PNGs in theirs."""

import json
import struct
import tracemalloc

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.errors import UserError
from lora_gui.formats.recall import recall
from lora_gui.formats.recall.embedded import texts
from lora_gui.formats.recall.recalled import Lora

TEXT = """a fox, \u72d0
Negative prompt: grey, \xe9
Steps: 30, Sampler: Euler a, CFG scale: 6.5, Seed: 1, Size: 768x512, Model: dream"""
# as civitai.com writes it
SITE = TEXT.replace("Model: dream", "Clip skip: 2, Created Date: 2025-11-28T09:18:43.5269343Z, Civitai resources: ") + (
    '[{"type":"checkpoint","modelVersionId":1,"modelName":"Dream, large","modelVersionName":"8"},'
    '{"type":"lora","weight":0.7,"modelVersionId":2,"modelName":"Ink","modelVersionName":"v1"},'
    '{"type":"embed","weight":1,"modelVersionId":3}], Civitai metadata: {"remixOfId":5}'
)
EXIF, COMMENT, MAKE, MODEL = 0x8769, 0x9286, 0x010F, 0x0110
FORMATS = pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png", "a.avif"])


def saved(path, comment=None, **tags):
    exif = Image.Exif()
    if comment is not None:
        exif.get_ifd(EXIF)[COMMENT] = comment
    for tag, text in tags.items():
        exif[int(tag[1:])] = text
    Image.new("RGB", (16, 16)).save(path, exif=exif.tobytes())
    return path


@FORMATS
@pytest.mark.parametrize("begins, code", [
    (b"UNICODE\0", "utf-16-be"), (b"UNICODE\0", "utf-16-le"), (b"ASCII\0\0\0", "utf-8"), (bytes(8), "utf-8"),
    (b"", "utf-8"),
])  # fmt: skip
def test_the_text_of_a1111_is_read_in_every_way_that_programs_write_it(tmp_path, name, begins, code):
    path = saved(tmp_path / name, begins + TEXT.encode(code))
    assert texts(path) == {"parameters": TEXT}
    assert recall(path).settings["prompt"] == "a fox, \u72d0" and recall(path).base == "dream"


@FORMATS
def test_what_comfyui_writes_into_other_tags_is_read_too(tmp_path, name):
    path = saved(tmp_path / name, **{f"t{MODEL}": 'prompt:{"3": 1}', f"t{MAKE}": "workflow:{}"})
    assert texts(path) == {"prompt": '{"3": 1}', "workflow": "{}"}
    graph = '{"3": {"class_type": "KSampler"}}'
    assert texts(saved(tmp_path / name, b"UNICODE\0" + graph.encode("utf-16-be"))) == {"prompt": graph}


@FORMATS
def test_one_that_says_nothing_is_refused_with_what_takes_it_out(tmp_path, name):
    with pytest.raises(UserError, match="does not say how it was made") as refused:
        recall(saved(tmp_path / name))
    assert "websites" in refused.value.remedy


def test_a_picture_of_another_kind_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.bmp")
    with pytest.raises(UserError, match="no PNG, JPEG, WebP or AVIF"):
        recall(tmp_path / "a.bmp")


def test_what_civitai_says_of_the_files_it_used_is_carried_over(tmp_path):
    found = recall(saved(tmp_path / "a.jpg", b"UNICODE\0" + SITE.encode("utf-16-be")))
    assert found.base == "Dream, large" and found.loras == (Lora("Ink", 0.7),)
    assert found.settings["clip_skip"] == 2 and found.settings["seed"] == 1
    assert found.left == ("Not carried over: embed 3.",)
    tagged = SITE.replace("a fox", "a fox <lora:own:0.4>").replace("Clip skip: 2", "Model: own base")
    found = recall(saved(tmp_path / "a.jpg", tagged.encode()))
    assert found.base == "own base" and found.loras == (Lora("own", 0.4),)


FOOOCUS = {
    "full_prompt": ["a fox", "cinematic still"], "prompt": "a fox", "full_negative_prompt": [],
    "negative_prompt": "grey", "base_model": "juggernaut", "base_model_hash": "aeb7e9e689",
    "performance": "Speed", "steps": 30, "seed": "7", "resolution": "(1152, 896)", "guidance_scale": 4.0,
    "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras",
    "sharpness": 2.0, "loras": [["offset", 0.1, "4852686128"]], "version": "Fooocus v2.5.5",
}  # fmt: skip


@FORMATS
def test_the_record_of_fooocus_is_read_where_it_keeps_it(tmp_path, name):
    path, info = tmp_path / name, PngInfo()
    info.add_text("parameters", json.dumps(FOOOCUS))
    exif = Image.Exif()
    exif[COMMENT] = json.dumps(FOOOCUS)
    Image.new("RGB", (8, 8)).save(path, **({"pnginfo": info} if name == "a.png" else {"exif": exif}))
    found = recall(path)
    assert found.settings == {
        "prompt": "a fox, cinematic still", "negative_prompt": "grey", "steps": 30, "guidance": 4.0, "seed": 7,
        "width": 1152, "height": 896, "sampler": "DPM++ 2M SDE", "schedule": "Karras",
    }  # fmt: skip
    assert (found.program, found.base, found.loras) == ("Fooocus", "juggernaut", (Lora("offset", 0.1, "4852686128"),))
    assert found.left == ("Not carried over: Sharpness 2.0.",)


def test_its_other_way_names_loras_in_fields_of_their_own(tmp_path):
    text = TEXT.replace("Sampler: Euler a", "Sampler: DPM++ 2M SDE, Scheduler: karras, Performance: Speed") + (
        ', Lora hashes: "offset: 4852686128, ink v2: aabbccddee", Lora weights: "offset: 0.1, ink v2: -0.5"')
    found = recall(saved(tmp_path / "a.jpg", text.encode()))
    assert found.loras == (Lora("offset", 0.1, "4852686128"), Lora("ink v2", -0.5, "aabbccddee"))
    assert found.settings["schedule"] == "Karras" and not found.left


SWARM = {
    "sui_image_params": {
        "prompt": "a fox", "negativeprompt": "grey", "model": "some/base.safetensors", "seed": 7, "steps": 20,
        "cfgscale": 7.0, "width": 1024, "height": 768, "sampler": "euler", "scheduler": "karras", "clipstopatlayer": -2,
        "loras": ["styles/ink.safetensors"], "loraweights": "0.6", "refinermethod": "PostApply",
    },
    "sui_extra_data": {"date": "2025-01-25"},
}  # fmt: skip
INVOKE = {
    "generation_mode": "sdxl_txt2img", "positive_prompt": "a fox", "negative_prompt": "grey", "width": 1024,
    "height": 768, "seed": 7, "cfg_scale": 7, "steps": 20, "scheduler": "euler_k", "app_version": "5.4.2",
    "model": {"name": "base", "hash": "blake3:8967e7e6", "base": "sdxl"}, "hrf_enabled": True,
    "loras": [{"model": {"name": "ink"}, "weight": 0.6}, {"model": None, "weight": "x"}, 3],
}  # fmt: skip


@pytest.mark.parametrize("name, key, record, left", [
    ("a.png", "parameters", SWARM, "Refiner PostApply"), ("a.jpg", "", SWARM, "Refiner PostApply"),
    ("b.jpg", "", SWARM, "Refiner PostApply"), ("a.png", "invokeai_metadata", INVOKE, "High resolution fix"),
])  # fmt: skip
def test_the_records_of_swarmui_and_invokeai_are_read_where_they_keep_them(tmp_path, name, key, record, left):
    path, info, exif = tmp_path / name, PngInfo(), Image.Exif()
    info.add_text(key or "none", json.dumps(record))
    exif[COMMENT if name == "a.jpg" else MODEL] = json.dumps(record)
    Image.new("RGB", (8, 8)).save(path, **({"exif": exif} if name.endswith("jpg") else {"pnginfo": info}))
    found = recall(path)
    clip = {"clip_skip": 2} if record is SWARM else {}
    assert found.settings == clip | {
        "prompt": "a fox", "negative_prompt": "grey", "steps": 20, "guidance": 7, "seed": 7, "width": 1024,
        "height": 768, "sampler": "Euler", "schedule": "Karras",
    }  # fmt: skip
    assert found.base == "base" and found.loras == (Lora("ink", 0.6),) and found.left == (f"Not carried over: {left}.",)


ODD = '{"full_prompt": 1, "base_model": [], "performance": {}, "loras": [[]]}'


@pytest.mark.parametrize("odd", ["{broken", '{"prompt": "a fox"}', "{" * 5000, ODD])
def test_json_of_others_is_refused_and_odd_values_are_passed_over(tmp_path, odd):
    path = saved(tmp_path / "a.jpg", odd.encode())
    if odd == ODD:
        assert recall(path).loras == ()
    else:
        with pytest.raises(UserError, match="not known here"):
            recall(path)


@pytest.mark.parametrize("odd", ["[" * 5000, "[3, null", '["a", null, {"weight": "x"}]'])
def test_files_that_are_no_list_of_files_are_passed_over(tmp_path, odd):
    text = f"{TEXT}, Civitai resources: {odd}"
    found = recall(saved(tmp_path / "a.jpg", text.encode()))
    assert found.base == "dream" and found.loras == ()


@FORMATS
def test_what_is_damaged_says_nothing_and_raises_nothing_else(tmp_path, name):
    whole = saved(tmp_path / name, b"UNICODE\0" + TEXT.encode("utf-16-be")).read_bytes()
    path = tmp_path / name
    for at in range(len(whole)):
        changed = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] if at % 2 else whole[:at]
        path.write_bytes(changed)
        try:
            recall(path)
        except UserError:
            continue


def test_a_directory_that_claims_more_than_there_is_holds_no_more_memory_than_the_file(tmp_path):
    size, tags = 1_000_000, 60_000
    entries = b"".join(struct.pack("<HHII", 0x9000 + n % 4000, 7, size, 8) for n in range(tags))
    exif = struct.pack("<4sIH", b"II*\0", 8, tags) + entries + bytes(size)
    chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif
    path = tmp_path / "a.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    tracemalloc.start()
    assert texts(path).keys() <= {"parameters"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(exif)
