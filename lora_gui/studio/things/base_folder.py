"""Open the folder of a base: which base it is by its configurations, whether it is whole, and what it is instead."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lora_gui import families, files
from lora_gui.errors import UserError
from lora_gui.facts import Facts, KnownBase
from lora_gui.formats import base_files, noise_kind, single_file

WHOLE = "Choose a whole diffusers folder: one with model_index.json and all its parts."
PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}
INDEX = "model_index.json"
_LONGEST = 100  # letters of a part's name or class
_MOST, _MOST_COUNT = 100_000_000, 10_000  # of any number, and of one that says how many of something there are
_COUNTS = re.compile(r"layers|blocks|timesteps|heads|channels")
_STEM = re.compile(r"(WithProjection|ForCausalLM|EncoderModel|Model)$")  # of classes that hold the same network

Config = Callable[[str], dict[str, Any]]  # of a part, by its folder; of the pipeline, by "pipeline"


def opened(path: Path, names: Sequence[str]) -> tuple[Facts, str]:
    """The family of the base in a folder, and the key of the known base it is, empty where it is none of them.

    `names` are what it may be called by. Raises UserError saying what it is instead, or what is wrong or missing.
    """
    pipeline, parts = _index(path)
    facts = families.facts_of_pipeline(pipeline)
    config = _reader(path)
    _require_plain_text(path)
    for name in _needed(facts, parts):
        _check_network(path, name, parts.get(name, ""), facts)
    for folder, repo in facts.further.items():
        if not (path / folder).is_dir():
            raise UserError(f"The base is not whole: its folder {folder} is missing.", f"Download {repo} into it.")
    _check_words(path, facts, parts)
    for other in facts.unlike:
        if all(_says(config, field, value) for field, value in other.told_by.items()):
            raise UserError(f"This base is {other.what}.", other.remedy)
    noise_kind.require_readable(config("scheduler"), families.is_flow(facts.key))
    return facts, _known(facts, config, names)


def _known(facts: Facts, config: Config, names: Sequence[str]) -> str:
    """The last of the family's known bases that the configurations tell of; those told by name, too, stand last."""
    parts = ("pipeline", *families.networks(facts.key))
    own = [*names, *(str(config(part).get("_name_or_path", "")) for part in parts)]
    fit = [
        known.key
        for known in facts.bases
        if all(_says(config, field, value) for field, value in known.told_by.items())
        and (not known.called or any(re.search(known.called, name, re.I) for name in own))
    ]
    return fit[-1] if fit else ""


def title_of(known: KnownBase | None, names: Sequence[str]) -> str:
    """The known title where it has its own name, else what it is called on this disk."""
    own = {known.key.casefold(), known.repo.rpartition("/")[2].casefold()} if known else set()
    return known.title if known and own & {name.casefold() for name in names} else names[0]


def _says(config: Config, field: str, value: Any) -> bool:
    """Whether a part's configuration says this; what is not said is as if it were off or none."""
    part, _, name = field.rpartition(".")
    return (config(part).get(name) or None) == (value or None)


def _reader(path: Path) -> Config:
    read: dict[str, dict[str, Any]] = {}

    def config(part: str) -> dict[str, Any]:
        if part not in read:
            inner = {"pipeline": INDEX, "scheduler": "scheduler/scheduler_config.json"}.get(part, f"{part}/config.json")
            said = files.read_json(path / inner)
            read[part] = said if isinstance(said, dict) else {}
        return read[part]

    return config


def _index(base: Path) -> tuple[str, dict[str, str]]:
    """What model_index.json says: the pipeline's class, and the class of each part that there is."""
    said = files.read_json(base / INDEX)
    said = said if isinstance(said, dict) else {}
    listed = {name: part for name, part in said.items() if not name.startswith("_") and isinstance(part, list)}
    parts = {name: part for name, part in listed.items() if any(isinstance(word, str) for word in part)}
    words = [said.get("_class_name"), *parts, *(word for part in parts.values() for word in part)]
    sound = all(isinstance(word, str) and 0 < len(word) <= _LONGEST for word in words)
    if not sound or any(len(part) != 2 or Path(name).name != name for name, part in parts.items()):
        raise UserError(f"The model_index.json in {base.name} is damaged.", WHOLE)
    return said["_class_name"], {name: kind for name, (_, kind) in parts.items()}


def _needed(facts: Facts, parts: dict[str, str]) -> list[str]:
    """The networks that a base of a family must have, by their folders; those in a further folder are its own."""
    return [
        name
        for name in families.networks(facts.key)
        if name.partition("/")[0] not in facts.further and (name in parts or name not in facts.optional)
    ]


def _check_network(base: Path, part: str, kind: str, facts: Facts) -> None:
    """Raises UserError where a network is missing, of another class, or its files are not what they should be."""
    folder = base / part
    there = [path for path in folder.iterdir() if not base_files.is_hidden(path)] if folder.is_dir() else []
    if not there:
        raise UserError(f"The base is not whole: its folder {part} is missing.", WHOLE)
    stems = {_STEM.sub("", one) for one in families.networks(facts.key)[part]}
    if kind and _STEM.sub("", kind) not in stems:
        raise UserError(f"The model_index.json names {kind} for its {part}, which is of another kind.", WHOLE)
    said = files.read_json(folder / "config.json")
    if not isinstance(said, dict):
        raise UserError(f"The config.json of its {part} is missing or damaged.", WHOLE)
    if absurd := next(_absurd(said), ""):
        raise UserError(f"The config.json of its {part} is damaged: {absurd} cannot be.", WHOLE)
    held = base_files.weights(folder)
    if held is None:
        if any(path.suffix.lower() in PICKLES for path in there):
            what = f"The part {part} of {base.name} is in an old format that can carry programs."
            raise UserError(what, "Get this base as .safetensors.")
        raise UserError(f"The base is not whole: {part} has no weights.", WHOLE)
    for file in held.files:
        single_file.read(file)


def _check_words(base: Path, facts: Facts, parts: dict[str, str]) -> None:
    """Raises UserError where what is no network is missing: the tokenizers, the scheduler."""
    for part in parts:
        needed = part == "scheduler" or part.replace("tokenizer", "text_encoder") in families.networks(facts.key)
        folder = base / part
        if needed and not (folder.is_dir() and any(not base_files.is_hidden(path) for path in folder.iterdir())):
            raise UserError(f"The base is not whole: its folder {part} is missing.", WHOLE)
    if "scheduler" not in parts:
        raise UserError("The base is not whole: its model_index.json names no scheduler.", WHOLE)


def _absurd(said: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """Numbers in a configuration that no network has, which would fill the memory before anything could be said."""
    if isinstance(said, dict | list) and depth < 8:
        inner = said.items() if isinstance(said, dict) else ((name, one) for one in said)
        for key, value in inner:
            yield from _absurd(value, str(key), depth + 1)
    elif isinstance(said, dict | list):
        yield f"{name[:40]} so deep within others"
    elif isinstance(said, int):
        low, high = (-1, _MOST_COUNT) if _COUNTS.search(name) and "dim" not in name else (-_MOST, _MOST)
        if not low <= said <= high:
            yield f"{name[:40]} {said if abs(said) < 10**12 else 'of so many digits'}"


def _require_plain_text(base: Path) -> None:
    """Raises UserError where a configuration begins with a byte order mark, which the libraries do not read."""
    for path in sorted((*base.glob("*.json"), *base.glob("*/*.json"), *base.glob("*/*/*.json"))):
        if not base_files.is_hidden(path) and path.is_file():
            with open(path, "rb") as file:
                if file.read(3) == b"\xef\xbb\xbf":
                    what = f"{path.relative_to(base).as_posix()} begins with a byte order mark, which is not read."
                    raise UserError(what, "Save it as UTF-8 without one (BOM), or download it again.")
