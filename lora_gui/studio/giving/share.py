"""A folder to share: the LoRA, a cover, sample drawings and a model card; nothing in it tells of this computer.

No path, no caption, no file's or user's name: header fields and texts of pictures are written anew, and a drawing whose
prompt is a caption stays here.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from lora_gui import families, files
from lora_gui.drive import require_new
from lora_gui.errors import UserError
from lora_gui.formats import contract, edit, png, private
from lora_gui.formats.contract import Contract
from lora_gui.formats.programs import PROGRAMS
from lora_gui.studio.giving import card
from lora_gui.studio.giving.card import Content, Shown
from lora_gui.studio.giving.exports import written
from lora_gui.studio.giving.proof import Prover, Say, aloud
from lora_gui.studio.library.origins import captions_of
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_decode import DAMAGED
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import drawings as drawn
from lora_gui.studio.things.loras import LoraInfo

CARD, COVER, SAMPLES = "README.md", "cover.png", "images"
MOST = 8  # sample drawings
_HASH = "sshs_model_hash"
_SHORTEST = 12  # letters of a caption that is looked for in prompts
# Drawn where nobody chose drawings, for each kind of LoRA; {} is the trigger.
_PROMPTS = {
    "style": ("{}, a lighthouse by the sea", "{}, a cat on a chair"),
    "character": ("{}", "{} in front of a forest"),
    "concept": ("{}", "{} on a table"),
}
_COVER = 512  # px, at most
_TAG = re.compile(r"<lora:[^<>]*>")


@dataclass(frozen=True)
class Shared:
    """What was made: `files` are all that is in the folder, with their sizes in bytes; `notes` are sentences."""

    folder: Path
    lora: str  # name of the LoRA's file in it
    contract: Contract
    files: dict[str, int]
    proofs: tuple[str, ...]
    notes: tuple[str, ...]


def share(
    studio: Studio,
    drawer: Drawer,
    lora: LoraInfo,
    drawings: Sequence[Path] = (),
    strength: float = 1.0,
    folder: Path | None = None,
    say: Say = aloud,
) -> Shared:
    """Make the folder `folder`, or one among what was given away, with these `drawings` or some that are made for it.

    Raises UserError, and leaves nothing, where a copy draws something else or a drawing is none of ours.
    """
    target = folder or files.free_name(studio.given, lora.name, "")
    require_new(target)
    partial = files.half_made(target)
    try:
        with Prover(studio, drawer, lora, say) as prover:
            say("Writing the copy")
            made = _Folder(studio, lora, partial, prover)
            made.write_lora()
            made.write_samples(drawings)
        made.write_card(strength)
        found = {one.relative_to(partial).as_posix(): one.stat().st_size for one in sorted(partial.rglob("*.*"))}
        files.move(partial, target)
    finally:
        files.remove_folder(partial)
    return Shared(target, made.file, made.contract, found, tuple(made.proofs), tuple(made.notes))


class _Folder:
    """One that is being filled."""

    def __init__(self, studio: Studio, lora: LoraInfo, folder: Path, prover: Prover) -> None:
        self._studio, self._lora, self._folder, self._prover = studio, lora, folder, prover
        self.contract = contract.read(edit.metadata(lora.path))
        self.file, self._for_diffusers = f"{lora.name}.safetensors", ""
        self._shown: list[Shown] = []
        self.proofs: list[str] = []
        self.notes: list[str] = []

    def write_lora(self) -> None:
        """In the way that most programs read; once more for diffusers where that does not draw the same with it."""
        facts = families.facts_of(self._lora.family)
        left = written(self._studio, self._lora, facts.dialects[0], self._folder / self.file)
        if left:
            self.notes.append(f"Left out of the file's header, as it may tell of a computer: {', '.join(left)}.")
        self.proofs.append(self._prover.prove(self._folder / self.file, "this app").sentence)
        if "diffusers" not in facts.written_for:
            return
        try:
            proof = self._prover.prove(self._folder / self.file, "diffusers", "diffusers")
        except UserError:
            proof = None
        if proof and proof.drawn or facts.dialects[0] == "diffusers":
            self._for_diffusers = self.file
        else:
            self._for_diffusers = f"{self._lora.name}-diffusers.safetensors"
            written(self._studio, self._lora, facts.written_for["diffusers"], self._folder / self._for_diffusers)
            proof = self._prover.prove(self._folder / self._for_diffusers, "diffusers", "diffusers")
        if proof and proof.drawn:
            self.proofs.append(proof.sentence)

    def write_samples(self, chosen: Sequence[Path]) -> None:
        """The drawings that were chosen, or fresh ones; the first is the cover."""
        if len(chosen) > MOST:
            raise UserError(f"These are {len(chosen)} drawings.", f"Choose at most {MOST}.")
        captions = [one for one in captions_of(self._studio, self._lora.trigger) if len(one) >= _SHORTEST]
        fresh = self._folder / "fresh"
        try:
            for path in chosen or self._drawn(fresh):
                record = drawn.record(path)
                prompt = _prompt(record)
                if any(caption.casefold() in prompt.casefold() for caption in captions):
                    self.notes.append(f"{path.name} stays here: its prompt is one of your captions.")
                elif private.holds_a_path(record):
                    self.notes.append(f"{path.name} stays here: its text names a place on a disk.")
                else:
                    self._take(path, record, prompt)
        finally:
            files.remove_folder(fresh)

    def write_card(self, strength: float) -> None:
        """README.md."""
        facts = families.facts_of(self._lora.family)
        read_by = [one for one, dialect in facts.written_for.items() if dialect == facts.dialects[0]]
        if self._for_diffusers == self.file and "diffusers" not in read_by:
            read_by.append("diffusers")
        content = Content(
            lora=replace(self._lora, path=self._folder / self.file),
            file=self.file,
            contract=self.contract,
            strength=strength,
            samples=self._shown,
            read_by=[one for one in PROGRAMS if one in read_by],
            diffusers=self._for_diffusers,
            proofs=self.proofs,
        )
        files.write_text(self._folder / CARD, card.written(content))

    def _drawn(self, folder: Path) -> list[Path]:
        if self._prover.base is None:
            self.notes.append("It has no sample drawings, as none of your bases draws with it.")
            return []
        prompts = _PROMPTS.get(self.contract.owns or self._lora.preset, _PROMPTS["concept"])
        word = self._lora.trigger or "a picture"
        return [self._prover.sample(prompt.format(word), seed, folder) for seed, prompt in enumerate(prompts, start=1)]

    def _take(self, path: Path, record: str, prompt: str) -> None:
        """The pixels and how they were made, and nothing else that the file may hold."""
        try:
            if not path.is_file():  # a pipe would be waited for
                raise FileNotFoundError(path)
            with Image.open(path, formats=("PNG",)) as image:
                pixels = image.convert("RGB")
        except DAMAGED:
            raise UserError(f"{path.name} is no whole drawing of this app.", "Choose another drawing.") from None
        old, new = (edit.metadata(one).get(_HASH, "")[:12] for one in (self._lora.path, self._folder / self.file))
        record = record.replace(old, new) if old and new else record  # by which viewers find the file that is given
        name = f"{SAMPLES}/{len(self._shown) + 1}.png"
        files.write_bytes(self._folder / name, png.encode(pixels, record))
        if not self._shown:
            pixels.thumbnail((_COVER, _COVER))
            small = io.BytesIO()
            pixels.save(small, "PNG")
            files.write_bytes(self._folder / COVER, small.getvalue())
        self._shown.append(Shown(name, prompt))


def _prompt(record: str) -> str:
    """The prompt in the text of a drawing, without the tags of LoRAs."""
    lines = record.split("\nNegative prompt: ")[0].split("\nSteps: ")[0]
    return " ".join(_TAG.sub(" ", lines).split())
