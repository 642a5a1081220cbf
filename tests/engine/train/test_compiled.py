"""Compiled blocks learn what others do; by a backend of torch that needs no compiler, the graphs being the same."""

import pytest
import torch

from lora_gui.engine.train import cache, compiled
from lora_gui.engine.train.step import TrainState
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


def learnt(base, folder, backend=""):
    """Losses and weights of a few steps."""
    job = tiny.job(folder, base)
    encoded, _ = tiny.outcome(cache.build(job, FAMILY, [], CPU, torch.float32))
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    state = TrainState(job, FAMILY, parts, encoded, CPU, torch.float32, folder)
    if backend:
        assert not list(compiled.compile_blocks(parts, CPU, backend))
    for n in range(3):
        state.one_step(iter([[n % 2]]))
    return torch.stack(state.losses), state.masters[0].flat.detach()


@pytest.mark.soak
def test_compiled_blocks_learn_what_others_do(base, tmp_path):
    torch._dynamo.utils.counters.clear()
    plain, quick = learnt(base, tmp_path / "a"), learnt(base, tmp_path / "b", "aot_eager")
    torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-6)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0, "nothing was compiled"


def test_where_no_compiler_is_it_is_said_and_nothing_changes(base):
    parts = FAMILY.denoisers(base, CPU, torch.float32)
    (note,) = compiled.compile_blocks(parts, CPU)
    assert note.text == "Blocks are compiled on NVIDIA cards, with Triton installed; here they run as they are."
    assert all(module._compiled_call_impl is None for module in parts["unet"].modules())
