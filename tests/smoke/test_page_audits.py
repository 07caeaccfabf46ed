"""The page in Chromium: a hundred hostile texts stay texts; axe-core has nothing serious against any view."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import page_audits, page_payloads, page_scenes, page_specimens

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(page_scenes.CHROMIUM is None, reason="no chromium on the PATH")
AXE = os.environ.get("YANMO_AXE", "")
# Places that show all payloads at once; the others show parts of texts, or have room for some.
SOME = {"what was asked before": 20, "facts of a model": 20, "names of runs": 20, "other tokens": 20}


def test_what_models_and_files_say_never_becomes_html(tmp_path: Path) -> None:
    page_payloads.write_hostile_runs(tmp_path)
    models = page_payloads.hostile_models()
    with page_specimens.served(models, tmp_path) as url, page_scenes.chromium() as browser:
        witness = page_audits.hostile_page(browser, url)
    assert (witness.num_dialogs, witness.num_hits, witness.num_elements, witness.outside) == (0, 0, 0, [])
    assert len(set(page_payloads.PAYLOADS)) == 100
    assert len(witness.places) == 23
    for place, seen in witness.places.items():
        assert len(seen) >= SOME.get(place, 100), place


@pytest.mark.skipif(not AXE, reason="YANMO_AXE does not name an axe.min.js (npm install axe-core)")
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_has_nothing_serious_against_any_view(
    tmp_path: Path, language: str, theme: str, width: int
) -> None:
    page_specimens.write_runs(tmp_path)
    axe = page_audits.read_axe(Path(AXE))
    models = page_specimens.models()
    with (
        page_specimens.served(models, tmp_path) as url,
        page_scenes.chromium() as browser,
        page_scenes.page_of(browser, url, language=language, theme=theme, width=width) as page,
    ):
        for scene in page_scenes.SCENES:
            page_scenes.show(page, scene)
            assert page_audits.serious(page_audits.findings(page, axe)) == [], scene.name
            page_scenes.leave(page)
