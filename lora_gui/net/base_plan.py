"""Which files of which repositories make a known base: those the app reads, and none beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

from lora_gui import families
from lora_gui.errors import UserError, nearest
from lora_gui.facts import Facts, KnownBase
from lora_gui.formats import base_files
from lora_gui.net import hub
from lora_gui.net.fetch import Remote
from lora_gui.net.trouble import GoneError
from lora_gui.protocol.events import Note, Phase

_WORDS = re.compile(r"scheduler|tokenizer(_\d)?|image_processor")  # folders without weights that are read, too
_READ = {".json", ".txt", ".model"}  # of these
_ROOT = re.compile(r"model_index\.json|LICEN[SC]E.*", re.I)
_MOST = 50_000_000  # bytes of a file that is no weights


class Plan(BaseModel):
    """What is fetched for a base; kept beside its files, it says where they came from."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    base: str
    commits: dict[str, str]  # of each repository
    files: dict[str, Remote]  # by their paths in the base's folder
    gated: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())


def plan(base: str) -> Iterator[Plan | Note | Phase]:
    """What is to be fetched for the known base called `base`, as the Hub has it now. Raises UserError."""
    facts, known = known_base(base)
    found: dict[str, hub.Listing] = {}
    for inner, repo in {"": known.repo, **facts.further}.items():
        for said in _listing(known, repo):
            if isinstance(said, hub.Listing):
                found[inner] = said
            else:
                yield said
    chosen = {path: remote for inner, one in found.items() for path, remote in _chosen(facts, inner, one)}
    _require_whole(facts, known, chosen)
    commits = {one.repo: one.commit for one in found.values()}
    yield Plan(base=base, commits=commits, files=chosen, gated=any(one.gated for one in found.values()))


def known_base(key: str) -> tuple[Facts, KnownBase]:
    """The known base called `key` and its family. Raises UserError where there is none to be fetched."""
    there = {known.key: (one, known) for one in families.facts().values() for known in one.bases if known.repo}
    if key not in there:
        raise UserError(f"No base that can be fetched is called {key!r}.", nearest(key, there))
    return there[key]


def _listing(known: KnownBase, repo: str) -> Iterator[hub.Listing | Note | Phase]:
    """At the commit that is known to work, where there is one; the latest where that is gone, which is said."""
    revision = known.revision if repo == known.repo else ""
    try:
        yield from hub.listing(repo, revision)
    except GoneError:
        if not revision:
            raise
        yield Note(f"{repo} is not there any more as it was when this app was made; its latest state is taken.")
        yield from hub.listing(repo)


def _chosen(facts: Facts, inner: str, listing: hub.Listing) -> Iterator[tuple[str, Remote]]:
    """Of a repository whose files lie in the folder `inner` of the base."""
    networks = families.networks(facts.key)
    below: dict[str, list[str]] = {}
    for name in listing.files:
        below.setdefault(str(PurePosixPath(inner) / PurePosixPath(name).parent), []).append(name)
    for folder, names in below.items():
        folder = "" if folder == "." else folder
        if folder in networks:
            wanted: Iterable[str] = _weights(names)
        elif folder == inner:
            wanted = (name for name in names if _ROOT.fullmatch(name))
        elif _WORDS.fullmatch(folder.rpartition("/")[2]) and folder.rpartition("/")[0] == inner:
            wanted = (name for name in names if PurePosixPath(name).suffix in _READ)
        else:
            continue
        for name in wanted:
            yield str(PurePosixPath(inner) / name), listing.files[name]


def _weights(names: list[str]) -> Iterator[str]:
    plain = {PurePosixPath(name).name: name for name in names}
    yield from (plain[name] for name in base_files.to_fetch(plain))


def _require_whole(facts: Facts, known: KnownBase, chosen: dict[str, Remote]) -> None:
    """Raises UserError where a repository lacks a network that the app reads, or is not what it should be."""
    weights = {path.rpartition("/")[0] for path in chosen if path.endswith(base_files.SUFFIX)}
    for name in families.networks(facts.key):
        if name not in weights and name not in facts.optional:
            what = f"{known.repo} has no {name} as .safetensors, so it is not fetched."
            raise UserError(what, "Choose another base, or another mirror of the Hub.")
    huge = [path for path, one in chosen.items() if one.size > _MOST and not path.endswith(base_files.SUFFIX)]
    if "model_index.json" not in chosen or huge:
        what = f"{known.repo} is not the base that it should be ({huge[0] if huge else 'no model_index.json'})."
        raise UserError(what, "Choose another base, or another mirror of the Hub.")
