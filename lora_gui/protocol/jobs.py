"""What a child process is asked to do: written by the studio, read by the worker, and never on a command line.

Readers ignore fields they do not know. `version` is that of the writer's protocol, see `task_folder.VERSION`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from lora_gui.files import to_json
from lora_gui.framing import MIDDLE
from lora_gui.settings import SEEDS, DrawSettings, Precision, StackEntry, TrainSettings

LONGEST_NAME = 60  # characters; leaves room for a number and a suffix in every file system
DEVICES = {"con", "prn", "aux", "nul", "clock$", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
Share = Annotated[float, Field(ge=0, le=1)]
Crop = tuple[Share, Share]
_PLAIN = re.compile(r"(?!.*\.\.)(?!\.)[a-z0-9_.-]*[a-z0-9_-]")


def _file_name(name: str) -> str:
    """A LoRA's name is also that of its file: no path, and none that Windows keeps for itself or takes a dot off."""
    if not _PLAIN.fullmatch(name) or len(name) > LONGEST_NAME or name.split(".")[0] in DEVICES:
        raise ValueError("no plain name")
    return name


def mask_beside(picture: Path) -> Path:
    """Where a picture's mask lies, if it has one: named as OneTrainer names it."""
    return picture.with_name(f"{picture.stem}-masklabel.png")


class _Job(BaseModel):
    """Its JSON holds any path: pydantic's own neither writes nor reads one with bytes that are no letters."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        return to_json(self.model_dump(mode="json", **options), indent)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        try:
            said = json.loads(json_data)
        except (ValueError, RecursionError):
            return super().model_validate_json(json_data, **options)  # refuses it in its own words
        return cls.model_validate(said, **options)


class Base(_Job):
    """A base on this disk: `path` is a diffusers folder or a single checkpoint, `family` the key that opens it."""

    key: str
    title: str
    family: str
    path: str
    like: str | None = None  # the known base it is by its configuration, empty for none of them; None is not looked at
    parts: dict[str, str] = {}  # of one file: where networks lie that it has not, by their folders; files or folders

    @property
    def known(self) -> str:
        """The key of the known base whose values are its own."""
        return self.key if self.like is None else self.like

    def moved(self, place: Callable[[str], str]) -> "Base":
        """The base with each of its paths as `place` makes it."""
        parts = {part: place(path) for part, path in self.parts.items()}
        return self.model_copy(update={"path": place(self.path), "parts": parts})


class TrainPicture(_Job):
    """One picture as the child reads it: an upright RGB file of our own making, and its caption without the trigger."""

    path: str
    caption: str = ""
    captions: tuple[str, ...] = ()  # the lines of its caption file, where it has several
    repeats: int = Field(1, ge=1, le=999)  # how often it comes while a picture of 1 comes once
    digest: str = ""  # of its pixels, as `sandbox.picture_digest` has it; empty where nobody has looked
    of_class: bool = False  # drawn by the base: of the class, and its caption without the trigger word
    mask: str = ""  # sha256 of the file of its mask, which lies beside it; empty where it has none
    crop: Crop = MIDDLE  # what stays where it is cropped, see `framing.Framing`


class TrainJob(_Job):
    """One run. In its folder, paths stand relative to the studio (see `task_folder`); in memory they are absolute."""

    version: int = 1
    name: Annotated[str, AfterValidator(_file_name)]  # the LoRA's, as `studio.things.names.check_name` gives it
    trigger: str
    preset: str  # style, character, concept, or a preset of the user's
    base: Base
    pictures: tuple[TrainPicture, ...]
    settings: TrainSettings
    publish_to: str = "loras"  # folder the finished LoRA is published into
    cache: str = "cache"  # folder that can be deleted at any time, for what is quick to have again; empty keeps nothing
    begin_from: str = ""  # the LoRA file whose weights it begins with; in its folder, a copy; empty begins anew
    extended_at: tuple[int, ...] = ()  # the steps at which it was finished once, and then told to train further

    @field_validator("settings", mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        """Without settings of a newer app, which only the preset and the command line must refuse; what an older app
        began goes on as it did: text encoders at the rate of all else, and no picture kept back."""
        if not isinstance(given, dict):
            return given
        rate = {"text_encoder_learning_rate": given.get("learning_rate", 0)} if given.get("train_text_encoder") else {}
        return {"keep_back": False} | rate | {k: v for k, v in given.items() if k in TrainSettings.model_fields}


class PlanJob(_Job):
    """A question how much memory a training needs; one JSON line on the planning child's standard input."""

    base: Base  # `path` is empty where a known one is not on this disk
    settings: TrainSettings
    vram_gib: float
    capability: tuple[int, int] | None = None  # compute capability of the card; None where it is not known
    ram_gib: float
    unified: bool = False  # whether the memory of the card is the computer's own
    cache: str  # folder that can be deleted at any time


class DownloadJob(_Job):
    """A known base, or captioner, to be fetched from the model hub."""

    version: int = 1
    base: str  # its key
    of: Literal["base", "captioner"] = "base"
    into: str = "bases"  # the folder it is put into, relative to the studio


class BringJob(_Job):
    """A LoRA to be brought from elsewhere: an id or link of the model hub, or a link to Civitai."""

    version: int = 1
    link: str
    file: str = ""  # which, where the link leads to several


class UploadJob(_Job):
    """Files to be published to the model hub; one JSON line on the uploading child's input."""

    folder: str
    repo: str  # owner/name
    files: dict[str, str]  # names within the folder, each with the sha256 that it was shown with
    private: bool = True


class ConvertJob(_Job):
    """A LoRA file to be written once more in another dialect; one JSON line on the converting child's input."""

    file: str
    to: str
    out: str
    fields: dict[str, str] | None = None  # of its header, in place of those that the file has


class KeepJob(_Job):
    """What a run had learnt by a step, to be put among the LoRAs; one JSON line on the keeping child's input."""

    run: TrainJob
    lora: str  # the file of its checkpoint
    step: int


class MixJob(_Job):
    """A stack to be saved as one LoRA; one JSON line on the mixing child's input."""

    stack: tuple[StackEntry, ...]
    rank: int = 0  # that it is compressed to; 0 is exact
    name: str
    out: str


class CaptionJob(_Job):
    """Pictures to be described by a captioner; one JSON line on the captioning child's input."""

    model: str  # its folder
    title: str = ""  # what it is called in sentences
    pictures: tuple[str, ...]  # RGB files of our own making
    question: str = ""  # for captioners that are asked in words
    general: float = Field(0.35, gt=0, lt=1)  # probability from which a tag is taken
    character: float = Field(0.85, gt=0, lt=1)  # likewise of names of characters
    studio: str = ""  # folder whose device lease is taken; empty takes none
    on_processor: bool = False


class DrawJob(_Job):
    """One order to the drawing child; one JSON line on its standard input."""

    id: str
    base: Base
    settings: DrawSettings
    folder: str  # where the PNG files go, named <id>-<n>.png; previews are <id>-preview.png
    studio: str = ""  # folder whose device lease is taken; empty takes none
    cache: str = ""  # as in TrainJob
    precision: Precision | Literal[""] = ""  # that the base is held in; empty is full precision, as quick as can be
    streamed_blocks: int = 0  # offloaded to RAM, where a precision is named
    on_processor: bool = False  # draw on the CPU, beside whatever has the card
    read_by: Literal["", "diffusers"] = ""  # whose reader puts the LoRAs into the base; empty is ours
    shots: tuple[DrawSettings, ...] = ()  # each drawing by itself; empty goes on from seed to seed

    @property
    def each(self) -> tuple[DrawSettings, ...]:
        """The settings of each drawing, with its own seed and prompts."""
        seeds = ((self.settings.seed + number) % SEEDS for number in range(self.settings.count))
        return self.shots or tuple(self.settings.model_copy(update={"seed": seed, "count": 1}) for seed in seeds)
