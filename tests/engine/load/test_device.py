"""What is computed in which dtype, by the card: newer ones, those without bf16, and no card at all."""

import sys

import pytest
import torch

from lora_gui import families
from lora_gui.engine.load.device import drawing_dtype, prepare, training_dtype

FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
NEW, OLD = (8, 6), (7, 5)  # RTX 30xx, RTX 20xx
HALF = {"sd1", "sdxl", "kandinsky22", "wuerstchen"}  # that are within fp16's range


@pytest.mark.parametrize("card", [NEW, OLD, None])
@pytest.mark.parametrize("key", families.facts())
def test_a_training_computes_in_what_its_precision_says_unless_the_card_is_slow_in_it(key, card):
    facts = families.facts()[key]
    for precision in ("bf16", "int8", "nf4"):
        dtype, told = training_dtype(precision, facts, card)
        if card != OLD:
            assert (dtype, told) == (BF16, "")
        elif key in HALF:
            assert dtype == FP16 and told == "Your card is quick in fp16 and slow in bf16, so this is computed in fp16."
        else:
            assert dtype == BF16 and told.startswith(f"{facts.title} can overflow in fp16") and "four times" in told
    assert training_dtype("fp32", facts, card) == (FP32, "")


@pytest.mark.parametrize("key", families.facts())
def test_fp16_that_is_asked_for_is_not_left_out_in_silence(key):
    facts = families.facts()[key]
    dtype, told = training_dtype("fp16", facts, NEW)
    assert (dtype, told) == (FP16, "") if key in HALF else dtype == BF16 and "overflow" in told and "slow" not in told


@pytest.mark.parametrize("has_bf16, asked, computed, told", [
    (True, "bf16", BF16, ""),
    (True, "fp16", BF16, "slow in fp16, so this is computed in bf16"),
    (False, "bf16", FP32, "slow in 16 bits, so this is computed in fp32"),
    (False, "nf4", FP32, "slow in 16 bits, so this is computed in fp32"),
    (False, "fp32", FP32, ""),
])  # fmt: skip
def test_a_processor_computes_in_nothing_that_it_has_no_kernels_for(has_bf16, asked, computed, told, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_bf16)
    dtype, said = training_dtype(asked, families.facts()["sd1"], None, on_processor=True)
    assert dtype == computed == drawing_dtype(torch.device("cpu"), asked, None)
    assert told in said and bool(said) == bool(told)


def test_a_drawing_computes_in_fp16_on_every_card_that_is_slow_in_bf16():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [drawing_dtype(gpu, "", card) for card in (NEW, OLD)] == [FP16, FP16]
    assert drawing_dtype(cpu, "", None) == FP32
    assert [drawing_dtype(gpu, "nf4", card) for card in (NEW, OLD)] == [BF16, FP16]
    assert drawing_dtype(gpu, "fp32", OLD) == FP32


@pytest.mark.parametrize("system, card, name, bounds, tries", [
    ("win32", NEW, "NVIDIA GeForce RTX 3060", [0.95], False),
    ("linux", OLD, "NVIDIA GeForce RTX 2060", [], False),
    ("linux", OLD, "NVIDIA GeForce GTX 1660 SUPER", [], True),
])  # fmt: skip
def test_a_card_is_bounded_under_windows_and_tries_its_kernels_where_some_are_wrong(
    system, card, name, bounds, tries, monkeypatch
):
    set_to = []
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", set_to.append)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda where: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda where: name)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    prepare(torch.device("cuda"))
    assert set_to == bounds and torch.backends.cudnn.benchmark == tries
