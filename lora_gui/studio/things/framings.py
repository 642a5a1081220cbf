"""How the pictures of a set are framed for a base, in words and before anything is learnt: no picture is opened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.formats import png
from lora_gui.framing import ENLARGED, MIDDLE, Framing, Place, Size, frame
from lora_gui.settings import TrainSettings
from lora_gui.studio.things.pictures import Picture

CROPPED = 0.05  # share of a picture from which it is counted
_FEWER = 0.8  # of the pixels that could be learnt
NAMED = 200  # pictures in a list


@dataclass(frozen=True)
class Framed:
    """One picture; `framing` is None where it cannot be learnt, and `problem` says why."""

    label: str
    framing: Framing | None
    problem: str = ""

    @property
    def cropped(self) -> bool:
        return self.framing is not None and self.framing.cropped > CROPPED

    @property
    def enlarged(self) -> bool:
        return self.framing is not None and self.framing.scale > ENLARGED

    @property
    def line(self) -> str:
        if self.framing is None:
            return f"{self.label}: {self.problem}"
        (width, height), (wide, high) = self.framing.original, self.framing.bucket
        said = f"{self.label}, {width} x {height}: learnt at {wide} x {high}"
        said += f", {self.framing.cropped * 100:.0f} % cropped" if self.framing.cropped >= 0.005 else ""
        return said + (f", enlarged x {self.framing.scale:.2f}" if self.framing.scale > 1.005 else "")


def sizes(pictures: Iterable[Picture]) -> list[tuple[str, Size | None]]:
    """Name and size of each, read from the first bytes of our copies; None where they are no PNG any more."""
    return [(picture.label, png.size(picture.path)) for picture in pictures]


def framed(found: Iterable[tuple[str, Size | None]], family: str, settings: TrainSettings) -> list[Framed]:
    """Each picture as a training with these settings would frame it, those that lose most first."""
    all_of_them = [one(label, size, family, settings) for label, size in found]
    return sorted(all_of_them, key=lambda one: -one.framing.cropped if one.framing else -1)


def one(label: str, size: Size | None, family: str, settings: TrainSettings, place: Place = MIDDLE) -> Framed:
    """A picture as a training with these settings would frame it."""
    if size is None:
        return Framed(label, None, "it cannot be read any more")
    facts = families.facts_of(family)
    try:
        return Framed(label, frame(size, settings.resolution, facts, settings.batch_size, place))
    except UserError as error:
        return Framed(label, None, error.what)


def sentence(found: Sequence[Framed], resolution: int) -> str:
    """`24 pictures: 3 are cropped by more than 5 %, 2 are enlarged, up to x 1.40.`"""
    most = max((one.framing.scale for one in found if one.framing), default=1.0)
    counted = {
        f"cropped by more than {CROPPED:.0%}".replace("%", " %"): sum(one.cropped for one in found),
        f"enlarged, up to x {most:.2f}": sum(one.enlarged for one in found),
        f"smaller than {resolution} x {resolution} and learnt that small": sum(_small(a, resolution) for a in found),
        "too small or unreadable": sum(one.framing is None for one in found),
    }
    said = [f"{number} {'is' if number == 1 else 'are'} {what}" for what, number in counted.items() if number]
    count = f"{len(found)} {'picture' if len(found) == 1 else 'pictures'} at {resolution} px"
    return f"{count}: {', '.join(said) or 'hardly anything is cropped'}."


def losing(found: Sequence[Framed]) -> list[str]:
    """The lines of those that are counted in the sentence, small ones apart."""
    return lines([one for one in found if one.cropped or one.enlarged or one.framing is None])


def lines(found: Sequence[Framed]) -> list[str]:
    """One for each picture, as far as they can be listed."""
    more = [f"{len(found) - NAMED} more, of which less is cropped."] if len(found) > NAMED else []
    return [one.line for one in found[:NAMED]] + more


def _small(one: Framed, resolution: int) -> bool:
    return one.framing is not None and one.framing.original[0] * one.framing.original[1] < _FEWER * resolution**2
