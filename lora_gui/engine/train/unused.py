"""Settings that were set and count for nothing in a run, each said in a sentence."""

from collections.abc import Callable, Iterator

from lora_gui.protocol.events import Note
from lora_gui.settings import TrainSettings

# field, whether it counts beside the others, why it does not
_NEEDS: tuple[tuple[str, Callable[[TrainSettings], bool], str], ...] = (
    ("restarts", lambda s: s.scheduler == "cosine_with_restarts", "the schedule has no restarts"),
    ("lokr_factor", lambda s: s.adapter == "lokr", "a LoRA is learnt and no LoKr"),
    ("huber_c", lambda s: s.loss == "huber", "the loss is squared"),
    ("huber_schedule", lambda s: s.loss == "huber", "the loss is squared"),
    ("unmasked_weight", lambda s: s.masked_loss, "masks are not learnt by"),
    ("class_weight", lambda s: bool(s.class_pictures), "there are no class pictures"),
    ("class_words", lambda s: bool(s.class_pictures or s.preservation), "nothing is learnt or held by them"),
    ("keep_first_tags", lambda s: bool(s.shuffle_tags or s.tag_dropout), "tags are neither shuffled nor left out"),
    ("text_encoder_learning_rate", lambda s: s.train_text_encoder, "the text encoder is not trained"),
)  # fmt: skip


def notes(settings: TrainSettings) -> Iterator[Note]:
    """What is not as it is without asking, and changes nothing here."""
    fields = TrainSettings.model_fields
    for name, counts, why in _NEEDS:
        if getattr(settings, name) != fields[name].default and not counts(settings):
            yield Note(f"The setting {fields[name].title} counts for nothing, since {why}.")
    if settings.up_ratio != settings.lora_plus:
        yield Note("Prodigy finds one rate for everything, so the LoRA+ ratio is not used.")
    own = settings.text_encoder_learning_rate
    if own and settings.train_text_encoder and settings.text_rate != own:
        yield Note("Prodigy finds one rate for everything, so the text encoder's own is not used.")
