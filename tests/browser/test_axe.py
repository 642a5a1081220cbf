"""Every tab before axe-core, which is not among what is installed: `AXE_CORE` names its axe.min.js, or it is skipped.

npm pack axe-core && tar xzf axe-core-*.tgz package/axe.min.js
"""

import os
from pathlib import Path

import pytest

GIVEN = os.environ.get("AXE_CORE", "")
RUN = """axe.run(document).then(found => [found.passes.length, found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).slice(0, 4).join(' | ')}`)])"""
FOLDS = {"Generate": ("#begin", "#draw-details"), "Train": ("#details",), "Library": ("#bring",)}


@pytest.mark.skipif(not GIVEN, reason="AXE_CORE names no axe.min.js")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_in_any_tab(page, window, dark):
    page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
    page.add_style_tag(content="* { transition: none !important; }")
    page.evaluate(Path(GIVEN).read_text(encoding="utf-8"))
    for name in ("Train", "Generate", "Library", "Bases", "Runs"):
        page.get_by_role("tab", name=name).click()
        for fold in FOLDS.get(name, ()):
            page.locator(f"{fold} > button.label-wrap").click()
        page.wait_for_timeout(800)
        passed, found = page.evaluate(RUN)
        assert passed > 10 and found == [], (name, found)
