"""Loading a base in few bits passes it through memory piece by piece; measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch

from lora_gui.engine.load import quantize
from tests.engine.load.test_quantize import Model

MEASURE = """
import sys, pathlib, threading, time, psutil, torch
sys.path.insert(0, sys.argv[3])
from lora_gui.engine.load import quantize
from tests.engine.load.test_quantize import Model
source = pathlib.Path(sys.argv[1])
warm = Model(); quantize.Nf4Linear.quantise(torch.randn(64, 64))
from accelerate import init_empty_weights
process, peak, done = psutil.Process(), 0, False
before = process.memory_info().rss
def watch():
    global peak
    while not done:
        peak = max(peak, process.memory_info().rss); time.sleep(0.001)
place = quantize.Placement(torch.device("cpu"), torch.bfloat16, torch.device("cpu"))
thread = threading.Thread(target=watch); thread.start()
quantize.load(lambda: Model(2048, 12), source, sys.argv[2], place, source / "kept")
done = True; thread.join()
print(peak - before)
"""


@pytest.mark.soak
@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_loading_needs_less_than_a_third_more_than_the_largest_file(tmp_path, precision):
    state = Model(2048, 12).bfloat16().state_dict()
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")  # about 410 MB
    largest = (tmp_path / "model.safetensors").stat().st_size
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", MEASURE, str(tmp_path), precision, root]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert int(shown.stdout) < 1.3 * largest, int(shown.stdout) / largest
