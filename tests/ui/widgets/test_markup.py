"""The pieces of HTML: what strangers wrote stays text."""

import re

import pytest

from lora_gui.protocol.events import Measured, Sample
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.plot import learning_plot, loss_plot, smoothed

EVIL = "<img src=x onerror=alert(1)> ${alert(1)} {{value}} `x` \"'"


@pytest.mark.parametrize(
    "piece",
    [
        markup.notice(EVIL, EVIL),
        markup.sentences(EVIL, [EVIL]),
        markup.verdict([EVIL], "good", EVIL),
        markup.bar(0.5, EVIL, EVIL),
        markup.learn(EVIL, EVIL),
        markup.sample_grid([Sample(1, "1.png", EVIL, 1)], lambda path: "/x"),
    ],
)
def test_no_text_becomes_a_tag_an_attribute_or_a_template(piece):
    assert "<img src=x" not in piece
    assert "${" not in piece and "{{" not in piece and "`" not in piece
    assert "\"'" not in piece


def test_samples_stand_in_a_row_for_each_step_the_newest_first_and_the_base_last():
    samples = [Sample(step, f"{step}.png", "a fox", 1) for step in (0, 50, 100, 100)]
    piece = markup.sample_grid(samples, str)
    assert piece.index("Step 100") < piece.index("Step 50") < piece.index("Before")
    assert piece.count("<img") == 3


def test_an_unknown_share_has_no_value_and_a_known_one_is_kept_between_nothing_and_all():
    assert "aria-valuenow" not in markup.bar(-1, "Starting", "")
    assert 'aria-valuenow="100"' in markup.bar(1.7, "Step", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2, "about 5 seconds"),
        (33, "about 35 seconds"),
        (70, "about a minute"),
        (600, "about 10 minutes"),
        (9000, "about 2.5 hours"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert markup.duration(seconds) == words


def test_smoothing_starts_at_the_first_value_and_follows_slowly():
    course = smoothed([1.0, 1.0, 0.0], memory=0.9)
    assert course[0] == pytest.approx(1) and 0.5 < course[2] < 1


def test_the_plot_says_so_while_there_is_nothing_to_plot_and_survives_equal_values():
    assert "first steps" in loss_plot([], 100)
    assert "<polyline" in loss_plot([(1, 0.5), (2, 0.5)], 100)


def test_the_gap_is_shaded_where_the_kept_back_pictures_are_further_off_and_nowhere_else():
    def plot(*both):
        measured = [Measured(step, learnt, unseen) for step, (learnt, unseen) in enumerate(both)]
        return learning_plot(measured, 2)

    nearer = plot((1.0, 1.0), (0.9, 0.8))
    assert "known by heart" not in nearer and "<polygon" not in nearer and 'class="unseen"' in nearer
    crossed = plot((1.0, 1.0), (0.9, 0.8), (0.7, 0.8))
    assert "known by heart" in crossed
    (outline,) = re.findall('<polygon class="gap" points="([^"]*)"', crossed)
    points = outline.split()
    near, far = points[:4], points[4:][::-1]
    assert near[:3] == far[:3] and near[3] != far[3], "no height before the lines cross"
    (begun,) = re.findall('<polyline class="course" points="[^ ]* [^,]*,([^"]*)"', plot((1.0, 1.0), (0.998, 0.999)))
    assert float(begun) < 30, "a difference that rounds to nothing does not fill the plot"
