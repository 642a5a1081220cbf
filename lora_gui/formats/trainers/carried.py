"""What was carried over from a settings file: values in our names, each checked by itself, and what was left."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lora_gui import typed
from lora_gui.errors import UserError, shown
from lora_gui.settings import TrainSettings, check

LONGEST = 200  # characters of a name or a place
_PROMPTS = 8  # of samples, at most
NOTHING_LIKE_IT = "there is nothing like it here"
_OFF = re.compile(r"[0.]*|none|null|false", re.IGNORECASE)


@dataclass
class Carried:
    """`base`, `name` and `trigger` are as the file has them; `left` are sentences, `own_way` names of settings that
    this app sees to by itself."""

    program: str
    values: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    trigger: str = ""
    preset: str = ""
    base: str = ""  # key, title, repository or file name, never a path
    left: list[str] = field(default_factory=list)
    own_way: list[str] = field(default_factory=list)

    def take(self, name: str, value: Any, theirs: str) -> None:
        """Our setting `name` from what `theirs` says; left with the reason where it cannot be that."""
        if value is None:
            return
        if isinstance(value, dict):
            self.leave(theirs, value, "a whole table is no value of this setting")
            return
        try:
            text = json.dumps(value) if isinstance(value, list) else str(value)
            found = getattr(check(TrainSettings, typed.read(TrainSettings, [(name, text)])), name)
        except (UserError, ValueError) as error:
            what = error.what if isinstance(error, UserError) else "It cannot be that."
            self.left.append(f"{theirs} = {shown(value)}: {what}")
            return
        self.values[name] = found

    def lokr(self, theirs: str, factor: Any, place: str, whole: Any = None) -> None:
        """A LoKr by `theirs`, and its factor by `place`, where -1 asks for what 0 does here; `whole` says that its
        second factor is to be no product."""
        self.take("adapter", "lokr", theirs)
        self.take("lokr_factor", 0 if str(factor) in ("-1", "None", "") else factor, place)
        if str(whole).casefold() == "true":
            why = "the second factor is a product here where the rank is less than half of its size"
            self.leave("full matrix", True, why)

    def prompts(self, prompts: list[str], theirs: str) -> None:
        """What samples show; of many the first."""
        self.take("sample_prompts", prompts[:_PROMPTS], theirs)
        if len(prompts) > _PROMPTS:
            self.tell(theirs, len(prompts), f"the first {_PROMPTS} are taken")

    def warmup_share(self, share: float, theirs: str, value: Any) -> None:
        """A warm-up that is a share of the run, where the steps of that are known by now."""
        if not 0 < share <= 1:
            self.tell(theirs, value, "it is no share of a run")
        elif steps := self.values.get("steps"):
            self.take("warmup_steps", int(share * steps), theirs)
        else:
            why = "it is a share of the run, whose steps are not known; those of your preset are taken"
            self.tell(theirs, value, why)

    def alpha(self, rank: Any, alpha: Any, theirs: str) -> None:
        """The alpha that goes with a rank: where none is said all of these trainers take 1, and the rank where it
        is 0. Without a rank nothing is said of the size of the LoRA, and the preset has both."""
        if not is_off(rank):
            self.take("alpha", 1 if alpha is None else rank if is_off(alpha) else alpha, theirs)

    def leave(self, theirs: str, value: Any, why: str = NOTHING_LIKE_IT, usual: Any = None) -> None:
        """Say that a setting is not carried over, unless it asks for nothing, or for what is `usual` here too."""
        asks = not is_off(value) if usual is None else value is not None and value != usual
        if asks:
            self.tell(theirs, value, why)

    def tell(self, theirs: str, value: Any, why: str) -> None:
        self.left.append(f"{theirs} = {shown(value)}: {why}.")

    def see_to(self, names: Iterable[str]) -> None:
        self.own_way += sorted(names)


def is_off(value: Any) -> bool:
    """Whether a value asks for nothing: none, off, zero, or an empty text."""
    if isinstance(value, str):
        return bool(_OFF.fullmatch(value.strip()))
    return value is None or value is False or value == 0 or value == [] or value == {}


def number(value: Any, divisor: float = 1) -> float | None:
    """A finite number that a file says, divided; None for anything else."""
    try:
        found = math.nan if isinstance(value, bool) else float(value) / divisor
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def plain_name(value: Any) -> str:
    """The last part of a path or address, without suffix: nobody else's folders are of use here."""
    text = str(value).replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(value, str) else ""
    return text.removesuffix(".safetensors").removesuffix(".ckpt")[:LONGEST].strip()


def base_name(value: Any) -> str:
    """What a base is called: `owner/name` as it is, of any path the last part alone."""
    text = str(value).strip() if isinstance(value, str) else ""
    is_repo = text.count("/") == 1 and not text.startswith(("/", ".", "~")) and "\\" not in text and ":" not in text
    return text[:LONGEST] if is_repo and not text.endswith(".safetensors") else plain_name(text)
