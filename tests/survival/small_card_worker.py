"""The real worker on a card that is too small: what a step keeps for its way back may not outgrow it.

The card shrinks once there is a checkpoint, as when another program takes its share in the middle of a run; no step is
taken while one is being written, so that it is always the first one.
"""

import sys
from pathlib import Path

import torch

from lora_gui import worker
from lora_gui.engine.train import checkpoint

ROOM = 600_000  # bytes; the tiny base needs 1,800,000 for two pictures at once, and 340,000 where it recomputes


class Card:
    """Counts the tensors that autograd keeps, and refuses as a real one does."""

    def __init__(self, run: Path) -> None:
        self.run, self.held = run, 0

    def keep(self, tensor: torch.Tensor) -> "Kept":
        if self.held + tensor.nbytes > ROOM and any(self.run.glob("checkpoints/ckpt-*[0-9]")):
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {tensor.nbytes} bytes.")
        return Kept(self, tensor)


class Kept:
    """Takes its place on the card as long as it lives."""

    def __init__(self, card: Card, tensor: torch.Tensor) -> None:
        self.card, self.tensor = card, tensor
        card.held += tensor.nbytes

    def __del__(self) -> None:
        self.card.held -= self.tensor.nbytes


class AtOnce(checkpoint.Saving):
    def begin(self, state):
        super().begin(state)
        self._under_way.exception()  # which waits for the end


if __name__ == "__main__":
    checkpoint.Saving = AtOnce
    card = Card(Path(sys.argv[2]))
    with torch.autograd.graph.saved_tensors_hooks(card.keep, lambda kept: kept.tensor):
        sys.exit(worker.main(sys.argv[1:]))
