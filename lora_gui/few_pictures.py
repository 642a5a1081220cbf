"""The settings by which more is learnt from few pictures, a part of those of a training: each off until asked for."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

TimestepBias = Literal["balanced", "content", "style"]

HELD_EVERY = 2  # batches: the base is held beside each second one at twice the weight, which does as much for half


class Frozen(BaseModel):
    """Settings are values: what is unknown is refused, and a change makes new ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FewPictures(Frozen):
    """Masks, what holds the base, and variants of captions and pictures."""

    masked_loss: bool = Field(
        False, title="Learn by masks",
        description="On: of pictures that have a mask, such as fox-masklabel.png or masks/fox.png beside fox.png, what is white in it is learnt, and the rest hardly. Those without are learnt whole. Off: masks are not looked at.",
    )
    unmasked_weight: float = Field(
        0.1, ge=0, le=1, title="Outside of masks",
        description="Where masks are learnt by: how much the rest of a picture counts. Up: backgrounds come along; 0 gives the LoRA no hold there, and it may break.",
    )
    class_words: str = Field(
        "", max_length=200, title="Words of the class",
        description="What you teach is one of, without the trigger word, such as: a woman. For class pictures, and for what the base is held to.",
    )
    class_pictures: int = Field(
        0, ge=0, le=500, title="Class pictures",
        description="So many pictures of the class are drawn by the base before it learns, and learnt beside yours, so that your trigger does not change all others. 50 to 200 are usual; each step takes twice as long. 0: none.",
    )
    class_weight: float = Field(
        1.0, ge=0, le=10, title="Weight of class pictures", description="How much they count beside yours. Up: the class stays as it was, yours is learnt slower.",
    )
    preservation: float = Field(
        0, ge=0, le=10, title="Hold the base",
        description="How strongly the base is held to what it predicts without the trigger word: with no words, or with those of the class. Cures a trigger that changes every face; 1 is usual, each step takes two thirds longer. 0: not at all.",
    )
    caption_lines: bool = Field(
        False, title="Each line is a caption",
        description="On: of a caption file with several lines one is taken at a time. Off: the lines are one caption.",
    )
    shuffle_tags: bool = Field(
        False, title="Shuffle tags",
        description="On: what commas part in a caption comes in another order each time, so that no word counts for its place. Good for tags, wrong for sentences; the trigger word stays first.",
    )
    keep_first_tags: int = Field(
        0, ge=0, le=50, title="Keep first tags", description="So many tags behind the trigger word keep their place and are never left out.",
    )
    tag_dropout: float = Field(
        0, ge=0, le=1, title="Tag dropout",
        description="Share of tags that are left out each time. Up: what is learnt hangs less on single tags; 0 leaves none out.",
    )
    further_resolutions: tuple[Annotated[int, Field(ge=64, le=2048)], ...] = Field(
        (), max_length=4, title="Further resolutions",
        description="Smaller sizes in pixels at which each picture is learnt as well, such as 512 beside 768, so that what is learnt holds in small and large drawings. Empty: none.",
    )
    moved_views: int = Field(
        0, ge=0, le=31, title="Moved views",
        description="So many times more is each picture learnt, each time moved by a few pixels. Up to 7: bold lines come out cleaner, soft shading less; the start takes as many times longer. Pixel art stays on its grid. 0: none.",
    )
    timestep_bias: TimestepBias = Field(
        "balanced", title="Noise learnt more often",
        description="Content: noisy steps, in which shapes and layout settle. Style: clear ones, in which line, colour and texture do. Balanced: as the base was made.",
    )

    learn_below: float = Field(
        1, ge=0.1, le=1, title="Learn below",
        description="The share of the noise up to which the pictures are learnt, such as 0.9. Down: more of the layout, which settles first, stays as the base has it, most so where the base is held; less of the look comes out. 1: all.",
    )

    @property
    def evenly(self) -> Self:
        """The same settings, over all noise levels alike, whichever are learnt more often or not at all."""
        return self.model_copy(update={"timestep_bias": "balanced", "learn_below": 1.0})

    @property
    def passes(self) -> float:
        """What a step costs, in passes forward and back through its own pictures; a forward alone is a third of one."""
        return 1 + bool(self.class_pictures) + (4 / 3 / HELD_EVERY if self.preservation else 0)
