"""What is being drawn and what waits behind it, as it is seen; knows no component."""

from collections.abc import Sequence

from lora_gui.studio.tasks.drawing import Waiting
from lora_gui.studio.tasks.drawing_status import DrawStatus
from lora_gui.ui.widgets import markup, thumbnails

_WAYS = {"earlier": "Draw {} earlier", "later": "Draw {} later", "remove": "Take {} out of the list"}


def preview(status: DrawStatus) -> str:
    """The drawing so far, and how far it is."""
    picture = thumbnails.inline(status.preview) if status.preview else ""
    image = f'<img src="{picture}" alt="The drawing so far">' if picture else '<div class="canvas"></div>'
    counting = f"Drawing {min(status.done + 1, status.of)} of {status.of}" if status.of > 1 else "Drawing"
    if status.phase and status.phase != "Drawing":
        in_parts = status.parts > 1
        parts = f"part {status.part + 1} of {status.parts}" if in_parts else ""
        return image + markup.bar(status.part / status.parts if in_parts else -1.0, status.phase, parts)
    share = (status.done + (status.step / status.steps if status.steps else 0)) / max(status.of, 1)
    words = "Starting" if status.state == "queued" else counting
    steps = f"step {status.step} of {status.steps}" if status.steps and not status.phase else ""
    return image + markup.bar(share if status.steps or status.done else -1.0, words, steps)


def behind(waiting: Sequence[Waiting]) -> str:
    """The orders behind the one in work, each to be moved or taken out; empty where there is none."""
    orders = waiting[1:]
    if not orders:
        return ""
    rows = "".join(_row(one, number, len(orders)) for number, one in enumerate(orders))
    return f'<p class="quiet">{markup.counted(len(orders), "order")} behind it</p><ol class="behind">{rows}</ol>'


def _row(order: Waiting, number: int, count: int) -> str:
    words = markup.text(order.prompt[:200])
    many = f'<span class="many">{order.of} drawings</span>' if order.of > 1 else ""
    off = {"earlier": number == 0, "later": number == count - 1}
    ways = "".join(
        f'<button type="button" class="way {act}" data-act="{act}" data-name="{markup.text(order.id)}" '
        f'aria-label="{label.format(words)}"{" disabled" if off.get(act) else ""}></button>'
        for act, label in _WAYS.items()
    )
    told = f'<span class="words" dir="auto" title="{words}">{words}</span>'  # where it is cut, it is so at its end
    return f'<li>{told}{many}<span class="ways">{ways}</span></li>'
