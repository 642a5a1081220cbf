"""The loss of a run as small drawings of lines: each value faint, their smoothed course in the accent colour."""

from collections.abc import Sequence
from itertools import pairwise

from lora_gui.protocol.events import Measured

WIDTH, HEIGHT, EDGE = 480, 150, 6
LEAST = 0.05  # that a plot of relative losses is high at least: less looks like nothing, and mostly is
MEMORY = 0.9  # share of the old value that stays in the smoothed one


def smoothed(values: Sequence[float], memory: float = MEMORY) -> list[float]:
    """Exponential mean, started without pull towards zero (the bias correction of Adam)."""
    mean, weight, found = 0.0, 0.0, []
    for value in values:
        mean = memory * mean + (1 - memory) * value
        weight = memory * weight + (1 - memory)
        found.append(mean / weight)
    return found


def loss_plot(losses: Sequence[tuple[int, float]], of: int, ended: bool = False) -> str:
    """An SVG `of` steps wide; says so where there is nothing to show yet."""
    if len(losses) < 2:
        words = "No loss so far." if ended else "The loss appears here after the first steps."
        return f'<div class="plot empty"><p class="quiet">{words}</p></div>'
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    course = smoothed(values)
    low, high = _range(values)
    raw, line = _points(steps, values, of, low, high), _points(steps, course, of, low, high)
    return (
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Loss, now {course[-1]:.3f}"><polyline class="raw" points="{raw}"/>'
        f'<polyline class="course" points="{line}"/></svg>'
        f'<div class="ends"><span>Loss {course[-1]:.3f}</span><span>lower is closer to your pictures</span></div></div>'
    )


def learning_plot(measured: Sequence[Measured], of: int) -> str:
    """Losses at fixed noise over those of the base: of pictures that are learnt, and of ones kept back, shaded between
    where these are further off."""
    both = [(one.step, one.learnt, one.unseen) for one in measured if one.unseen is not None]
    if len(both) < 2:
        return ""
    steps, learnt, unseen = map(list, zip(*both, strict=True))
    low, high = _range([*learnt, *unseen])
    low = min(low, high - LEAST)
    near, far = _points(steps, learnt, of, low, high), _points(steps, unseen, of, low, high)
    gap, words = "", ""
    if any(one > other for one, other in zip(unseen, learnt, strict=True)):
        gap = f'<polygon class="gap" points="{_between(both, of, low, high)}"/>'
        words = "the gap: what is known by heart"
    told = f"Learnt pictures {_nearer(learnt[-1])}, pictures kept back {_nearer(unseen[-1])}"
    return (
        f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{told}">{gap}<polyline class="course" points="{near}"/>'
        f'<polyline class="unseen" points="{far}"/></svg>'
        f'<div class="ends"><span>{told}</span><span>{words}</span></div></div>'
    )


def _between(both: Sequence[tuple[float, float, float]], of: int, low: float, high: float) -> str:
    """The outline of the gap from the learnt to the unseen, which has no height where the unseen are nearer."""
    corners = [both[0]]
    for (step, learnt, unseen), after in pairwise(both):
        gap, then = unseen - learnt, after[2] - after[1]
        if gap * then < 0:
            share = gap / (gap - then)  # of the way to where the two lines cross
            meet = learnt + share * (after[1] - learnt)
            corners.append((step + share * (after[0] - step), meet, meet))
        corners.append(after)
    steps, learnts = [step for step, _, _ in corners], [learnt for _, learnt, _ in corners]
    near = _points(steps, learnts, of, low, high)
    far = _points(steps, [max(learnt, unseen) for _, learnt, unseen in corners], of, low, high)
    return f"{near} {' '.join(reversed(far.split()))}"


def _nearer(relative: float) -> str:
    share = round(100 * (1 - relative))
    return f"{share} % nearer" if share >= 0 else f"{-share} % further off"


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Without the outliers of the first steps, which would press all else flat."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(len(ordered) * 0.98))]
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _points(steps: Sequence[float], values: Sequence[float], of: int, low: float, high: float) -> str:
    last = max(of, steps[-1], 1)
    across = [EDGE + (WIDTH - 2 * EDGE) * step / last for step in steps]
    down = [EDGE + (HEIGHT - 2 * EDGE) * (1 - min(max((v - low) / (high - low), 0), 1)) for v in values]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
