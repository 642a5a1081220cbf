"""What is known of families and their bases without loading anything: data only, no code of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from lora_gui.refusals import bounds
from lora_gui.settings import DrawSettings, Layers, TrainSettings

# Checkpoint path of a layer to the base's own, `#` standing for a number; several where the checkpoint fuses them.
# A path of the base ends in SWAPPED where the checkpoint has the halves of the layer's outputs the other way round.
CheckpointNames = dict[str, tuple[str, ...]]
SWAPPED = "~"


@dataclass(frozen=True)
class KnownBase:
    """A base that can be had: `repo` is its name on the model hub, empty where it ships; `size_gb` its download."""

    key: str
    title: str
    repo: str
    licence: str
    size_gb: float
    good_at: str = field(default="", kw_only=True)  # in a sentence, for who chooses among them
    first_from: float = field(default=0.0, kw_only=True)  # GiB of a card from which it is a good first one; 0 is never
    revision: str = field(default="", kw_only=True)  # the commit of `repo` that is fetched; empty is the latest
    defaults: dict[str, Any] = field(default_factory=dict)  # over the family's, both train and draw settings
    architecture: str = ""  # where its LoRA files say another than the family's
    base_model_version: str = ""  # likewise
    gated: bool = False  # whether the hub gives it only to those who have accepted its licence
    caption_tokens: int = 0  # of a caption that it reads, where these are others than the family's
    trains: bool = True  # whether it can learn; those distilled to few steps draw only
    told_by: dict[str, Any] = field(default_factory=dict)  # what its configuration says, by `part.field`; all of it
    built_like: str = ""  # the known base whose configuration it has, where that is not its own
    called: str = ""  # a regular expression in its name too, where no configuration tells it from the one before


@dataclass(frozen=True, eq=False)  # each is the one that it is
class PartFile:
    """A network that programs keep in a file of its own beside the denoiser's, told by the sizes of a few tensors."""

    key: str
    title: str  # in sentences
    usual: str  # what its file is called as a rule
    shapes: dict[str, tuple[int, ...]]  # tensors, `|` between names of which one is enough, to their sizes
    within: str  # how the names of its tensors begin in a whole checkpoint
    called: str = ""  # a regular expression in the name of its file too, where another network has the same sizes


@dataclass(frozen=True, eq=False)
class SingleFile:
    """How files of one build are told from all others, and what must be in them."""

    like: str  # the known base whose configuration they have
    inputs: dict[str, int]  # layers, by their weights, to how many inputs each has
    parts: dict[str, str] = field(default_factory=dict)  # what each part is called, to how its tensors' names begin
    beginnings: tuple[str, ...] = ("",)  # of the names of the denoiser's tensors, any of them
    without: tuple[str, ...] = ()  # tensors that another build has
    apart: dict[str, PartFile] = field(default_factory=dict)  # by their folders: networks in the file or beside it


@dataclass(frozen=True)
class Unlike:
    """Bases that name a family's pipeline and are none of its: told as `KnownBase.told_by`."""

    told_by: dict[str, Any]
    what: str  # after "is"
    remedy: str


DRAWS_ALONE = "Choose a base that is made to draw from words alone, not one for filling in or editing."
ANOTHER_KIND = "Choose a base of another kind."
# Of U-Nets whose pictures have four channels, by the channels that go in.
UNLIKE_BY_INPUTS = (
    Unlike({"unet.in_channels": 9}, "made for filling in (inpainting)", DRAWS_ALONE),
    Unlike({"unet.in_channels": 8, "unet.out_channels": 4}, "made for editing by instructions", DRAWS_ALONE),
    Unlike({"unet.in_channels": 5}, "made for drawing by depth", DRAWS_ALONE),
    Unlike({"unet.in_channels": 7}, "made for enlarging", DRAWS_ALONE),
)


@dataclass(frozen=True, eq=False)  # each is the one that it is
class Facts:
    """What is known of a family without loading anything."""

    key: str
    title: str
    bases: tuple[KnownBase, ...]
    pipeline: str  # `_class_name` in the base's model_index.json
    resolution: int  # px, native
    train_defaults: dict[str, Any]  # over the fields of TrainSettings
    layers_of_dora: tuple[Layers, ...] = field(default=get_args(Layers), kw_only=True)  # that its files can say it of
    draw_defaults: dict[str, Any]  # over the fields of DrawSettings
    size_step: int  # px; width and height of drawings are multiples of it
    cell: float  # px; sides that pictures are learnt at are whole numbers of it: of the autoencoder, patches, halvings
    bucket_step: float  # px; at batch 1 they are multiples of about this
    learns_in_fp16: bool = field(default=False, kw_only=True)  # whether its activations stay within fp16's range
    architecture: str  # modelspec.architecture of its LoRA files
    base_model_version: str  # ss_base_model_version of its LoRA files
    spellings: str = ""  # a regular expression: what else its LoRA files call it, as `formats/architecture.py` has it
    written_for: dict[str, str] = field(default_factory=dict)  # program that reads all of its LoRAs to the dialect
    weighs_words: bool = field(default=False, kw_only=True)  # whether (word:1.2), BREAK and long prompts are heeded
    skips_layers: bool = field(default=False, kw_only=True)  # whether its prompts know a clip skip
    draws_over: bool = field(default=True, kw_only=True)  # whether a drawing can begin with a picture
    own_sampler: bool = field(default=False, kw_only=True)  # whether its drawings know no sampler but their own
    single_files: tuple[SingleFile, ...] = ()  # builds of its bases that are read from one file
    same_pipelines: tuple[str, ...] = ()  # further ones that are made of the same networks
    unlike: tuple[Unlike, ...] = ()
    reads_with: str = "tokenizer"  # the folder, in a base, of the tokenizer by whose count a caption is cut
    caption_tokens: int = 0  # of a caption that are read; 0 is as many as that tokenizer says
    optional: tuple[str, ...] = ()  # networks that a base may lack, where its model_index.json says so
    further: dict[str, str] = field(default_factory=dict)  # folder within a base's own to the repo that lies in it
    dialects: tuple[str, ...] = ("kohya", "diffusers", "comfy")  # that can be written, the first by default
    prefixes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each part in kohya files, the written first
    checkpoint_names: CheckpointNames = field(default_factory=dict)  # of the denoiser's layers
    checkpoint_norms: CheckpointNames = field(default_factory=dict)  # of what no LoRA adapts, and no number tells
    kohya_has_checkpoint_names: bool = True  # whether kohya files have these names too, or diffusers' own
    widths: dict[str, int] = field(default_factory=dict)  # outputs per input of layers in a group; 1 where not named
    layer_names: str = ""  # a regular expression over the names that layers have in its LoRA files, of any dialect
    layer_mark: str = ""  # a further one, found in one of these names at least, where another family names layers alike
    layer_sizes: dict[str, frozenset[tuple[int, int]]] = field(default_factory=dict)
    # layers (a regular expression over names with _) to the inputs and outputs this family alone has there; 0 for any
    joint_blocks: dict[int, int] = field(default_factory=dict)  # hidden size to how many blocks with joint attention
    texts_alone: str = ""  # a regular expression: a name of a file that changes text encoders only
    texts_tell: int = 0  # how much that tells; of several families the one with most

    @property
    def least_side(self) -> int:
        """Px; no drawing of its bases is smaller."""
        least: int = bounds(DrawSettings.model_fields["width"])["ge"]
        return max(self.size_step, least)

    def train_defaults_of(self, base: str) -> dict[str, Any]:
        """How the base with the key `base` is trained unless told otherwise; `steps` and `seed` of a base are for
        drawing."""
        own = {
            key: value
            for key, value in self._known(base).items()
            if key in TrainSettings.model_fields and key not in DrawSettings.model_fields
        }
        return self.train_defaults | own

    def draw_defaults_of(self, base: str) -> dict[str, Any]:
        """How the base with the key `base` is drawn with unless told otherwise."""
        own = {key: value for key, value in self._known(base).items() if key in DrawSettings.model_fields}
        return self.draw_defaults | own

    def _known(self, base: str) -> dict[str, Any]:
        """The base's own defaults, over the family's."""
        return next((known.defaults for known in self.bases if known.key == base), {})

    def named(self, base: str) -> tuple[str, str]:
        """What LoRA files of the base with the key `base` say of it: architecture and base_model_version."""
        own = next((known for known in self.bases if known.key == base), None)
        return (
            (own and own.architecture) or self.architecture,
            (own and own.base_model_version) or self.base_model_version,
        )
