"""The sizes that a base likes to draw at, by the ratio of their sides."""

import math
from fractions import Fraction

from lora_gui import families
from lora_gui.errors import UserError, nearest
from lora_gui.protocol.jobs import Base
from lora_gui.refusals import bounds
from lora_gui.settings import DrawSettings, check
from lora_gui.studio.things import bases

RATIOS = ("1:1", "5:4", "4:3", "3:2", "16:9", "2:1", "4:5", "3:4", "2:3", "9:16", "1:2")  # width to height
_FAR = 2.0  # times as many pixels
_FINEST = 8  # a step is at most this part of the native side


def sizes(base: Base) -> dict[str, tuple[int, int]]:
    """Width and height in px of each ratio: as many pixels as the base was made for, in the steps that suit it."""
    side, facts, found = math.sqrt(_area(base)), families.facts_of(base.family), {}
    step = facts.size_step * max(round(min(facts.bucket_step, side / _FINEST) / facts.size_step), 1)
    for ratio in RATIOS:
        root = math.sqrt(_value(ratio))
        found[ratio] = (_stepped(side * root, step), _stepped(side / root, step))
    return found


def size(base: Base, ratio: str) -> tuple[int, int]:
    """Of one ratio. Raises UserError naming the nearest where there is none such."""
    known = sizes(base)
    if ratio not in known:
        raise UserError(f"There is no ratio {ratio!r}.", nearest(ratio, known))
    return known[ratio]


def like(base: Base, size: tuple[int, int]) -> tuple[int, int]:
    """The size to draw over a picture of this one: its own in the base's steps, or smaller where it is much larger than
    what the base was made for, and larger where it is much smaller."""
    step, area = families.facts_of(base.family).size_step, size[0] * size[1]
    scale = 1.0 if _area(base) / _FAR <= area <= _area(base) * _FAR else math.sqrt(_area(base) / area)
    least, most = (bounds(DrawSettings.model_fields["width"])[limit] for limit in ("ge", "le"))
    width, height = (min(max(_stepped(side * scale, step), least), most // step * step) for side in size)
    return width, height


def _area(base: Base) -> int:
    settings = check(DrawSettings, bases.draw_defaults(base))
    return settings.width * settings.height


def _value(ratio: str) -> Fraction:
    width, _, height = ratio.partition(":")
    return Fraction(int(width), int(height))


def _stepped(side: float, step: int) -> int:
    return max(round(side / step), 1) * step
