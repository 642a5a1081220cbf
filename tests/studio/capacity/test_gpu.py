"""The card of this computer: asked of its driver, and of a driver that answers strangely."""

import os

import pytest

from lora_gui.studio.capacity import gpu


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """`driver(answer)` puts a driver's program on the path that says this."""

    def say(answer: str, code: int = 0) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '%s' '{answer}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        gpu.memory.cache_clear()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield say
    gpu.memory.cache_clear()


@pytest.mark.skipif(os.name == "nt", reason="the program that stands for the driver is a script")
def test_the_largest_card_counts_and_a_driver_that_says_nothing_useful_is_no_card(driver, monkeypatch):
    for answer, code, gib in (("12288", 0, 12.0), ("8192\n24564", 0, 24564 / 1024), ("No devices were found", 6, 0.0)):
        driver(answer, code)
        assert gpu.memory() == gib
    driver("12288")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu.memory() == 0.0


def test_without_a_driver_there_is_no_card(driver, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu.memory.cache_clear()
    assert gpu.memory() == 0.0
