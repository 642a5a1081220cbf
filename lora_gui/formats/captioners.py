"""Captioners: what the folder of one is by its own files, and those that are known, as data; no weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import base_files
from lora_gui.formats.header import entries

AGAIN = "Download it again; its weights end with .safetensors."
CONFIG, ONNX, TAGS = "config.json", "model.onnx", "selected_tags.csv"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
LIMIT = 4 << 20  # bytes of a configuration
SIDE = 1024  # px of the longer side of pictures; no captioner looks at more, and a photograph would fill the memory


@dataclass(frozen=True)
class Kind:
    """`types` are what its config.json calls itself; none where it has no such file."""

    key: str
    title: str
    types: tuple[str, ...]
    is_asked: bool = False  # whether it is asked in words, which can be others


KINDS = {
    one.key: one
    for one in (
        Kind("blip", "BLIP", ("blip",)),
        Kind("blip2", "BLIP-2", ("blip-2",)),
        Kind("florence", "Florence-2", ("florence2",)),
        Kind("qwen", "Qwen-VL", ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), is_asked=True),
        Kind("tagger", "Tagger", ()),
        Kind("interrogator", "CLIP", ("clip",)),
    )
}


@dataclass(frozen=True)
class Known:
    """One that can be had. `size_gb` is about what is fetched; the Hub says it exactly before anything comes."""

    key: str
    kind: str
    title: str
    repo: str
    licence: str
    size_gb: float
    good_at: str


# Names, licences and sizes were not looked up on the Hub; sizes are "about". No weights of them were at hand here: what
# is tested is their real classes and processors, with tiny random weights.
KNOWN = {
    one.key: one
    for one in (
        Known("blip-base", "blip", "BLIP", "Salesforce/blip-image-captioning-base", "BSD-3-Clause", 1.0,
              "A short sentence for each picture, quick on a processor too."),
        Known("blip-large", "blip", "BLIP large", "Salesforce/blip-image-captioning-large", "BSD-3-Clause", 1.9,
              "As BLIP, a little more exact."),
        Known("florence-2-base", "florence", "Florence-2", "florence-community/Florence-2-base", "MIT", 0.5,
              "A short sentence, the smallest of all."),
        Known("qwen2-vl-2b", "qwen", "Qwen2-VL 2B", "Qwen/Qwen2-VL-2B-Instruct", "Apache-2.0", 4.4,
              "Answers what it is asked of a picture; best on a card."),
        Known("blip2-opt-2.7b", "blip2", "BLIP-2", "Salesforce/blip2-opt-2.7b", "MIT", 15.0,
              "A short sentence; large, and slow without a card."),
        Known("wd-vit-v3", "tagger", "WD tagger", "SmilingWolf/wd-vit-tagger-v3", "Apache-2.0", 0.4,
              "Tags for anime and illustrations; needs onnxruntime."),
        Known("clip-vit-l-14", "interrogator", "CLIP", "openai/clip-vit-large-patch14", "MIT", 1.7,
              "Ranks the words of a list for each picture; says nothing that is not on it."),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Captioner:
    """One on this disk; `size` in bytes is that of its weights."""

    kind: str
    path: Path
    title: str
    size: int = 0


def told(folder: Path, title: str = "") -> Captioner:
    """The captioner in a folder, by its own files. Raises UserError where it is none, or cannot be read here."""
    title = title or folder.name
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "Name the folder of a captioner, with its config.json.")
    if (folder / ONNX).is_file() and (folder / TAGS).is_file():
        return Captioner("tagger", folder, title, (folder / ONNX).stat().st_size)
    said = files.read_json(folder / CONFIG, LIMIT)
    kind = kind_of(said)
    if not kind:
        known = ", ".join(one.title for one in KINDS.values())
        raise UserError(f"{title} is no captioner that is known here.", f"Known are: {known}.")
    if isinstance(said, dict) and "auto_map" in said and KINDS[kind].key == "florence":
        what = f"{title} needs program code of its own to be read, which is never run here."
        raise UserError(what, f"Use {KNOWN['florence-2-base'].repo}, which is the same model without it.")
    return Captioner(kind, folder, title, _weighed(folder, title))


def kind_of(config: object) -> str:
    """The kind that a config.json says; empty for none of them."""
    type_ = config.get("model_type") if isinstance(config, dict) else None
    return next((one.key for one in KINDS.values() if type_ in one.types), "")


def known_at(repo: str) -> Known | None:
    """The known one of a repository."""
    return next((one for one in KNOWN.values() if one.repo.casefold() == repo.casefold()), None)


def _weighed(folder: Path, title: str) -> int:
    """Bytes of the weights. Raises UserError where there are none, or only pickled ones, or they are cut short."""
    try:
        found = base_files.weights(folder)
    except UserError as error:
        raise UserError(f"The weights of {title} are not whole.", AGAIN) from error
    if found is None:
        if any(path for pattern in _PICKLED for path in folder.glob(pattern)):
            what = f"{title} has its weights only in a format that can hide programs, which is not opened here."
            raise UserError(what, "Get it with weights as .safetensors.")
        raise UserError(f"{title} has no weights.", AGAIN)
    if not all(map(_is_whole, found.files)):
        raise UserError(f"The weights of {title} are not whole.", AGAIN)
    return sum(path.stat().st_size for path in found.files)


def _is_whole(path: Path) -> bool:
    """Whether a file of weights has all the bytes that its header speaks of."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            found, _, start = entries(file, path.name, size)
        return start + max((int(end) for *_, end in found.values()), default=0) == size
    except (UserError, OSError, TypeError, ValueError):
        return False
