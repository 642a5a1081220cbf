"""What the draft of a training comes to: its base, its pictures, its settings, in words; knows no component."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.capacity import fit, gpu
from lora_gui.studio.capacity.estimate import estimate, measured
from lora_gui.studio.library import scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import framings, masks, names, pictures, presets, triggers
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.widgets import base_list, form, markup

ALL_IT_NEEDS = "Pictures, what you are making and a trigger word: that is all it needs."
WHY_TRIGGER = "A made-up word that calls your LoRA in a prompt, such as zxy_style."


@dataclass(frozen=True)
class Planned:
    """`wrong` is what is the matter with each setting that cannot be used; the others count without them."""

    preset: str
    base: Base
    settings: TrainSettings
    wrong: dict[str, SettingError]


def chosen_preset(studio: Studio, draft: TrainDraft) -> str:
    known = presets.presets(studio)
    return draft.preset if draft.preset in known else next(iter(known), "")


def chosen_base(studio: Studio, draft: TrainDraft) -> Base:
    """The base of the draft, or the first there is. Raises UserError where there is none."""
    return base_list.chosen(studio, draft.base)


def chosen_pictures(studio: Studio, draft: TrainDraft) -> pictures.PictureSet | None:
    """The pictures of the draft; None where none were chosen, or where they were deleted since."""
    found = _loaded(studio, draft)
    return None if isinstance(found, UserError) else found


def lost_pictures(studio: Studio, draft: TrainDraft) -> str:
    """Why pictures that were chosen are not there, in sentences; else empty."""
    found = _loaded(studio, draft)
    return f"{found.what} {found.remedy}" if isinstance(found, UserError) else ""


def _loaded(studio: Studio, draft: TrainDraft) -> pictures.PictureSet | UserError | None:
    if not draft.folder:
        return None
    try:
        return pictures.load(studio.pictures / Path(draft.folder).name)
    except UserError as error:
        return error


def gone() -> UserError:
    """What is pressed is of pictures that are not chosen any more."""
    return UserError("These pictures are not in the window any more.", "Choose them again.")


def planned(studio: Studio, draft: TrainDraft, count: int) -> Planned:
    """Field default < family < preset < the user's hand, for so many pictures.

    Raises UserError where no base or preset can be used.
    """
    preset, base = chosen_preset(studio, draft), chosen_base(studio, draft)
    hand, wrong = form.usable(draft.hand)
    while True:
        try:
            settings = presets.fill(studio, preset, base, max(count, 1), hand, gpu.memory())
            return Planned(preset, base, settings, wrong)
        except SettingError as error:  # possible by itself, but not beside the others
            if error.setting not in hand:
                raise
            wrong[error.setting] = error
            del hand[error.setting]


def job(studio: Studio, draft: TrainDraft) -> TrainJob:
    """The draft as it is handed over to be trained. Raises UserError naming what is missing or wrong."""
    found = chosen_pictures(studio, draft)
    chosen = found.pictures if found else ()
    plan = planned(studio, draft, len(chosen))
    if chosen:
        judged(studio, draft, None, plan.base)
        for error in wrong_name(draft).values():
            raise error
    name = draft.name.strip() or names.safe_name(draft.trigger)
    made = runs.new_job(studio, name, draft.trigger, plan.preset, plan.base, chosen, plan.settings)
    for error in plan.wrong.values():
        raise error
    return made.model_copy(update={"begin_from": begin_from(studio, draft)})


def begin_from(studio: Studio, draft: TrainDraft) -> str:
    """Where the LoRA lies now that the draft trains further; empty where it begins anew. Raises UserError if gone."""
    path = draft.begin_from
    if path and not os.path.isfile(path):
        path = scan.now_at(studio, path)
        if not path:
            name = Path(draft.begin_from).stem
            raise UserError(f"{name}, which this goes on from, is not among your LoRAs any more.", "Begin anew.")
    return path


def wrong_name(draft: TrainDraft) -> dict[str, SettingError]:
    """What is the matter with the name, by its field; an empty one is the trigger word."""
    try:
        names.check_name(draft.name if draft.name.strip() else "lora")
    except UserError as error:
        return {"name": SettingError(error.what, error.remedy, "name", names.safe_name(draft.name))}
    return {}


def judged(
    studio: Studio, draft: TrainDraft, found: pictures.PictureSet | None, base: Base | None
) -> triggers.Verdict:
    """The trigger word for this base, these pictures and the LoRAs that are there, but for the one that is trained
    further, whose word it keeps. Raises SettingError as `judge`."""
    captions = [picture.caption for picture in found.pictures] if found else []
    taken = scan.triggers(studio)
    for lora in scan.usable(studio) if draft.begin_from else ():
        if lora.path.name == Path(draft.begin_from).name:  # which may be the copy in a run's folder
            taken.pop(lora.trigger, None)
    return triggers.judge(draft.trigger, base, captions, taken)


def differs(studio: Studio, job: TrainJob) -> dict[str, tuple[Any, Any]]:
    """Settings of a run that are not as its preset fills them in now: each as (the preset's, the run's).

    Raises UserError where the preset is gone.
    """
    plain = presets.fill(studio, job.preset, job.base, len(job.pictures), card=gpu.memory())
    pairs = {name: (getattr(plain, name), getattr(job.settings, name)) for name in TrainSettings.model_fields}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def draft_of(studio: Studio, job: TrainJob) -> TrainDraft:
    """What would have to be chosen to train the same once more; its note says where the pictures are gone."""
    try:
        found = {name: value for name, (_, value) in differs(studio, job).items()}
    except UserError:  # the preset is gone: every setting counts
        found = job.settings.model_dump()
    hand = {name: form.as_typed(value) for name, value in found.items()}
    folder = Path(job.pictures[0].path).parent.name if job.pictures else ""
    name = "" if job.name == names.safe_name(job.trigger) else job.name
    draft = TrainDraft(job.preset, job.base.key, folder, job.trigger, name, hand, begin_from=job.begin_from)
    if chosen_pictures(studio, draft):
        return draft
    return replace(draft, folder="", note=f"The pictures of {job.name} are not in your studio any more.")


def in_words(studio: Studio, plan: Planned, found: pictures.PictureSet | None) -> str:
    """What Start will do, in two lines: the pictures with their captions; steps, time, memory and the base."""
    if not found or not found.pictures:
        return markup.quiet(ALL_IT_NEEDS)
    counted = f'<p class="quiet" data-count>{markup.text(tally(found))}</p>'  # which the desk keeps true
    if masked := masks.unused(found, plan.settings):
        counted += markup.quiet(masked)
    if plan.wrong:  # what the preset would take is not what was asked for
        first, *more = plan.wrong.values()
        what = f"{1 + len(more)} settings are wrong. Mend them" if more else f"{first.what} Mend it"
        return counted + markup.quiet(f"{what} in Details to see how long this takes.")
    known = measured(studio, plan.settings, plan.base)
    minutes = estimate(studio, plan.settings, plan.base) if known is None else known
    time = markup.duration(minutes * 60) if minutes is not None else "time known after the first steps"
    if minutes is not None and known is None:
        time += " with nothing else running"
    steps = markup.counted(plan.settings.steps, "step")
    memory = "" if fit.is_large(plan.base) else ", fits in memory"  # else with a card the bar below tells of it
    return counted + markup.quiet(f"{steps}, {time}{memory}, on {plan.base.title}")


def tally(found: pictures.PictureSet) -> str:
    """`24 pictures, all with captions`."""
    count, captioned = len(found.pictures), sum(bool(one.caption) for one in found.pictures)
    many = "all" if captioned == count else str(captioned) if captioned else "none"
    return f"{markup.counted(count, 'picture')}, {many} with {'a caption' if captioned == 1 < count else 'captions'}"


def sizes(found: pictures.PictureSet | None, plan: Planned) -> str:
    """What of the pictures is cropped and enlarged, in a sentence that unfolds to each of them."""
    if not found:
        return ""
    each = framings.framed(framings.sizes(found.pictures), plan.base.family, plan.settings)
    return markup.sentences(framings.sentence(each, plan.settings.resolution), framings.lines(each), folded=True)


def verdict(studio: Studio, draft: TrainDraft, found: pictures.PictureSet | None, base: Base | None) -> str:
    """A verdict on the trigger word while it is typed; a first letter is not yet a mistake."""
    if len(draft.trigger.strip()) < 2:
        return markup.quiet(WHY_TRIGGER)
    try:
        said = judged(studio, draft, found, base)
    except SettingError as error:
        return markup.verdict((error.what, error.remedy), "doubtful", error.instead)
    return markup.verdict(said.sentences, said.kind, said.suggestion)
