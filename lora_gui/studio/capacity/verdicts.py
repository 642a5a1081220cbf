"""Whether each known base trains and draws within this card's memory: planned once in the background, remembered."""

import json
import threading
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from lora_gui import __version__, families, files
from lora_gui.errors import UserError
from lora_gui.facts import KnownBase
from lora_gui.protocol.jobs import Base
from lora_gui.studio.capacity import gpu, plans
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import presets

_FILE = "verdicts.json"  # in the cache
_PICTURES = 20  # they set the steps, which take no memory
_BESIDE = 2.0  # GiB beside the weights, for a drawing and the driver
_FEW_BITS = 0.6  # bytes of a value in NF4, its share of the scales too
_GIB = 2**30


@dataclass(frozen=True)
class Verdict:
    """`peak` GiB of the card are filled by a training, 0 where that is not known; `draws` says how a drawing fits."""

    peak: float = 0.0
    trains: bool = False
    eased: bool = False  # whether it trains only with changes that make it fit
    draws: str = ""  # in full, in fewer bits, or empty


class Verdicts:
    """Those of one studio; `count` plans what is not known yet in a thread of its own."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._gave_up: list[Any] = []  # the card that was planned for in vain

    def known(self) -> dict[str, Verdict]:
        """What is known, by the keys of the bases; nothing where there is no card."""
        said = files.read_json(self._path)
        if not gpu.memory() or not isinstance(said, dict) or said.get("for") != self._mark():
            return {}
        kept = said.get("bases")
        return {key: found for key, one in (kept or {}).items() if (found := _verdict(one))}

    @property
    def is_counting(self) -> bool:
        return bool(self._thread and self._thread.is_alive())

    def count(self) -> None:
        """Plan all bases in the background, unless that is known, going on, or was tried in vain."""
        with self._lock:
            if not gpu.memory() or self.is_counting or self._gave_up == self._mark() or self.known():
                return
            self._thread = threading.Thread(target=self._count, daemon=True)
            self._thread.start()

    def _count(self) -> None:
        mark, gib = self._mark(), gpu.memory()
        bases = plans.all_bases()
        try:
            filled = [presets.fill(self._studio, presets.ORDER[0], base, _PICTURES, card=gib) for base in bases]
            questions = [plans.job(self._studio, one, what, gib) for one, what in zip(bases, filled, strict=True)]
            planned = plans.ask(self._studio, questions)
            found = {base.key: _of_plan(base, plan, gib) for base, plan in zip(bases, planned, strict=True)}
            found |= {known.key: Verdict(draws=draws(known.key, gib)) for known in _draw_only()}
            kept = {key: asdict(one) for key, one in found.items()}
            files.write_json(self._path, {"for": mark, "bases": kept})
        except UserError:  # the plan could not be made, which the log of plans tells of; the bar on Train says it again
            self._gave_up = mark

    def _mark(self) -> list[Any]:
        card = gpu.card()
        ram = round(psutil.virtual_memory().total / _GIB)
        return json.loads(json.dumps([__version__, round(card.gib, 1), card.capability, ram]))  # type: ignore[no-any-return]

    @property
    def _path(self) -> Any:
        return self._studio.cache / _FILE


def draws(key: str, gib: float) -> str:
    """How a known base is held to draw with on a card of so many GiB, told by the sizes of its networks."""
    path = families.configuration(key)
    said = json.loads(path.read_text(encoding="utf-8"))["components"] if path else {}
    sizes = [int(one.get("params", 0)) for one in said.values()]
    if not sizes:
        return ""
    if 2 * sum(sizes) / _GIB + _BESIDE <= gib:
        return "full"
    return "fewer bits" if _FEW_BITS * max(sizes) / _GIB + _BESIDE <= gib else ""


def _of_plan(base: Base, plan: dict[str, Any], gib: float) -> Verdict:
    return Verdict(float(plan["peak_gib"]), bool(plan["fits"]), bool(plan["changed"]), draws(base.key, gib))


def _draw_only() -> list[KnownBase]:
    return [known for one in families.facts().values() for known in one.bases if known.repo and not known.trains]


def _verdict(said: Any) -> Verdict | None:
    try:
        found = Verdict(float(said["peak"]), bool(said["trains"]), bool(said["eased"]), str(said["draws"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found
