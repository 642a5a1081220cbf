"""What is said of a run's measures: of planted courses the right sentence, of a good one none."""

from lora_gui.protocol.events import Measured
from lora_gui.studio.tasks import learning


def course(*pairs, **pictures):
    """Measures every ten steps; the last one tells of each picture too."""
    found = [Measured(10 * n, learnt, unseen) for n, (learnt, unseen) in enumerate(pairs)]
    return [*found[:-1], Measured(found[-1].step, found[-1].learnt, found[-1].unseen, pictures)]


def test_of_a_run_that_came_nearer_to_all_pictures_nothing_is_said():
    assert learning.said(course((1, 1), (0.9, 0.92), (0.7, 0.85), (0.6, 0.84), a=0.6, b=0.7, c=0.5, d=0.6)) == ()
    assert learning.said(course((1, 1), (0.7, 0.71), (0.26, 0.9))) == ()  # as a good look does: it still draws better
    assert learning.said(course((1, 1), (0.9, 0.9), (0.68, 1.35))) == ()  # and a thing


def test_of_a_run_whose_unseen_pictures_turned_away_the_step_is_named():
    turned = course((1, 1), (0.8, 0.85), (0.6, 0.8), (0.4, 1.35))
    assert "nearest after step 20 and are 55 % further off now" in learning.said(turned)[0]
    assert learning.best_step(turned) == 20
    far = course((1, 1), (0.23, 1.04), (0.07, 1.68))  # ten times the steps of a character: by heart, and no damage
    assert "64 % further off now: it seems to know the others by heart" in learning.said(far)[0]
    assert not learning.damage(far) and not learning.damage(course((1, 1), (0.57, 1.16), (0.27, 1.95)))
    assert learning.damage(course((1, 1), (0.48, 1.68)))


def test_of_few_pictures_all_of_which_are_learnt_only_very_near_ones_are_known_by_heart():
    assert learning.said(course((1, None), (0.6, None))) == ()
    assert learning.said(course((1, None), (0.26, None))) == ()
    assert "by heart" in learning.said(course((1, None), (0.13, None)))[0]
    assert learning.best_step(course((1, None), (0.13, None))) == 0


def test_a_run_that_is_worse_than_the_base_had_too_high_a_rate():
    assert learning.said(course((1, 1), (1.2, 1.7)))[0].startswith("It is 70 % further")
    assert "learning rate" in learning.said(course((1, None), (1.6, None)))[0]


def test_pictures_that_taught_nothing_are_named_where_the_others_did():
    left = dict(zip((f"{n:04}.png" for n in range(8, 13)), (0.5, 0.6, 0.99, 0.5, 1.1), strict=True))
    much = course((1, 1), (0.6, 0.8), **left)
    nothing = "taught it next to nothing: look whether picture and caption belong to the others."
    assert learning.said(much, {"0010.png": "my cat.jpg", "0012.png": "b.png"}) == (f"my cat.jpg and b.png {nothing}",)
    assert learning.said(much) == (f"Picture 10 and Picture 12 {nothing}",)
    assert learning.said(course((1, 1), (0.95, 0.96), a=0.99, b=0.98, c=0.99, d=0.9)) == ()


def test_of_runs_without_measures_nothing_is_said():
    assert learning.said(()) == () == learning.said(course((1, 1)))
