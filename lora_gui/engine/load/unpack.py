"""Convert a single-file checkpoint to a diffusers folder, once, so that all else need only know folders.

The configuration is the app's own, never one that came with the file, and nothing is asked of any network.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import SingleFileComponentError
from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lora_gui import families, files
from lora_gui.engine.load.opening import opening
from lora_gui.errors import UserError
from lora_gui.formats import cache_names, noise_kind, single_file
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.lock import Lock

CLIP = families.CLIP_TOKENIZER
_MARK = "model_index.json"  # without it a folder does not count
_SOURCE = "unpacked_from.json"  # the file that a folder was made of
_SHARD = "512MB"  # so much more memory than the file is needed
_SPARE = 500_000_000  # bytes
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_PADDING = {"tokenizer": "<|endoftext|>", "tokenizer_2": "!"}  # as Stable Diffusion XL was trained, 1.x has the first
_LENGTH = 77  # tokens


def as_folder(base: Base, cache: str) -> Generator[Event, None, Base]:
    """The base as it is, or where it is one file, its folder in `cache`, made unless it is there and whole.

    Raises UserError where the file is damaged or not whole, or where the disk has no room.
    """
    source = Path(base.path)
    if not source.is_file():
        return base
    folder = Path(cache) / cache_names.UNPACKED / cache_names.unpacked(source)
    if not _is_whole(folder):
        if folder.exists():
            yield Note(f"The unpacked copy of {base.title} was damaged, so it is made again.")
        yield Phase(f"Unpacking {base.title}, which is done once")
        if said := noise_kind.beside(source):
            yield Note(f"What {said.name} says of the noise of {source.name} is heeded.")
        files.make_folder(folder.parent)
        with Lock(folder.parent / ".lock"):  # drawing and training may begin at once
            if not _is_whole(folder):
                files.sweep(folder.parent, former=True)
                files.remove_folder(folder)
                _evict(folder.parent)
                _unpack(base, source, folder)
    return base.model_copy(update={"path": str(folder)})


def _is_whole(folder: Path) -> bool:
    """Whether a folder has its mark and none of its weights is cut short; only headers are read."""
    try:
        for file in folder.rglob("*.safetensors"):
            single_file.read(file)
    except UserError:
        return False
    return (folder / _MARK).is_file()


def _evict(unpacked: Path) -> None:
    """Delete the folders whose file is gone or has changed since: nothing asks for them any more."""
    for folder in (one for one in unpacked.iterdir() if one.is_dir()):
        named = files.read_json(folder / _SOURCE)
        source = Path(named) if isinstance(named, str) else None
        if not source or not source.is_file() or folder.name != cache_names.unpacked(source):
            files.remove_folder(folder)


def _unpack(base: Base, source: Path, folder: Path) -> None:
    needed, free = source.stat().st_size + _SPARE, shutil.disk_usage(folder.parent).free
    if free < needed:
        what = f"Unpacking {base.title} needs {needed / 1e9:.1f} GB on your disk; {free / 1e9:.1f} GB are free."
        raise UserError(what, "Make some space, or use the base as a diffusers folder, which is read where it lies.")
    contents = single_file.read(source)
    build = single_file.build_of(source, contents, families.facts_of(base.family).single_files)
    configuration = families.configuration(build.like)
    assert configuration, build.like
    found = json.loads(configuration.read_text(encoding="utf-8"))
    noise = noise_kind.of_checkpoint(source, contents.shapes)
    new = files.half_made(folder)  # swept where this is cut short
    _lay_out(found, noise, new)
    tokenizers = {f"tokenizer{end}": clip_tokenizer(f"tokenizer{end}") for end in _suffixes(found)}
    with opening(base), _as_value_error():
        pipeline = getattr(diffusers, found["pipeline"]["class"]).from_single_file(
            str(source),
            config=str(new),
            local_files_only=True,
            torch_dtype=_DTYPES[contents.dtype],
            **tokenizers,
        )
    pipeline.save_pretrained(new, max_shard_size=_SHARD)
    files.write_json(new / _SOURCE, str(source.resolve()))
    files.sync_files(new)
    files.move(new, folder)


def _lay_out(found: dict[str, Any], noise: tuple[str, bool], folder: Path) -> None:
    """Write the app's own configuration as a diffusers folder without weights."""
    kinds = {name: [part["library"], part["class"]] for name, part in found["components"].items()}
    kinds |= {f"tokenizer{end}": ["transformers", "CLIPTokenizer"] for end in _suffixes(found)}
    kinds["scheduler"] = ["diffusers", found["scheduler"]["class"]]
    named = {"_class_name": found["pipeline"]["class"], **found["pipeline"]["config"]}
    files.write_json(folder / _MARK, named | kinds)
    for name, part in found["components"].items():
        files.write_json(folder / name / "config.json", {"_class_name": part["class"], **part["config"]})
    prediction, to_zero = noise
    said = {"_class_name": found["scheduler"]["class"], **found["scheduler"]["config"]}
    said |= {"prediction_type": prediction} if prediction else {}
    said |= {"rescale_betas_zero_snr": True} if to_zero else {}
    files.write_json(folder / "scheduler" / "scheduler_config.json", said)


def _suffixes(found: dict[str, Any]) -> list[str]:
    """The suffixes of the text encoders' folders: the first has none."""
    names = [name for name in found["components"] if name.startswith("text_encoder")]
    return [name.removeprefix("text_encoder") for name in names]


def clip_tokenizer(name: str) -> CLIPTokenizer:
    """CLIP's byte-level BPE tokenizer: all bytes, the same at the end of a word, the merges, and two special tokens.

    `name` is that of its folder in the base, which decides the padding token."""
    text = (CLIP / "merges.txt").read_text(encoding="utf-8")
    merges = [tuple(line.split(" ")) for line in text.splitlines()]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)},
        merges=merges,
        model_max_length=_LENGTH,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token=_PADDING[name],
    )


@contextlib.contextmanager
def _as_value_error() -> Generator[None, None, None]:
    """What diffusers raises where a checkpoint's tensors are not those of the configuration, as a ValueError."""
    try:
        yield
    except (SingleFileComponentError, KeyError, NotImplementedError) as error:  # the last where one is missing
        raise ValueError(str(error)) from error
