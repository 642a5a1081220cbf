"""Pictures described by captioners of every kind: real classes and processors with tiny random weights."""

import json
import shutil

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, BlipForConditionalGeneration, BlipProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from lora_gui.engine.caption import describe as describing
from lora_gui.engine.caption import generating, room
from lora_gui.engine.caption.describe import Opening, describe
from lora_gui.errors import UserError
from lora_gui.formats import captioners
from lora_gui.protocol.events import Described, Done, Note, Phase
from lora_gui.protocol.jobs import CaptionJob
from tests import tiny_captioners

WRITERS = [("blip",), ("blip2",), ("florence",), ("qwen",), ("qwen", "2.5"), ("qwen", "3")]


@pytest.fixture
def short(monkeypatch):
    """Descriptions by what never ends one by itself, since it was not taught to."""
    monkeypatch.setattr(generating, "TOKENS", 20)


def said(folder, pictures, **more):
    """All that is described, by number; and all other events."""
    heard = list(describe(CaptionJob(model=str(folder), pictures=tuple(pictures), **more)))
    found = {one.number: one.text for one in heard if isinstance(one, Described)}
    return found, [one for one in heard if not isinstance(one, Described)]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", WRITERS, ids=" ".join)
def test_every_kind_that_writes_describes_every_picture_the_same_way_each_time(captioner, pictures, kind):
    found, heard = said(captioner(*kind), pictures)
    assert set(found) == {0, 1, 2} and all(found.values())
    assert heard[-1] == Done() and heard[-2] == Phase("Describing pictures", 3, 3)
    assert said(captioner(*kind), pictures)[0] == found
    assert not any(mark in text for text in found.values() for mark in ("<image>", "<|", "[PAD]", "</s>"))


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", WRITERS, ids=" ".join)
def test_several_pictures_at_once_are_described_as_one_by_one(captioner, pictures, kind):
    folder = captioner(*kind)
    where = room.Room(torch.device("cpu"), torch.float32)
    describer = getattr(generating, kind[0])(Opening(folder, where, "What is it?", 0.35, 0.85))
    images = [Image.open(path).convert("RGB") for path in pictures]
    with torch.inference_mode():
        assert describer(images) == [describer([one])[0] for one in images]


@pytest.mark.usefixtures("short")
def test_blip_says_what_transformers_says_with_its_own_processor(captioner, pictures):
    folder = captioner("blip")
    processor = BlipProcessor(BlipImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    inputs = processor(images=Image.open(pictures[1]).convert("RGB"), return_tensors="pt")
    ids = model.generate(**inputs, num_beams=3, do_sample=False, max_new_tokens=generating.TOKENS)
    expected = " ".join(processor.tokenizer.decode(ids[0], skip_special_tokens=True).split())
    assert said(folder, pictures)[0][1] == expected


def test_one_that_was_taught_tells_pictures_apart(tmp_path):
    texts = tiny_captioners.TEXTS
    folder = tiny_captioners.taught(tmp_path / "taught")
    for colour in texts:
        Image.new("RGB", (80, 70), colour).save(tmp_path / f"{colour}.png")
    found, _ = said(folder, [str(tmp_path / f"{colour}.png") for colour in texts])
    assert list(found.values()) == list(texts.values())


def test_the_question_is_what_qwen_answers(captioner, pictures):
    first, _ = said(captioner("qwen"), pictures, question="Name it.")
    second, _ = said(captioner("qwen"), pictures, question="Where is it, and who is with it?")
    assert first != second


def test_a_picture_that_is_gone_is_left_out_and_said(captioner, pictures, tmp_path):
    gone = [pictures[0], str(tmp_path / "gone.png"), pictures[2]]
    found, heard = said(captioner("blip"), gone)
    assert set(found) == {0, 2}
    assert Note("1 of 3 pictures could not be read any more and were left out.") in heard
    with pytest.raises(UserError, match="not there any more"):
        said(captioner("blip"), [str(tmp_path / "gone.png")])


def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(captioner, pictures, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(captioner("blip"), tmp_path / "blip")
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "vision_model" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="not whole: 1 tensors"):
        said(folder, pictures)


@pytest.mark.parametrize("gone", ["tokenizer.json", "preprocessor_config.json"])
def test_a_folder_that_lacks_what_it_is_read_with_is_a_sentence(captioner, pictures, tmp_path, gone):
    folder = shutil.copytree(captioner("blip"), tmp_path / "blip")
    (folder / gone).unlink()
    with pytest.raises(UserError, match="cannot be opened"):
        said(folder, pictures)


def test_code_in_a_folder_is_never_run(captioner, pictures, tmp_path):
    folder = shutil.copytree(captioner("blip"), tmp_path / "blip")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        config = json.loads((folder / name).read_text())
        kinds = ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor")
        config["auto_map"] = dict.fromkeys(kinds, "evil.Evil")
        (folder / name).write_text(json.dumps(config))
    try:
        said(folder, pictures)
    except UserError as error:
        assert "cannot be opened" in error.what
    assert not (tmp_path / "ran").exists()


def test_one_that_does_not_fit_into_memory_is_refused_before_it_is_read(captioner, pictures, monkeypatch):
    found = captioners.told(captioner("blip"))
    monkeypatch.setattr(room.device, "free", lambda where: found.size * 0.8)
    half, heard = said(captioner("blip"), pictures)
    assert half and any(isinstance(one, Note) and "16 bits" in one.text for one in heard)
    monkeypatch.setattr(room.device, "free", lambda where: 0)
    with pytest.raises(UserError, match="GB of memory") as refused:
        said(captioner("blip"), pictures)
    assert refused.value.cause == "memory"


def test_where_memory_runs_out_pictures_are_looked_at_one_by_one_and_then_it_is_said(pictures, monkeypatch):
    most = 1
    seen = []

    def describer(images):
        seen.append(len(images))
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ["a fox"] * len(images)

    job = CaptionJob(model="", pictures=tuple(pictures))
    heard = list(describing._each(describer, job, "BLIP", 3))
    assert sum(isinstance(one, Described) for one in heard) == 3 and seen == [3, 1, 1, 1]
    most = 0
    with pytest.raises(UserError, match="not enough memory for BLIP"):
        list(describing._each(describer, job, "BLIP", 1))
