"""Why a value of a setting is refused, in the words of the window, and which is the nearest that is not."""

import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lora_gui.errors import SettingError, shown

# What pydantic finds wrong with a value, in our words; the setting's label stands before each.
_WHOLE, _NUMBER = "must be a whole number.", "must be a number."
SENTENCES = {
    "less_than_equal": "can be at most {le}.",
    "greater_than_equal": "must be at least {ge}.",
    "greater_than": "must be above {gt}.",
    "multiple_of": "goes in steps of {multiple_of}.",
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), "is either on or off."),
    "literal_error": "must be {expected}.",
    "too_long": "can be at most {max_length}.",
    "string_too_long": "can be at most {max_length} characters long.",
    "string_type": "must be text.",
    "string_unicode": "holds bytes that are no letters.",
    "tuple_type": "must be a list.",
}
MOST_SHOWN = 1_000_000  # up to here the two steps beside a number are named


def told(label: str, error: Mapping[str, Any]) -> str:
    """What pydantic finds wrong with a value, in a sentence about the setting of this label."""
    context = {name: value_in_words(value) for name, value in error.get("ctx", {}).items()}
    return f"{label} {SENTENCES.get(error['type'], 'cannot be that.').format(**context)}"


def bounds(info: FieldInfo) -> dict[str, Any]:
    """The bounds of a setting: `ge`, `gt`, `le` and `multiple_of`, as far as it has them."""
    return {
        kind: getattr(mark, kind)
        for mark in info.metadata
        for kind in ("ge", "gt", "le", "multiple_of")
        if getattr(mark, kind, None) is not None
    }


def refused(settings: type[BaseModel], error: dict[str, Any]) -> SettingError:
    """Why a value is refused, and which is the nearest that is not."""
    place, given = error["loc"], error["input"]
    name = str(place[0]) if place else ""
    info = settings.model_fields.get(name)
    if info and len(place) > 2 and issubclass(inner := get_args(info.annotation)[0], BaseModel):  # a row of the stack
        info = inner.model_fields.get(str(place[-1]))
    label = info.title if info and info.title else " ".join(map(str, place))
    instead = _nearest(info, given) if info else None
    use = "" if instead in (None, ()) else value_in_words(instead)
    limits = bounds(info) if info else {}
    if error["type"] == "multiple_of" and isinstance(given, (int, float)):
        step = limits["multiple_of"]
        below = given // step * step if abs(given) < MOST_SHOWN else 0
        if given > limits.get("le", math.inf):
            error = error | {"type": "less_than_equal", "ctx": limits}
        elif given < limits.get("ge", -math.inf):
            error = error | {"type": "greater_than_equal", "ctx": limits}
        elif below:
            use = f"{value_in_words(int(below))} or {value_in_words(int(below) + step)}"
    if error["type"].endswith("too_long"):
        remedy = f"It has {value_in_words(len(given))}."
    else:
        remedy = f"Use {use} instead of {shown(given)}." if use else f"It was {shown(given)}."
    return SettingError(told(label, error), remedy, name, instead)


def _nearest(info: FieldInfo, given: Any) -> Any:
    """The allowed value that is nearest to the refused one; the usual one where none is near, or None."""
    limits = bounds(info)
    if info.annotation not in (int, float):
        return _alike(info, given)
    if not isinstance(given, (int, float)) or given != given or given <= limits.get("gt", -math.inf):
        return info.default
    low, high, step = limits.get("ge", -math.inf), limits.get("le", math.inf), limits.get("multiple_of", 1)
    near = min(max(given, low), high)
    return near if info.annotation is float or near % step == 0 else math.floor(near / step + 0.5) * step


def _alike(info: FieldInfo, given: Any) -> Any:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    return next(iter(difflib.get_close_matches(str(given), choices, n=1)), info.default) if choices else None


def value_in_words(value: Any) -> str:
    """A number with its thousands apart, and short; anything else as it is."""
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"
