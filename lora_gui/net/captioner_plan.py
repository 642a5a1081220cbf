"""Which files of a repository make a known captioner: its weights in one format, and what it is read with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from lora_gui.errors import UserError, nearest
from lora_gui.formats import base_files
from lora_gui.formats.captioners import CONFIG, KNOWN, ONNX, TAGS
from lora_gui.net import hub
from lora_gui.net.base_plan import Plan
from lora_gui.protocol.events import Note, Phase

_READ = (".txt", ".model", ".jinja")  # of tokenizers, beside JSON
_MOST = 50_000_000  # bytes of a file that is no weights


def plan(key: str) -> Iterator[Plan | Note | Phase]:
    """What is to be fetched for the captioner called `key`, as the Hub has it now. Raises UserError."""
    if key not in KNOWN:
        raise UserError(f"No captioner that can be fetched is called {key!r}.", nearest(key, KNOWN))
    known = KNOWN[key]
    for said in hub.listing(known.repo):
        if not isinstance(said, hub.Listing):
            yield said
            continue
        chosen = {name: said.files[name] for name in _chosen(said, known.kind)}
        huge = [name for name, one in chosen.items() if one.size > _MOST and not name.endswith((".safetensors", ONNX))]
        needed = {ONNX, TAGS} if known.kind == "tagger" else {CONFIG}
        if not needed <= chosen.keys() or huge:
            what = f"{known.repo} is not as it should be ({', '.join(huge or sorted(needed - chosen.keys()))})."
            raise UserError(what, "Choose another captioner, or another mirror of the Hub.")
        yield Plan(base=key, commits={said.repo: said.commit}, files=chosen, gated=said.gated)


def _chosen(listing: hub.Listing, kind: str) -> list[str]:
    """Nothing of folders in it, and no weights in formats that can hide programs. Raises UserError where none is left.

    The Hub has some in several formats; of a tagger only the published ONNX counts.
    """
    there = [name for name in listing.files if "/" not in name]
    texts = [name for name in there if PurePosixPath(name).suffix in _READ or name.upper().startswith("LICEN")]
    if kind == "tagger":
        return [*(name for name in (ONNX, TAGS, CONFIG) if name in there), *texts]
    weights = base_files.to_fetch(there)
    if not weights:
        what = f"{listing.repo} has no weights as .safetensors, so it is not fetched."
        raise UserError(what, "Choose another captioner.")
    return list(dict.fromkeys([*weights, *texts]))
