"""Settings of LyCORIS alone, the JSON that SimpleTuner has beside its own.

Source: KohakuBlueleaf/LyCORIS, lycoris/wrapper.py (create_lycoris); bghira/SimpleTuner, documentation/LYCORIS.md.
"""

from __future__ import annotations

from lora_gui.formats.trainers.carried import Carried
from lora_gui.formats.trainers.parsing import Table

_OURS = {"linear_dim": "rank", "rank_dropout": "rank_dropout", "dora_wd": "dora",
         "module_dropout": "module_dropout"}  # fmt: skip


def is_it(table: Table) -> bool:
    return {"algo", "linear_dim"} <= table.keys()


def carried(table: Table) -> Carried:
    """In our names; what else trains is in SimpleTuner's own file, which is not read here."""
    found = Carried("LyCORIS")
    kind, whole = str(table["algo"]).casefold(), table.get("full_matrix")
    if kind == "lokr":
        found.lokr("algo", table.get("factor"), "factor", whole)
    elif kind not in ("lora", "locon"):
        found.leave("algo", kind, "LoRAs and LoKrs are trained here")
    found.alpha(table.get("linear_dim"), table.get("linear_alpha"), "linear_alpha")
    for theirs, value in table.items():
        if theirs in _OURS:
            found.take(_OURS[theirs], value, theirs)
        elif theirs not in ("algo", "linear_alpha", "factor", "full_matrix") and (theirs, value) != ("multiplier", 1):
            found.leave(theirs, value)
    return found
