"""LoRA files that somebody made up to do harm: each is read or refused in a sentence, and costs next to nothing."""

import json
import math
import os
import random
import struct
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from lora_gui.errors import UserError
from lora_gui.formats.header import FIELD_LIMIT, HEADER_LIMIT, RANK_LIMIT
from lora_gui.studio.things import loras

CASES = 5000
MOST = 200_000_000  # bytes of memory for one file
LAYERS = (
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "lora_te_text_model_encoder_layers_0_mlp_fc1",
)
EVIL = "<img src=x onerror=alert(1)> ${1} {{x}} \u202e\ud800\x00\x1b[2J"
ODD = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**64 + 8, 10**400, 1.5, -0.0, math.inf, math.nan, "", "F16", EVIL, [], {},
    [[]], [0], [1, 2, 3], [-2, 2], [4, 0], [2**62, 2**62], {"dtype": "F16"}, "F8_E4M3", "I64", "BOOL", [0] * 70,
)  # fmt: skip


def whole():
    """Header and data of a good LoRA of two layers."""
    tensors = {}
    for layer in LAYERS:
        tensors[f"{layer}.lora_down.weight"] = np.full((2, 4), 0.5, np.float16)
        tensors[f"{layer}.lora_up.weight"] = np.full((4, 2), 0.5, np.float16)
        tensors[f"{layer}.alpha"] = np.array(2, np.float16)
    data = save(tensors, {"modelspec.trigger_phrase": "zxy", "ss_steps": "9"})
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def packed(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def changed_value(chance, header, data):
    entry = chance.choice([value for key, value in header.items()])
    entry[chance.choice([*entry, "extra"])] = chance.choice(ODD)
    return packed(header, data)


def changed_entry(chance, header, data):
    header[chance.choice(list(header))] = chance.choice(ODD)
    return packed(header, data)


def changed_name(chance, header, data):
    old = chance.choice(list(header))
    new = [EVIL, "", "a" * 5000, old.replace("lora_", "hada_"), old.upper(), f"{old}.", f"../{old}", "__metadata__"]
    header[chance.choice(new)] = header.pop(old)
    return packed(header, data)


def changed_offsets(chance, header, data):
    """Overlaps, gaps and what lies outside; sizes may still fit."""
    entry = chance.choice([value for key, value in header.items() if key != "__metadata__"])
    step = chance.choice([-16, -2, -1, 1, 2, 16, len(data), 2**40])
    begin, end = entry["data_offsets"]
    other = [begin + step, end + step], [begin, end + step], [end, begin], [begin + step, end]
    entry["data_offsets"] = chance.choice(other)
    return packed(header, data)


def changed_shape(chance, header, data):
    entry = chance.choice([value for key, value in header.items() if key != "__metadata__"])
    shape = list(entry["shape"]) or [1]
    shape[chance.randrange(len(shape))] = chance.choice([0, -1, 1, 3, 2**16, 2**40, 2**63, 1.0, "2"])
    entry["shape"] = chance.choice([shape, shape[::-1], shape * 3, [*shape, 1, 1, 1]])
    return packed(header, data)


def doubled(chance, header, data):
    name = chance.choice(list(header))
    text = json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(chance.choice([header[name], 1]))}}}"
    return packed(text.encode(), data)


def said(chance, header, data):
    fields = header["__metadata__"]
    names = *fields, "ss_sd_model_name", "modelspec.architecture", "ss_base_model_version", "modelspec.date", EVIL
    fields[chance.choice(names)] = chance.choice([*ODD, "9" * 5000, "\u0663", "x" * 100_000])
    return packed(header, data)


def flipped(chance, header, data):
    raw = bytearray(packed(header, data))
    for _ in range(chance.randrange(1, 9)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def cut(chance, header, data):
    raw = packed(header, data)
    longer = raw + b"\0" * chance.randrange(1, 9)
    return chance.choice([raw[: chance.randrange(len(raw))], longer, raw[chance.randrange(9) :]])


def lied(chance, header, data):
    length = chance.choice([0, 1, 2, 7, 2**31, 2**63, 2**64 - 1, HEADER_LIMIT, chance.randrange(2000)])
    return packed(header, data, length)


def noise(chance, header, data):
    text = "".join(chance.choice('{}[]",:0123456789eE.-\\u tfn') for _ in range(chance.randrange(200)))
    return packed(text.encode(), chance.randbytes(chance.randrange(40)))


WAYS = (
    changed_value, changed_entry, changed_name, changed_offsets, changed_shape, doubled, said, flipped, cut, lied,
    noise,
)  # fmt: skip


def look(path):
    """What the window and `inspect` do with a file before a tensor is loaded; True where it is taken for a LoRA."""
    try:
        lora = loras.describe(path)
        loras.is_finite(path)
    except UserError as error:
        assert error.what and error.remedy.endswith(".") and len(str(error)) < 1000
        return False
    shown = (lora.name, lora.trigger, lora.base_title, lora.base_key, lora.preset, lora.made)
    assert all(len(text) <= FIELD_LIMIT for text in shown)
    json.dumps(shown, ensure_ascii=False).encode("utf-8")  # no half letters, which the window could not be told
    assert not any(ord(letter) < 32 or letter in "\u202e\x7f" for text in shown for letter in text)
    assert 1 <= lora.rank <= RANK_LIMIT and lora.steps >= 0 and math.isfinite(lora.alpha)
    return True


def test_five_thousand_made_up_headers_are_read_or_refused_and_nothing_else(tmp_path, tell):
    chance, path = random.Random(4), tmp_path / "a.safetensors"
    header, data = whole()
    path.write_bytes(packed(header, data))
    assert look(path)
    taken, text, row = 0, json.dumps(header), tell("Fuzzed LoRA headers")
    for case in range(CASES):
        path.write_bytes(WAYS[case % len(WAYS)](chance, json.loads(text), data))
        with row:
            taken += look(path)
    assert 0 < taken < CASES / 2
    row.more = f"{taken} read, {CASES - taken} refused"


FULL = HEADER_LIMIT - 100


NOTHING = b'{"dtype":"F16","shape":[],"data_offsets":[0,0]}'
LARGEST = {
    "lists": b'{"a":[' + b"[]," * (FULL // 3) + b"[]]}",
    "objects": b'{"a":[' + b"{}," * (FULL // 3) + b"{}]}",
    "deep": b"[" * FULL,
    "shape": b'{"a":{"dtype":"F16","data_offsets":[0,2],"shape":[' + b"1," * (FULL // 2 - 50) + b"1]}}",
    "fields": b'{"__metadata__":{' + b",".join(b'"%d":"x"' % n for n in range(500_000)) + b"}}",
    "digits": b'{"a":' + b"9" * (FULL - 10) + b"}",
    "name": b'{"' + b"a.lora_down.weight" * (FULL // 18) + b'":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}',
    "tensors": b"{" + b",".join(b'"%d":%s' % (n, NOTHING) for n in range(100_000)) + b"}",
}
BOUNDED = """
import resource, sys
from pathlib import Path
import psutil
from lora_gui.errors import UserError
from lora_gui.formats.header import read_header
most = psutil.Process().memory_info().vms + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in sys.argv[2:]:
    try: print(read_header(Path(path)))
    except UserError: print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not hold a process to its memory")
def test_the_largest_headers_stay_within_their_memory(tmp_path, tell):
    for name, header in LARGEST.items():
        (tmp_path / f"{name}.safetensors").write_bytes(packed(header, b"\0\0"))
    command = [sys.executable, "-c", BOUNDED, str(MOST), *map(str, tmp_path.iterdir())]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    row = tell("Largest LoRA headers")
    row.add(len(LARGEST), shown.stdout.split().count("refused"))
    row.more = f"within {MOST // 1_000_000} MB"
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("kind", ["pt", "ckpt", "safetensors", "Safetensors"])
def test_what_can_carry_programs_is_told_by_its_content_and_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    for start in (b"\x80\x02}q\x00.", b"\x80\x04\x95", b"\x80\x05\x95", b"PK\x03\x04"):
        path.write_bytes(start + b"\0" * 100)
        with pytest.raises(UserError, match="can carry programs"):
            loras.describe(path)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe", "folder", "gone"):
        with pytest.raises(UserError):
            loras.describe(tmp_path / f"{name}.safetensors")
