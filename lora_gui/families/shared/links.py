"""The folder of a network as a library takes it: itself, or links to files that have another name than it looks for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import base_files, single_file


@contextmanager
def as_taken(folder: Path, name: str) -> Iterator[Path]:
    """The folder of a network as a library takes it that calls weights `name`: itself, or a folder of links to it.

    The latter where the files that count are of a variant or called otherwise. Raises UserError where no disk links.
    """
    found = base_files.weights(folder)
    if found is None or found.is_plain(name):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="lora-studio-", ignore_cleanup_errors=True) as made:
        shards = {f"{name}-{number}.safetensors": path for number, path in enumerate(found.files)}
        table = {tensor: shard for shard, path in shards.items() for tensor in single_file.read(path).shapes}
        links = shards | {path.name: path for path in base_files.configurations(folder)}
        for link, path in links.items():
            link_to(path.resolve(), Path(made) / link)
        files.write_json(Path(made) / f"{name}.safetensors.index.json", {"metadata": {}, "weight_map": table})
        yield Path(made)


def require_all(folder: Path, told: Mapping[str, Collection[str]]) -> None:
    """Raises UserError where tensors of a network were missing, which transformers has made up by then."""
    if missing := sorted(told["missing_keys"]):
        what = f"The weights in {folder.name} of this base are not whole: {missing[0]} is missing."
        raise UserError(what, "Download or add this base again.")


def link_to(path: Path, link: Path) -> None:
    """Make `link` lead to the file at `path`. Raises UserError where no disk links."""
    try:
        link.symlink_to(path)
    except OSError:  # Windows, without its mode for developers
        try:
            os.link(path, link)
        except OSError as error:
            what = f"{path.name} of this base has a name that is not read here ({error.strerror})."
            raise UserError(what, f"Rename it to {link.stem.partition('-')[0]}.safetensors.") from error
