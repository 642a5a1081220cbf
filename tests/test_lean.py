"""What a child does not load of the libraries, in processes of their own: here everything has been loaded already."""

import subprocess
import sys

import pytest

from lora_gui.studio.tasks.process import ROOT

START = "import gc, sys; gc.disable(); from lora_gui import lean; lean.start(); import torch\n"
LEFT_OUT = """
from lora_gui.engine.train import loop, optimizers
from lora_gui.families import family
family("sd1")
from peft import LoraConfig, inject_adapter_in_model
network = torch.nn.Sequential(torch.nn.Linear(4, 4))
inject_adapter_in_model(LoraConfig(r=2, target_modules=["0"]), network, "one")
optimizer = torch.optim.AdamW(network.parameters(), lr=1.0)
network(torch.ones(1, 4)).sum().backward()
optimizer.step()
heavy = ("torch._inductor.lowering", "torch._dynamo.convert_frame", "bitsandbytes")
print([name for name in heavy if sys.modules.get(name)])
"""
THERE = """
import torch._dynamo.utils
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
from lora_gui.engine.load.quantize import KINDS
print(KINDS["nf4"].quantise(torch.randn(64, 64))["packed"].shape[0])
assert torch._dynamo.__spec__.loader and torch._dynamo.utils.__spec__.parent == "torch._dynamo"
"""


def said(code: str) -> str:
    found = subprocess.run([sys.executable, "-c", START + code], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.mark.soak
def test_training_loads_neither_the_compiler_of_torch_nor_bitsandbytes():
    assert said(LEFT_OUT) == "[]"


def test_what_is_left_out_comes_as_soon_as_it_is_used():
    assert said(THERE).split() == ["2.0", "2048"]
