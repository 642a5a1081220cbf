"""The header of a LoRA file: whole ones are read, everything else is refused in a sentence."""

import json
import math
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import metadata, summary
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
FACTS = Facts(
    key="toy",
    title="Toy",
    bases=(),
    pipeline="ToyPipeline",
    resolution=64,
    train_defaults={},
    draw_defaults={},
    size_step=8,
    architecture="toy-v1/lora",
    base_model_version="toy_v1",
)


def tensors(rank: int = 4, alpha: float = 2.0, layer: str = LAYER) -> dict[str, np.ndarray]:
    return {
        f"{layer}.lora_down.weight": np.full((rank, 8), 0.5, np.float16),
        f"{layer}.lora_up.weight": np.full((8, rank), 0.25, np.float16),
        f"{layer}.alpha": np.array(alpha, np.float16),
    }


def raw(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list, dtype: str = "F16", begin: int = 0) -> dict:
    return {
        "dtype": dtype,
        "shape": shape,
        "data_offsets": [begin, begin + math.prod(shape) * metadata.WIDTHS.get(dtype, 2)],
    }


def pair(rank: int = 1) -> dict:
    down = entry([rank, 2])
    return {
        f"{LAYER}.lora_down.weight": down,
        f"{LAYER}.lora_up.weight": entry([2, rank], begin=down["data_offsets"][1]),
    }


def refusal(path, data: bytes) -> UserError:
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        metadata.read_header(path)
    return caught.value


def test_a_whole_file_tells_rank_alpha_and_what_it_says_of_itself(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(rank=4, alpha=2), {"modelspec.architecture": "toy-v1/lora"}))
    header = metadata.read_header(path)
    assert (header.rank, header.layers, summary.alpha(path, header)) == (4, 1, 2.0)
    assert metadata.identify(header, [FACTS]) == ("toy", "kohya")
    assert metadata.all_finite(path, header)


@pytest.mark.parametrize(
    ("layer", "down", "up", "dialect"),
    [
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "lora_down", "lora_up", "kohya"),
        ("unet.down_blocks.0.attentions.0.to_q", "lora_A", "lora_B", "diffusers"),
        ("diffusion_model.double_blocks.0.img_attn.qkv", "lora_A", "lora_B", "comfy"),
        ("lora_transformer_transformer_blocks_0_attn_to_q", "lora_down", "lora_up", "onetrainer"),
    ],
)
def test_each_dialect_is_told_from_the_others(tmp_path, layer, down, up, dialect):
    path = tmp_path / "a.safetensors"
    halves = {
        f"{layer}.{down}.weight": np.ones((2, 8), np.float32),
        f"{layer}.{up}.weight": np.ones((8, 2), np.float32),
    }
    path.write_bytes(save(halves, {"ss_base_model_version": "toy_v1"}))
    header = metadata.read_header(path)
    assert metadata.identify(header, [FACTS]) == ("toy", dialect)
    assert summary.alpha(path, header) == header.rank == 2


def test_a_file_that_says_nothing_is_known_by_its_layers(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors()))
    assert metadata.identify(metadata.read_header(path), list(families.facts().values())) == ("sd1", "kohya")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "whole"),
        (b"\1\2\3", "whole"),
        (struct.pack("<Q", 2**63) + b"{}", "whole"),
        (struct.pack("<Q", 100) + b"{}", "whole"),
        (b"PK\x03\x04" + b"x" * 100, "programs"),
        (b"\x80\x02}q\x00" + b"x" * 100, "programs"),
        (raw(b"not json at all"), "damaged"),
        (raw(b"\xff\xfe\xff\xff"), "damaged"),
        (raw(b"[" * 100_000), "damaged"),
        (raw(b'{"a": {}, "a": {}}'), "damaged"),
        (raw({"a": {"dtype": "F16"}}), "damaged"),
        (raw([1, 2]), "damaged"),
        (raw({"a": entry([2], "I64")}, b"\0" * 4), "no LoRA has"),
        (raw({"a": entry([0, 2**40])}), "no LoRA has"),
        (raw({"a": entry([1, 1, 1, 1, 1])}, b"\0\0"), "no LoRA has"),
        (raw({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 2]}}, b"\0\0"), "no LoRA has"),
        (raw({"a": {"dtype": "F16", "shape": [True], "data_offsets": [0, 2]}}, b"\0\0"), "no LoRA has"),
        (raw({str(n): entry([1]) for n in range(20_001)}, b"\0\0"), "no LoRA has"),
        (raw({"a": entry([1]), "b": entry([1])}, b"\0\0"), "overlap"),
        (raw({"a": entry([1], begin=2)}, b"\0" * 4), "gaps"),
        (raw(pair(), b"\0" * 4), "cut short"),
        (raw(pair(), b"\0" * 20), "longer"),
        (raw({"model.weight": entry([1])}, b"\0\0"), "not a LoRA"),
        (raw({"lora_unet_x.hada_w1_a": entry([1])}, b"\0\0"), "another kind"),
        (raw({f"{LAYER}.lora_down.weight": entry([1, 2])}, b"\0" * 4), "two halves"),
        (
            raw(
                {f"{LAYER}.lora_down.weight": entry([1, 2]), f"{LAYER}.lora_up.weight": entry([2, 2], begin=4)},
                b"\0" * 12,
            ),
            "two halves",
        ),
        (raw(pair(2000), b"\0" * 16_000), "rank 2000"),
    ],
)
def test_a_file_that_is_damaged_or_no_lora_is_refused_in_a_sentence(tmp_path, data, word):
    error = refusal(tmp_path / "a.safetensors", data)
    assert word in error.what
    assert error.remedy.endswith(".")


def test_every_cut_of_a_whole_file_is_refused(tmp_path):
    whole = save(tensors())
    for length in range(0, len(whole), 7):
        refusal(tmp_path / "a.safetensors", whole[:length])


def test_random_bytes_in_the_header_give_a_header_or_a_sentence_and_never_another_error(tmp_path):
    whole, random = bytearray(save(tensors())), np.random.default_rng(1)
    path = tmp_path / "a.safetensors"
    for _ in range(500):
        changed = bytearray(whole)
        for place in random.integers(0, len(whole), 3):
            changed[place] = random.integers(0, 256)
        path.write_bytes(changed)
        try:
            header = metadata.read_header(path)
            summary.alpha(path, header)
            metadata.identify(header, [FACTS])
        except UserError as error:
            assert error.what and error.remedy


def test_a_lora_of_another_kind_of_base_is_refused_by_name(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {"modelspec.architecture": "flux-1-dev/lora"}))
    with pytest.raises(UserError, match="flux-1-dev/lora"):
        metadata.identify(metadata.read_header(path), [FACTS])


def test_unknown_layer_names_beside_known_ones_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(
        save(tensors() | {"something.else": np.ones(1, np.float16)}, {"modelspec.architecture": "toy-v1/lora"})
    )
    with pytest.raises(UserError, match="not known"):
        metadata.identify(metadata.read_header(path), [FACTS])


def test_text_from_strangers_is_cut(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {"modelspec.title": "x" * 100_000}))
    assert len(metadata.read_header(path).metadata["modelspec.title"]) == 2000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_value_that_is_no_number_is_found(tmp_path, value, kind):
    path = tmp_path / "a.safetensors"
    broken = {name: tensor.astype(kind) for name, tensor in tensors().items()}
    broken[f"{LAYER}.lora_up.weight"][3, 1] = value
    path.write_bytes(save(broken))
    assert not metadata.all_finite(path, metadata.read_header(path))


def test_bfloat16_is_read_too(tmp_path):
    path = tmp_path / "a.safetensors"
    header = pair() | {f"{LAYER}.alpha": entry([], "BF16", begin=8)}
    path.write_bytes(raw(header, b"\x80\x3f" * 4 + b"\x00\x41"))  # alpha 8.0
    assert summary.alpha(path, metadata.read_header(path)) == 8.0
    path.write_bytes(raw(header | {f"{LAYER}.alpha": entry([], "BF16", begin=8)}, b"\x80\x3f" * 4 + b"\x80\x7f"))
    whole = metadata.read_header(path)
    assert not metadata.all_finite(path, whole) and math.isinf(summary.alpha(path, whole))


def job(tmp_path) -> TrainJob:
    return TrainJob(
        name="my-style",
        trigger="zxy_style",
        preset="style",
        settings=TrainSettings(rank=8, alpha=4),
        base=Base(key="b", title="A base", family="toy", path=str(tmp_path)),
        publish_to=str(tmp_path),
        pictures=(TrainPicture(path=str(tmp_path / "secret.png"), caption="my private caption"),),
    )


def test_the_header_fields_are_text_and_hold_no_path_and_no_caption(tmp_path):
    fields = metadata.lora_metadata(job(tmp_path), FACTS, steps=120)
    assert all(isinstance(value, str) for value in fields.values())
    assert {
        "ss_v2",
        "ss_base_model_version",
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_network_args",
    } <= fields.keys()
    assert (fields["ss_network_dim"], fields["ss_network_alpha"], fields["ss_steps"]) == ("8", "4.0", "120")
    assert fields["modelspec.sai_model_spec"] == "1.0.1" and fields["modelspec.trigger_phrase"] == "zxy_style"
    text = json.dumps(fields)
    assert "secret" not in text and "private" not in text and str(tmp_path) not in text


def test_hashes_are_added_without_touching_a_tensor(tmp_path):
    import hashlib

    before = save(tensors(), {"ss_steps": "3"})
    after = metadata.with_hashes(before)
    path = tmp_path / "a.safetensors"
    path.write_bytes(after)
    fields = metadata.read_header(path).metadata
    start = 8 + struct.unpack("<Q", after[:8])[0]
    assert fields["sshs_model_hash"] == hashlib.sha256(after[start:]).hexdigest()
    assert fields["modelspec.hash_sha256"] == "0x" + fields["sshs_model_hash"] and fields["ss_steps"] == "3"
    assert start % 8 == 0
    loaded = load(after)
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in tensors().items())
