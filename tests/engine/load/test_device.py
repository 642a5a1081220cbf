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


def test_a_drawing_computes_in_fp16_on_every_card_that_is_slow_in_bf16():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [drawing_dtype(gpu, "", card) for card in (NEW, OLD)] == [FP16, FP16]
    assert drawing_dtype(cpu, "", None) == FP32
    assert [drawing_dtype(gpu, "nf4", card) for card in (NEW, OLD)] == [BF16, FP16]
    assert drawing_dtype(gpu, "fp32", OLD) == FP32 and drawing_dtype(cpu, "int8", None) == BF16


@pytest.mark.parametrize("system, bounds", [("win32", [0.95]), ("linux", [])])
def test_windows_is_not_left_to_move_what_a_card_has_no_room_for(system, bounds, monkeypatch):
    set_to = []
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", set_to.append)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    prepare(torch.device("cuda"))
    assert set_to == bounds
