"""Every setting once: its type, bounds, label and help. The form, the presets and the command line read them here.

Those by which more is learnt from few pictures stand in `few_pictures.py`, those of practised trainers in
`refinements.py`, as parts of the training settings.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from lora_gui.errors import UserError, nearest, shown
from lora_gui.few_pictures import FewPictures, Frozen
from lora_gui.refinements import Refinements
from lora_gui.refusals import refused

# The one list of each; tables over them are held to it by tests/test_settings.py, choices are taken from it by `get_args`.
Optimizer = Literal["adamw", "adamw8bit", "adafactor", "prodigy"]
Scheduler = Literal["constant", "cosine", "cosine_with_restarts", "linear"]
FullPrecision = Literal["fp32", "bf16", "fp16"]  # the frozen weights as they are, in this dtype
Quantised = Literal["int8", "nf4"]  # the frozen weights quantised, computed with in bf16
Precision = Literal[FullPrecision, Quantised]
Recomputing = Literal["none", "feed_forward", "blocks", "blocks_in_ram"]  # each needs less memory than the one before
RECOMPUTED = {
    "none": "nothing", "feed_forward": "feed-forward layers", "blocks": "all blocks",
    "blocks_in_ram": "all blocks, kept in RAM",
}  # fmt: skip
Layers = Literal["attention", "linear", "all"]
Prediction = Literal["base", "epsilon", "v"]
Sampler = Literal[
    "base", "Euler", "Euler a", "Heun", "DPM2", "DPM2 a", "DPM++ 2M", "DPM++ 2M SDE", "DPM++ 2S", "DPM++ SDE", "UniPC",
    "DEIS", "DDIM", "DDPM", "PLMS", "LCM",
]  # fmt: skip
Seeds = Literal["walk", "fixed", "random"]
Schedule = Literal["base", "Karras", "Exponential", "SGM Uniform", "Normal"]
_PREDICTION = "What the base predicts: noise (epsilon) or velocity (v). As the base says, unless its drawings are noise or grey."

SEEDS = 2**64  # of drawings, as other programs count them
Settings = TypeVar("Settings", bound=BaseModel)


def recomputing(value: Any) -> Any:
    """Gradient checkpointing as earlier versions and other trainers say it, on or off, in today's words."""
    said = value.casefold() if isinstance(value, str) else value
    if said in (False, "false", "off", "no"):
        return "none"
    return "blocks" if said in (True, "true", "on", "yes") else value


class TrainSettings(FewPictures, Refinements):
    """How a LoRA is trained. A field's title is its label, its description the help beside it."""

    rank: int = Field(
        16, ge=1, le=256, title="Rank",
        description="How much the LoRA can hold. Up: finer detail, larger file, learns your pictures by heart sooner.",
    )
    alpha: float = Field(
        16, gt=0, le=512, title="Alpha",
        description="How strongly the LoRA counts while it learns; usually the same as the rank. Down: learns more gently.",
    )
    layers: Layers = Field(
        "attention", title="Layers",
        description="Which layers learn: attention (on FLUX with the feed-forward layers that all trainers count to it there), all linear layers of the blocks, or further ones too, such as convolutions. More learns texture and line better, and costs memory.",
    )
    only_layers: tuple[str, ...] = Field(
        (), max_length=20, title="Only layers named",
        description="Parts of layers' names, such as up_blocks.2: of those above only the ones named so learn, which is quicker and stays nearer to the base. Empty: all.",
    )
    steps: int = Field(
        1000, ge=1, le=100_000, title="Steps",
        description="How often the LoRA is improved. Up: closer to your pictures, in the end too close; the time grows with it.",
    )
    learning_rate: float = Field(
        1e-4, gt=0, le=2, title="Learning rate",
        description="How large each improvement is. Up: learns faster and may break; down: safer and slower. Prodigy wants 1.",
    )
    scheduler: Scheduler = Field(
        "cosine", title="Schedule", description="How the learning rate runs out: evenly, in a curve, in a curve with restarts, or straight down.",
    )
    restarts: int = Field(
        3, ge=1, le=20, title="Restarts", description="How many times the curve is run through, each from the full rate down; 1 never begins anew. Only for the schedule with restarts.",
    )
    warmup_steps: int = Field(
        0, ge=0, le=10_000, title="Warm-up steps", description="Steps in which the learning rate rises from zero. Up: a gentler beginning.",
    )
    optimizer: Optimizer = Field(
        "adamw", title="Optimizer",
        description="How improvements are computed. The 8-bit one and Adafactor need less memory; Prodigy finds its own learning rate.",
    )
    weight_decay: float = Field(
        0.01, ge=0, le=1, title="Weight decay", description="A light pull back to the base. Up: the LoRA stays smaller and more general.",
    )
    max_grad_norm: float = Field(
        1.0, ge=0, le=100, title="Gradient clipping", description="Cuts outliers that would break the training. 0 switches it off.",
    )
    batch_size: int = Field(
        1, ge=1, le=64, title="Batch size", description="Pictures in one step. Up: steadier learning, more memory and time for each step.",
    )
    accumulation: int = Field(
        1, ge=1, le=64, title="Accumulation", description="Batches gathered into one step. As steady as a larger batch, no more memory, but slower.",
    )
    resolution: int = Field(
        512, ge=64, le=2048, multiple_of=8, title="Resolution",
        description="Size in pixels at which the pictures are learnt. Up: finer detail, much more memory and time. Smaller pictures are learnt as small as they are.",
    )
    precision: Precision = Field(
        "bf16", title="Precision",
        description="How the base is held in memory while it learns. Lower ones need less memory; the LoRA itself is always exact. INT8 is also multiplied by as it is on NVIDIA cards from RTX 30 on.",
    )
    gradient_checkpointing: Annotated[Recomputing, BeforeValidator(recomputing)] = Field(
        "none", title="Save memory by recomputing",
        description="What is computed a second time instead of kept. Feed-forward layers: a tenth slower; all blocks: a third, and much less memory; what those keep can wait in the computer's own memory.",
    )
    streamed_blocks: int = Field(
        0, ge=0, le=200, title="Blocks in RAM",
        description="Up: so many blocks of the base stay in the computer's own memory until they are used; the card needs less, a step may take longer.",
    )
    record_steps: bool = Field(
        True, title="Record steps",
        description="On: an NVIDIA card records a step and repeats it by itself, so that a small base does not wait for the processor; what is learnt is the same. Off: less memory. Where a card cannot, it is said and each step is told to it anew.",
    )
    compile_blocks: bool = Field(
        False, title="Compile blocks",
        description="On: the base's blocks are compiled for your card, where Triton is installed. The first step takes up to a minute longer, the others may take less. Off: every step alike.",
    )
    flip: bool = Field(
        False, title="Mirror pictures", description="Also learn every picture mirrored. Good for few pictures; wrong for faces, lettering and logos.",
    )
    caption_dropout: float = Field(
        0.05, ge=0, le=1, title="Caption dropout", description="How often a picture is learnt without its caption, its trigger word included; 0.1 is one time in ten. Up: the look is tied less to the words.",
    )
    min_snr_gamma: float = Field(
        0, ge=0, le=20, title="Min-SNR", description="Balances coarse and fine steps; 5 is usual, 0 switches it off. Not used by flow models.",
    )
    noise_offset: float = Field(
        0, ge=0, le=0.5, title="Noise offset", description="Helps very dark or very bright pictures. Up: stronger contrasts; 0 switches it off.",
    )
    keep_back: bool = Field(
        True, title="Keep pictures back",
        description="On: of ten pictures or more, one in ten, at least two and at most ten, is not learnt, so that it shows when the others are learnt by heart. Off: all are learnt.",
    )
    train_text_encoder: bool = Field(
        False, title="Also train the text encoder", description="On: the trigger word can learn more, the file works in fewer programs.",
    )
    text_encoder_learning_rate: float = Field(
        0, ge=0, le=2, title="Text encoder's learning rate",
        description="Where the text encoder is trained: its own rate. Up: new words sit sooner, and known ones forget. 0 is half of the learning rate, as is usual.",
    )
    checkpoint_every: int = Field(
        100, ge=1, le=10_000, title="Checkpoint every", description="Steps between two states that a run can go on from.",
    )
    sample_every: int = Field(
        100, ge=0, le=10_000, title="Sample every", description="Steps between two sets of sample drawings. 0 draws them only before the first step and after the last.",
    )
    sample_resolution: int = Field(
        0, ge=0, le=2048, multiple_of=8, title="Size of samples",
        description="In pixels; 0 is as large as the pictures are learnt, and at most as the base is drawn. Down: less memory and time, what is learnt stays the same.",
    )
    sample_prompts: tuple[str, ...] = Field(
        (), max_length=8, title="Sample prompts", description="What the samples show, as many as take little time. Empty: chosen from your captions.",
    )
    seed: int = Field(
        1, ge=0, le=2**32 - 1, title="Seed", description="The same seed, pictures and settings give the same LoRA.",
    )

    @property
    def backwards(self) -> float:
        """How many passes forward and back a step makes, whose gradients are added up."""
        return self.accumulation * self.passes

    def warmup_in(self, steps: int) -> int:
        """Steps of the rise in a run of so many: those that are set, or a tenth of one that would be over before."""
        return self.warmup_steps if self.warmup_steps < steps else steps // 10

    def side_of_samples(self, usual: int) -> int:
        """Px of sample drawings: at most as large as it is trained, as wished, or as the base is `usual`ly drawn."""
        return min(self.resolution, usual, self.sample_resolution or usual)

    @property
    def up_ratio(self) -> float:
        """How many times the rate of lower halves upper ones learn at. Prodigy has one for all."""
        return 1.0 if self.optimizer == "prodigy" else self.lora_plus

    @property
    def text_rate(self) -> float:
        """Learning rate of text encoders that learn too; half of the other unless told, as kohya's guide has it
        (train_network_README: 5e-5 beside 1e-4). Prodigy has one for all."""
        if self.optimizer == "prodigy":
            return self.learning_rate
        return self.text_encoder_learning_rate or self.learning_rate / 2
    prediction: Prediction = Field("base", title="Prediction", description=_PREDICTION)


class StackEntry(Frozen):
    """One LoRA of the stack; `strength` is unitless, 1.0 = as trained."""

    lora: str = Field(title="LoRA", description="Path of the LoRA file.")
    strength: float = Field(1.0, ge=-2, le=2, title="Strength", description="How much of the LoRA is used. 0 is the base alone.")
    text_strength: float | None = Field(
        default=None, ge=-2, le=2, title="Text encoder", description="Strength in the text encoder; empty is the same as in the rest.",
    )
    down: float = Field(default=1.0, ge=-2, le=2, title="Down", description="Share of the strength in the first blocks of a U-Net, which lay out the whole.")
    middle: float = Field(default=1.0, ge=-2, le=2, title="Middle", description="Share of the strength in the middle block of a U-Net.")
    up: float = Field(default=1.0, ge=-2, le=2, title="Up", description="Share of the strength in the last blocks of a U-Net, which paint the detail.")


class DrawSettings(Frozen):
    """What to draw, and how."""

    prompt: str = Field("", max_length=4000, title="Prompt", description="What you want to see. Use the trigger words of your LoRAs; <lora:name:0.8> adds one.")
    negative_prompt: str = Field("", max_length=4000, title="Negative prompt", description="What you do not want to see.")
    stack: tuple[StackEntry, ...] = Field((), max_length=8, title="LoRAs", description="The LoRAs in use, each with its strength.")
    seed: int = Field(
        1, ge=-1, le=SEEDS - 1, title="Seed",
        description="The same seed and settings give the same drawing; -1 takes a new one. Seeds that differ by 4294967296 are alike.",
    )
    seeds: Seeds = Field(
        "walk", title="Seeds of several",
        description="Walk: each drawing has the next seed, or the next variation. Fixed: all have the same. Random: each a new one.",
    )
    variation: float = Field(
        0, ge=0, le=1, title="Variation", description="How far the noise goes towards that of the variation seed. Up: less alike; 0 is not at all, 1 all the way.",
    )
    variation_seed: int = Field(1, ge=0, le=SEEDS - 1, title="Variation seed", description="Where a variation goes to.")
    count: int = Field(1, ge=1, le=16, title="How many", description="How many drawings are made. Each has the next seed, unless 'Seeds of several' says otherwise.")
    width: int = Field(512, ge=64, le=2048, multiple_of=8, title="Width", description="In pixels.")
    height: int = Field(512, ge=64, le=2048, multiple_of=8, title="Height", description="In pixels.")
    steps: int = Field(25, ge=1, le=200, title="Steps", description="Up: cleaner and slower, with less and less difference.")
    guidance: float = Field(7.0, ge=0, le=30, title="Guidance", description="How closely the prompt is followed. Up: closer and harsher.")
    guidance_end: float = Field(
        1.0, ge=0, le=1, title="Guidance ends", description="After which share of the steps. Down: softer and quicker; at 1 every step is guided.",
    )
    sampler: Sampler = Field(
        "base", title="Sampler",
        description="How a drawing comes out of noise. As the base says is a good one; Euler a and the SDE ones change more from step to step, Heun and DPM2 take twice the time.",
    )
    schedule: Schedule = Field(
        "base", title="Noise schedule",
        description="How the noise is shared out over the steps. Karras gives fine detail more of few steps; not every sampler takes each.",
    )
    clip_skip: int = Field(
        1, ge=1, le=12, title="Clip skip",
        description="At which layer from the end the prompt is read off; 1 is the last. Some bases for drawn pictures want 2. Only Stable Diffusion 1.x knows it.",
    )
    picture: str = Field("", max_length=4000, title="Begin with", description="A picture to draw over. Empty: begin with noise.")
    mask: str = Field(
        "", max_length=4000, title="Mask", description="A picture, white where the other is drawn anew and black where it stays as it is.",
    )
    denoising: float = Field(
        0.75, ge=0, le=1, title="Denoising strength",
        description="How much of the picture is given up. Up: freer; 1 keeps nothing of it, 0 all of it.",
    )
    mask_blur: int = Field(
        4, ge=0, le=64, title="Mask blur", description="In pixels. Up: a softer edge between what is drawn anew and what is kept.",
    )
    upscale: float = Field(
        1.0, ge=1, le=4, title="Upscale", description="How many times larger the drawing becomes, in a second pass over its tiles. The time grows with its square.",
    )
    upscale_denoising: float = Field(
        0.35, gt=0, le=1, title="Upscale's denoising strength", description="How much that pass changes. Up: more new detail, and more that was not there.",
    )
    turns: bool = Field(
        False, title="Take turns", description="On: the LoRAs count one after the other, another at each step, and each alone. For LoRAs that get in each other's way.",
    )
    prediction: Prediction = Field("base", title="Prediction", description=_PREDICTION)
    mark: bool = Field(
        True, title="Say that it was made by a model",
        description="On: the file says, for search engines and picture agencies, that a trained model made it. Off: it does not; how it was made stands in the file all the same.",
    )


def check(settings: type[Settings], values: dict[str, Any]) -> Settings:
    """Make settings from `values`. Raises UserError naming the nearest known key, or SettingError for a wrong value."""
    for key in values:
        if key not in settings.model_fields:
            raise UserError(f"No setting is called {shown(key)}.", nearest(key, settings.model_fields))
    try:
        return settings(**values)
    except ValidationError as error:
        raise refused(settings, dict(error.errors(include_url=False)[0])) from None
