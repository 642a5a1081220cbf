"""Taggers: how a picture is given to one, what is taken of its answer, and a real session where onnxruntime is."""

import csv
import importlib.util
import json

import numpy as np
import pytest
import torch
from PIL import Image

from lora_gui.engine.caption import room, tagger
from lora_gui.engine.caption.describe import Opening
from lora_gui.errors import UserError

ROWS = [("general", 9), ("1girl", 0), ("long_hair", 0), ("^_^", 0), ("o_o", 0), ("hatsune_miku", 4), ("in_garden", 0)]
HAS_RUNTIME = bool(importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"))


def table(folder):
    with open(folder / "selected_tags.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["tag_id", "name", "category", "count"])
        writer.writerows([number, name, category, 100] for number, (name, category) in enumerate(ROWS))
    return folder / "selected_tags.csv"


def opening(folder):
    return Opening(folder, room.Room(torch.device("cpu"), torch.float32), "", 0.35, 0.85)


def test_a_picture_is_padded_to_a_white_square_blue_first_in_255_steps():
    wide = Image.new("RGB", (40, 20), (10, 20, 30))
    found = tagger.arrangement(["batch", 40, 40, 3])(wide)
    assert found.shape == (1, 40, 40, 3) and found.dtype == np.float32
    assert found[0, 20, 20].tolist() == [30, 20, 10]
    assert found[0, 2, 20].tolist() == found[0, 37, 20].tolist() == [255, 255, 255]
    assert tagger.arrangement([1, 448, 448, 3])(wide).shape == (1, 448, 448, 3)


def test_the_layout_is_read_from_the_model_and_how_it_is_scaled_from_beside_it(tmp_path):
    picture = Image.new("RGB", (20, 20), (0, 51, 255))
    stages = [{"type": "resize", "size": 20}, {"type": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.25]}]
    for said in ({"stages": stages}, {"test": stages}):
        (tmp_path / "preprocess.json").write_text(json.dumps(said))
        normal = tagger.normalisation(tmp_path / "preprocess.json")
        first = tagger.arrangement(["n", 3, 20, 20], normal)(picture)
        assert first.shape == (1, 3, 20, 20) and first.dtype == np.float32
        assert first[0, :, 0, 0] == pytest.approx([-1, -0.6, 2])  # red first, as timm has it
    assert tagger.normalisation(tmp_path / "none.json") is None
    for odd in ([1, 20, 20, 4], [1, 20], ["n", "h", "w", 3], ["n", 3, 20, 20]):
        with pytest.raises(UserError, match="takes no pictures"):
            tagger.arrangement(odd)


def test_tags_are_taken_by_their_thresholds_without_ratings_and_in_plain_words(tmp_path):
    tags = tagger.read_tags(table(tmp_path))
    chances = np.array([0.99, 0.4, 0.9, 0.5, 0.34, 0.86, 0.36], np.float32)
    assert tagger.said(tags, chances, 0.35, 0.85) == "hatsune miku, long hair, ^_^, 1girl, in garden"
    assert tagger.said(tags, chances, 0.85, 0.9) == "long hair"
    assert tagger.said(tags, np.zeros(len(tags)), 0.35, 0.85) == ""


@pytest.mark.parametrize("text", ["", "name\nx\n", "\x00\x01"])
def test_a_damaged_table_of_tags_is_a_sentence(tmp_path, text):
    (tmp_path / "selected_tags.csv").write_text(text)
    with pytest.raises(UserError, match="selected_tags.csv is"):
        tagger.read_tags(tmp_path / "selected_tags.csv")


@pytest.mark.skipif(HAS_RUNTIME, reason="onnxruntime is installed here")
def test_without_onnxruntime_it_is_said_how_to_get_it(tmp_path):
    table(tmp_path)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        tagger.tagger(opening(tmp_path))


@pytest.mark.skipif(not HAS_RUNTIME, reason="onnx and onnxruntime are not installed: the session is not tried")
def test_a_real_session_says_the_tags_of_a_picture(tmp_path):
    from onnx import TensorProto, helper, save

    table(tmp_path)
    # Blue, green and red, meaned and scaled, as the probabilities of the tags: blue is a girl, red is a name.
    weights = np.zeros((3, len(ROWS)), np.float32)
    weights[0, 1] = weights[0, 2] = weights[2, 5] = 1 / 255
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["y"]),
    ]
    given = [helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
             helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())]  # fmt: skip
    made = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16, 16, 3])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(ROWS)])
    graph = helper.make_graph(nodes, "tagger", [made], [answer], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, tmp_path / "model.onnx")
    describer = tagger.tagger(opening(tmp_path))
    found = describer([Image.new("RGB", (30, 30), colour) for colour in ("blue", "red", "black")])
    assert found == ["1girl, long hair", "hatsune miku", ""]
    (tmp_path / "selected_tags.csv").write_text("tag_id,name,category,count\n1,fox,0,1\n")
    with pytest.raises(UserError, match="another model"):
        tagger.tagger(opening(tmp_path))([Image.new("RGB", (30, 30))])


@pytest.mark.skipif(not HAS_RUNTIME, reason="onnx and onnxruntime are not installed: the session is not tried")
def test_the_probabilities_are_taken_where_a_model_answers_with_more(tmp_path):
    from onnx import TensorProto, helper, save

    table(tmp_path)
    normal = {"stages": [{"type": "normalize", "mean": [0, 0, 0], "std": [1, 1, 1]}]}
    (tmp_path / "preprocess.json").write_text(json.dumps(normal))
    weights = np.zeros((3, len(ROWS)), np.float32)
    weights[0, 5] = weights[2, 1] = 1  # red is a name, blue is a girl
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["embedding"], keepdims=0),
        helper.make_node("MatMul", ["embedding", "w"], ["prediction"]),
    ]
    given = [helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
             helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())]  # fmt: skip
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", wide])
               for name, wide in (("embedding", 3), ("prediction", len(ROWS)))]  # fmt: skip
    made = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])
    graph = helper.make_graph(nodes, "tagger", [made], answers, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    save(model, tmp_path / "model.onnx")
    describer = tagger.tagger(opening(tmp_path))
    assert describer([Image.new("RGB", (30, 30), one) for one in ("blue", "red")]) == ["1girl", "hatsune miku"]
