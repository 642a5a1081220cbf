"""Which magnitudes of a DoRA can be applied exactly: one per output of the layer."""

from collections.abc import Sequence

OVER_INPUTS = "This LoRA is a DoRA of a kind that cannot be applied exactly: its lengths are not those of outputs."


def of_outputs(shape: Sequence[int], out: int) -> bool:
    """Whether a magnitude of this shape is (out,), (out, 1), (out, 1, 1, 1) as in kohya files, or (1, out, 1, 1)."""
    count = 1
    for size in shape:
        count *= size
    return count == out and (tuple(shape[:1]) == (out,) or (len(shape) == 4 and shape[0] == 1))
