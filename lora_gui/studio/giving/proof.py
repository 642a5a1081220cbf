"""Prove that a copy of a LoRA is the same one: read back, it draws the same test drawing as the original."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageChops, ImageStat

from lora_gui import families, files
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases
from lora_gui.studio.things.drawings import pixels
from lora_gui.studio.things.loras import LoraInfo

SEED = 1
STEPS = 8  # at most; enough for all layers to have had their say
SIDE = 512  # px, at most
FAINT = 1.0  # levels of 255, on average; a LoRA that changes a drawing by less cannot be judged by it
# What rounding may change: levels of 255 on average, and the share of what the LoRA itself changes; the other, on
# cards, which compute in 16 bits.
_EXACT, _HALVED = (0.25, 0.02), (1.0, 0.1)

Say = Callable[[str], None]  # what is done now; empty: still the same. What it raises gives everything up
Reader = Literal["", "diffusers"]


@dataclass(frozen=True)
class Proof:
    """What was seen. Where it is not `drawn`, the layers were compared alone; `sentence` says which and why."""

    drawn: bool
    sentence: str


class Prover:
    """Draws with a LoRA and its copies; its test drawings are gone with the `with` block."""

    def __init__(self, studio: Studio, drawer: Drawer, lora: LoraInfo, say: Say) -> None:
        self._studio, self._drawer, self._lora, self._say = studio, drawer, lora, say
        self._folder = files.half_made(studio.cache / "test-drawings")
        self._base: Base | None = None
        self._before: Image.Image | None = None  # drawn by the base alone
        self._original: Image.Image | None = None
        self._why = ""  # nothing can be drawn

    def __enter__(self) -> "Prover":
        return self

    def __exit__(self, *error: object) -> None:
        files.remove_folder(self._folder)

    @property
    def base(self) -> Base | None:
        """What is drawn with; None where nothing on this computer fits."""
        self._begin()
        return self._base

    def prove(self, copy: Path, whose: str, read_by: Reader = "") -> Proof:
        """Draw with a copy that `whose` program is to read. Raises UserError where it draws something else."""
        self._begin()
        if self._base is None or self._before is None or self._original is None:
            return Proof(False, f"Its layers are the same; no test drawing was made, because {self._why}")
        effect, off = _apart(self._original, self._before), 0.0
        if effect < FAINT:
            why = "alone the LoRA changes the test drawing too little to tell."
            return Proof(False, f"Its layers are the same; {why}")
        self._say(f"Drawing with the copy for {whose}")
        off = _apart(self._original, self._draw(self._base, copy, read_by))
        most, share = _HALVED if gpu.memory() else _EXACT
        if off > max(most, share * effect):
            what = f"Read by {whose}, the copy draws something else than {self._lora.name} itself"
            raise UserError(f"{what} ({off / effect:.0%} of what it changes), so it was not kept.",
                            "Choose another program that reads LoRAs of this family.")  # fmt: skip
        by = ", read by diffusers itself," if read_by else ""
        return Proof(True, f"The copy{by} draws the same test drawing on {self._base.title}.")

    def sample(self, prompt: str, seed: int, folder: Path) -> Path:
        """A drawing with the LoRA as one sees it in the window, in `folder`. Raises UserError."""
        base = self.base
        assert base is not None
        self._say(f"Drawing {prompt!r}")
        settings = bases.draw_defaults(base) | {"prompt": prompt, "seed": seed, "stack": _stack(self._lora.path)}
        return self._ordered(base, settings, folder)

    def _begin(self) -> None:
        """The test drawing by the base alone and by the original, once; on the first base that takes the LoRA."""
        if self._base or self._why:
            return
        self._why = f"no base of {families.facts_of(self._lora.family).title} is on this computer."
        for base in bases_for(self._studio, self._lora):
            self._say(f"Drawing with {self._lora.name} on {base.title}")
            try:
                self._original = self._draw(base, self._lora.path)
                self._before = self._draw(base, None)
            except UserError as error:
                self._why = f"drawing on {base.title} failed: {error.what}"
                continue
            self._base = base
            return

    def _draw(self, base: Base, lora: Path | None, read_by: Reader = "") -> Image.Image:
        usual = bases.draw_defaults(base)
        small = {
            "prompt": self._lora.trigger or "a picture",
            "seed": SEED,
            "steps": min(usual.get("steps", STEPS), STEPS),
            "width": min(usual.get("width", SIDE), SIDE),
            "height": min(usual.get("height", SIDE), SIDE),
            "stack": _stack(lora) if lora else (),
        }
        return pixels(self._ordered(base, usual | small, self._folder, read_by))

    def _ordered(self, base: Base, values: dict[str, Any], folder: Path, read_by: Reader = "") -> Path:
        id = self._drawer.order(base, check(DrawSettings, values), folder, read_by=read_by)
        status = self._drawer.status(id)
        try:
            for status in self._drawer.wait(id, beat=True):
                self._say(status.phase if status.phase.startswith("Waiting") else "")
        finally:
            self._drawer.give_up(id)
        if status.state != "done":
            raise UserError(status.what or "The drawing was stopped.", status.remedy or "Try again.")
        return status.drawings[0]


def bases_for(studio: Studio, lora: LoraInfo) -> list[Base]:
    """The bases of this computer that a LoRA may be for, the one it was made on first."""
    fit = [base for base in bases.list_bases(studio) if base.family == lora.family]
    return sorted(fit, key=lambda base: lora.base_key not in (base.key, base.known))


def aloud(words: str) -> None:
    """Print what is done now."""
    if words:
        print(words)


def _stack(lora: Path) -> tuple[dict[str, Any], ...]:
    return (StackEntry(lora=str(lora), strength=1.0).model_dump(),)


def _apart(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures of one size are from each other: levels of 255, on average."""
    if one.size != other.size:
        return 255.0
    bands: list[float] = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(bands) / len(bands)
