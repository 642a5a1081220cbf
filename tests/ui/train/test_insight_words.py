"""What a run learnt, as HTML: escaped, with a button for what can be pressed and none for what cannot."""

from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.studio.insight.at_work import Standing
from lora_gui.studio.insight.best import Best
from lora_gui.studio.insight.finding import Finding
from lora_gui.studio.insight.report import STOPPED, Report
from lora_gui.ui.train import insight_words
from lora_gui.ui.train.insight_words import Shown
from tests import tiny


def address(path):
    return f"/of/{path.name}"


def told(tmp_path, *findings, says="", best=None, steps=()):
    job = tiny.job(tmp_path, base=tmp_path / "base")
    return insight_words.told(Report(4, says, findings, best), job, tmp_path, steps, address)


def test_a_finding_is_a_picture_two_sentences_and_a_button_with_what_differs(tmp_path):
    finding = Finding("molten", "It <b>melts</b>.", "Slower.", "molten.png", {"learning_rate": 0.001})
    shown = told(tmp_path, finding)
    assert "/of/molten.png" in shown and "It &lt;b&gt;melts" in shown and "Slower." in shown
    assert 'data-act="mend" data-word="molten"' in shown and "Learning rate 0.001 instead of 0.01" in shown


def test_what_no_setting_mends_leads_to_the_captions_or_has_no_button(tmp_path):
    assert 'data-act="captions"' in told(tmp_path, Finding("bleed", "Everywhere.", "Captions."))
    assert "<button" not in told(tmp_path, Finding("too few", "Few.", "More."))


def test_a_good_run_has_one_sentence_and_the_best_step_can_be_kept(tmp_path):
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "sheet.png").touch()
    shown = told(tmp_path, says="It learnt well.", best=Best(4, 0.7, "Because."), steps=(2, 4))
    assert shown.count("It learnt well.") == 1 and "The last step at strength 0.7" in shown
    assert 'data-act="keep"' in shown and 'data-act="step" data-word="2"' in shown and "finding" not in shown


def test_the_hero_shows_the_first_prompt_and_a_strip_of_all_that_were_drawn():
    pairs = [Shown(f"a {name}", Path(f"{name}-base.png"), Path(f"{name}.png")) for name in ("fox", "cat", "lost")]
    shown = insight_words.hero(pairs, lambda path: "" if "lost" in path.name else address(path), address)
    assert shown.count("data-prompt") == 2 and shown.count('aria-pressed="true"') == 1 and "lost" not in shown
    assert "With your LoRA: a fox" in shown and 'data-learnt="/of/cat.png"' in shown
    assert "strip" not in insight_words.hero(pairs[:1], address, address)
    assert insight_words.hero([], address, address) == ""


def test_how_far_it_has_come_is_said_and_what_stopped_it_calmly():
    assert insight_words.stands(Standing()) == ""
    assert "Drawing 3 of 50" in insight_words.stands(Standing("run", 3, 50, goes_on=True))
    assert "Stopping" in insight_words.stands(Standing("run", 3, 50, goes_on=True, stopping=True))
    assert 'class="notice note"' in insight_words.stands(Standing("run", problem=STOPPED))
    assert "No." in insight_words.stands(Standing("run", problem=UserError("No.", "Yes.")))
