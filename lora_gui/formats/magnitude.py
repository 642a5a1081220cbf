"""Which magnitudes of a DoRA can be applied exactly, by their shapes: one per output of a layer, or one per input."""

import math
from collections.abc import Iterable, Sequence

UNFIT = "This LoRA is a DoRA of a kind that cannot be applied exactly: its lengths are not those of outputs or inputs."


def over_inputs(magnitudes: Iterable[tuple[Sequence[int], int]], by_peft: bool) -> bool | None:
    """Whether the magnitudes of a file are one per input; each is its shape and the outputs of its layer.

    One per output is (out,), (out, 1), (out, 1, 1, 1) as in kohya files, or (1, out, 1, 1) as peft has of convolutions;
    one per input is (1, in) or (1, in, 1, 1), of LyCORIS without `wd_on_output` and of OneTrainer. What a convolution
    of as many inputs as outputs leaves open its other layers tell, or else how programs read such a file: as peft
    where it is `by_peft`, else as ComfyUI does, per input. None where some fit neither, or not the others.
    """
    known = [(tuple(shape), out) for shape, out in magnitudes]
    told = {len(shape) > 1 and shape[0] == 1 for shape, out in known if not _is_peft(shape, out)}
    over = next(iter(told), not by_peft)
    return over if len(told) < 2 and all(_fits(shape, out, over) for shape, out in known) else None


def _is_peft(shape: Sequence[int], out: int) -> bool:
    return len(shape) == 4 and shape[:2] == (1, out)


def _fits(shape: Sequence[int], out: int, over: bool) -> bool:
    if over:
        return math.prod(shape) == shape[1]
    return math.prod(shape) == out and (shape[:1] == (out,) or _is_peft(shape, out))
