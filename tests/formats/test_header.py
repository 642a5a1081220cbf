"""The header of a LoRA file: whole ones are read, everything else is refused in a sentence."""

import json
import math
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.formats import summary
from lora_gui.formats.header import WIDTHS, all_finite, entries, read_header
from lora_gui.formats.identify import identify

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
    cell=8,
    bucket_step=64,
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
        "data_offsets": [begin, begin + math.prod(shape) * WIDTHS.get(dtype, 2)],
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
        read_header(path)
    return caught.value


def test_a_whole_file_tells_rank_alpha_and_what_it_says_of_itself(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(rank=4, alpha=2), {"modelspec.architecture": "toy-v1/lora"}))
    header = read_header(path)
    assert (header.rank, header.layers, summary.alphas(path, header)) == (4, 1, {LAYER: 2.0})
    assert identify(header, [FACTS]) == ("toy", "kohya")
    assert all_finite(path, header)


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
        (raw(pair() | {f"{LAYER}.alpha": entry([0], begin=8)}, b"\0" * 8), "no LoRA has"),
        (raw(pair() | {f"{LAYER}.dora_scale": entry([1] * 5, begin=8)}, b"\0" * 10), "no LoRA has"),
        (raw({"a": entry([0, 2**40])}), "not a LoRA"),
        (raw({"a": {"dtype": "F16", "shape": [4], "data_offsets": [0, 2]}}, b"\0\0"), "no LoRA has"),
        (raw({"a": {"dtype": "F16", "shape": [True], "data_offsets": [0, 2]}}, b"\0\0"), "no LoRA has"),
        (raw({str(n): entry([1]) for n in range(20_001)}, b"\0\0"), "no LoRA has"),
        (raw({"a": entry([1]), "b": entry([1])}, b"\0\0"), "overlap"),
        (raw({"a": entry([1], begin=2)}, b"\0" * 4), "gaps"),
        (raw(pair(), b"\0" * 4), "cut short"),
        (raw(pair(), b"\0" * 20), "longer"),
        (raw({"model.weight": entry([1])}, b"\0\0"), "not a LoRA"),
        (raw({"lora_unet_x.hada_w1_a": entry([1])}, b"\0\0"), "factors"),
        (raw({"lora_unet_x.oft_blocks": entry([1])}, b"\0\0"), "OFT or BOFT"),
        (raw({"lora_unet_x.a1.weight": entry([1])}, b"\0\0"), "GLoRA"),
        (raw({"lora_unet_x.w_norm": entry([1])}, b"\0\0"), "norms"),
        (raw({f"{LAYER}.lora_down.weight": entry([1, 2])}, b"\0" * 4), "two halves"),
        (
            raw(
                {f"{LAYER}.lora_down.weight": entry([1, 2]), f"{LAYER}.lora_up.weight": entry([2, 2], begin=4)},
                b"\0" * 12,
            ),
            "two halves",
        ),
        (raw(pair(2000), b"\0" * 16_000), "rank 2000"),
        (raw(pair() | {f"{LAYER}.alpha": entry([2], begin=8)}, b"\0" * 12), "no LoRA has"),
        (raw(pair() | {f"{LAYER}.diff": entry([1, 1], begin=8)}, b"\0" * 10), "twice"),
        (raw(pair() | {"__metadata__": {"ss_network_dim": 4}}, b"\0" * 8), "damaged"),
        (raw(pair() | {"__metadata__": []}, b"\0" * 8), "damaged"),
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
            header = read_header(path)
            summary.alphas(path, header)
            identify(header, [FACTS])
        except UserError as error:
            assert error.what and error.remedy


def test_text_from_strangers_is_cut(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(), {"modelspec.title": "x" * 100_000}))
    assert len(read_header(path).metadata["modelspec.title"]) == 2000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_value_that_is_no_number_is_found(tmp_path, value, kind):
    path = tmp_path / "a.safetensors"
    broken = {name: tensor.astype(kind) for name, tensor in tensors().items()}
    broken[f"{LAYER}.lora_up.weight"][3, 1] = value
    path.write_bytes(save(broken))
    assert not all_finite(path, read_header(path))


def test_bfloat16_is_read_too(tmp_path):
    path = tmp_path / "a.safetensors"
    header = pair() | {f"{LAYER}.alpha": entry([], "BF16", begin=8)}
    path.write_bytes(raw(header, b"\x80\x3f" * 4 + b"\x00\x41"))  # alpha 8.0
    assert summary.alphas(path, read_header(path)) == {LAYER: 8.0}
    path.write_bytes(raw(header | {f"{LAYER}.alpha": entry([], "BF16", begin=8)}, b"\x80\x3f" * 4 + b"\x80\x7f"))
    whole = read_header(path)
    assert not all_finite(path, whole) and math.isinf(summary.alphas(path, whole)[LAYER])


@pytest.mark.parametrize("length", [640, 896, 1152, 1408])  # 0x280 and on: the beginning of a pickle, but for its zeros
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path, length):
    path = tmp_path / "a.safetensors"
    tensors = {"x.lora_down.weight": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}
    header = json.dumps({"__metadata__": {"k": ""}, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", length) + header.ljust(length) + b"\0\0")
    with open(path, "rb") as file:
        found, _, first = entries(file, path.name, path.stat().st_size)
    assert list(found) == ["x.lora_down.weight"] and first == 8 + length


def test_a_layer_that_fuses_four_may_have_four_times_the_rank(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors(rank=4 * 512, layer="lora_unet_single_blocks_3_linear1")))
    assert read_header(path).rank == 2048
    path.write_bytes(save(tensors(rank=4 * 512 + 1, layer="lora_unet_single_blocks_3_linear1")))
    with pytest.raises(UserError, match="claims rank 2049"):
        read_header(path)
