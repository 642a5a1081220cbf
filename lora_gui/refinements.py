"""The settings of practised trainers, a part of those of a training: each off until asked for."""

from typing import Literal

from pydantic import Field

from lora_gui.few_pictures import Frozen

Adapter = Literal["lora", "lokr"]
KINDS: dict[str, str] = {"lora": "LoRA", "lokr": "LoKr"}
Loss = Literal["squared", "huber"]
HuberSchedule = Literal["constant", "exponential", "snr"]


class Refinements(Frozen):
    """Averages, dropout, rates of halves, limits and losses."""

    adapter: Adapter = Field(
        "lora", title="LoRA or LoKr",
        description="LoRA: read by every program. LoKr: a Kronecker product, whose file is a fraction as large and still changes all of each layer; it learns more slowly at the same rate, and fewer programs read it.",
    )
    lokr_factor: int = Field(
        8, ge=0, le=128, title="LoKr factor",
        description="Into how many parts each side of a layer is split. Up: a smaller file that holds less; 0 splits so that there are about as many parts as each is large, which is smallest. Not used by LoRAs.",
    )
    dora: bool = Field(
        False, title="DoRA",
        description="On: how large each output of a layer is, is learnt apart from its direction, which often learns more at low ranks. A step takes longer, and other programs draw it a little otherwise or not at all. Off: a plain LoRA.",
    )
    ema_decay: float = Field(
        0, ge=0, le=0.9999, title="Average of the weights (EMA)",
        description="What is saved and drawn is a running average of the weights and not the last ones, so that it hangs less on the last steps. 0.99 averages about a hundred steps; 0: the last weights.",
    )
    rank_dropout: float = Field(
        0, ge=0, le=0.9, title="Rank dropout",
        description="Share of the ranks that each step does without, others each time. Up: learns your pictures by heart later, and slower; 0.1 is usual.",
    )
    module_dropout: float = Field(
        0, ge=0, le=0.9, title="Layer dropout",
        description="Share of the layers whose LoRA each step does without, others each time. Up: what is learnt is spread over more layers; 0.1 is usual.",
    )
    lora_plus: float = Field(
        1, ge=1, le=64, title="LoRA+ ratio",
        description="How many times faster the upper half of each layer learns than the lower one. Up: learns faster and may break; 16 is the paper's, 1 is both alike. Prodigy has one rate for all.",
    )
    max_norm: float = Field(
        0, ge=0, le=100, title="Largest norm of a layer",
        description="After each step a layer that changes the base by more than this is scaled down to it, so that none stands out and LoRAs stack better; 1 is usual, 0 is no limit.",
    )
    loss: Loss = Field(
        "squared", title="Loss",
        description="Squared: large errors count most. Huber: they count less, so that a few odd pictures or spots spoil less.",
    )
    huber_c: float = Field(
        0.1, gt=0, le=1, title="Huber threshold", description="From which error on Huber loss counts it less. Down: more errors are taken for odd ones.",
    )
    huber_schedule: HuberSchedule = Field(
        "snr", title="Huber schedule",
        description="SNR and exponential: squared at clear steps, down to the threshold at noisy ones. Constant: the threshold everywhere.",
    )
    debiased: bool = Field(
        False, title="Debiased loss",
        description="On: noisy steps count more, by one over the root of the signal-to-noise ratio, in the place of min-SNR. Off: as the base or min-SNR has it. Not used by flow models.",
    )
