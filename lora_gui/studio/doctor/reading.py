"""How much of a caption a base reads, by its own tokenizer and without loading anything of it."""

from dataclasses import dataclass
from pathlib import Path

from lora_gui import families, files
from lora_gui.formats import tokenizer
from lora_gui.protocol.jobs import Base
from lora_gui.studio.things import words

_SHOWN = 4  # words
_CLIP = 77  # tokens, those counted that stand around a caption
_AROUND = 2  # tokens of CLIP that do


@dataclass(frozen=True)
class Reading:
    """`room` is how many tokens of a caption are read."""

    tokenizer: tokenizer.Tokenizer
    room: int

    def unread(self, caption: str) -> str:
        """The words from which on a caption is not read, the first few of them; empty where all of it is."""
        said = caption.split()
        low = self.words(caption)
        return " ".join(said[low : low + _SHOWN])

    def words(self, caption: str) -> int:
        """How many words of a caption are read."""
        said = caption.split()
        if self.tokenizer.count(" ".join(said)) <= self.room:
            return len(said)
        low, high = 0, len(said)  # so many words are read whole
        while low < high:
            middle = (low + high + 1) // 2
            if self.tokenizer.count(" ".join(said[:middle])) <= self.room:
                low = middle
            else:
                high = middle - 1
        return low


def of_base(base: Base | None) -> Reading:
    """How a base reads; without one, or where its tokenizer cannot be read here, as CLIP does."""
    if base is None:
        return Reading(words.clip(), _CLIP - _AROUND)
    facts = families.facts_of(base.family)
    folder = Path(base.path) / facts.reads_with
    own = tokenizer.of_folder(folder) if folder.is_dir() else None
    known = next((one.caption_tokens for one in facts.bases if one.key == base.known), 0)
    room = (known or facts.caption_tokens) if own else 0
    return Reading(own or words.clip(), room or _own_room(folder))


def _own_room(folder: Path) -> int:
    """As the configuration of a tokenizer like CLIP's says."""
    try:
        said = files.read_json(folder / "tokenizer_config.json")
    except files.STRANGE:
        said = {}
    most = said.get("model_max_length") if isinstance(said, dict) else None
    return (most if isinstance(most, int) and _AROUND < most < 10_000 else _CLIP) - _AROUND
