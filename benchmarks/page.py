"""The page in Chromium: screenshots of every view, accessibility, and texts that must stay texts.

    python -m benchmarks page [--screenshots FOLDER] [--axe axe.min.js]

Both languages, both themes, 375 and 1280 pixels; models that need no weights say what is fixed
(``page_specimens``), or a hundred hostile texts (``page_payloads``). Screenshots are written where a folder
is named. axe-core comes from npm (``npm install axe-core``) and runs where its file is named. Ends with an
error where a script ran, another machine was asked, an element overflowed or axe-core found a serious fault.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.page_audits import findings, hostile_page, read_axe, serious, too_wide
from benchmarks.page_payloads import PAYLOADS, hostile_models, write_hostile_runs
from benchmarks.page_scenes import (
    CHROMIUM,
    LOCALES,
    SCENES,
    THEMES,
    WIDTHS,
    Browser,
    chromium,
    leave,
    page_of,
    show,
)
from benchmarks.page_specimens import models, served, write_runs


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks page")
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--axe", type=Path)
    arguments = parser.parse_args(sys.argv[2:])
    if CHROMIUM is None:
        sys.exit("no chromium on the PATH")
    with chromium() as browser:
        print(f"Chromium {browser.version}. {describe()}")
        problems = [*views(browser, arguments.screenshots, arguments.axe), *hostile(browser)]
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


def views(browser: Browser, screenshots: Path | None, axe_file: Path | None) -> list[str]:
    """Every view in every form; what is wrong with them."""
    axe = None if axe_file is None else read_axe(axe_file)
    if screenshots is not None:
        screenshots.mkdir(parents=True, exist_ok=True)
    problems, counted, num_pages = [], Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        write_runs(Path(folder))
        with served(models(), Path(folder)) as url:
            for language, theme, width in itertools.product(LOCALES, THEMES, WIDTHS):
                with page_of(browser, url, language=language, theme=theme, width=width) as page:
                    for scene in SCENES:
                        show(page, scene)
                        name = f"{scene.name}-{language}-{theme}-{width}"
                        num_pages += 1
                        if screenshots is not None:
                            page.screenshot(path=screenshots / f"{name}.png")
                        problems += [f"{name}: too wide: {one}" for one in too_wide(page)]
                        if axe is not None:
                            found = findings(page, axe)
                            counted.update(str(one["impact"]) for one in found)
                            problems += [f"{name}: {one}" for one in serious(found)]
                        leave(page)
    print(f"{num_pages} states of {len(SCENES)} scenes")
    if axe is not None:
        print(f"axe-core's violations: {dict(counted) or 'none'}")
    return problems


def hostile(browser: Browser) -> list[str]:
    """A hundred texts in every place where a text of others appears."""
    with tempfile.TemporaryDirectory() as folder:
        write_hostile_runs(Path(folder))
        with served(hostile_models(), Path(folder)) as url:
            witness = hostile_page(browser, url)
    shown = sum(len(seen) for seen in witness.places.values())
    print(
        f"{len(PAYLOADS)} hostile texts, {shown} times seen as text in {len(witness.places)} places: "
        f"{witness.num_hits} scripts run, {witness.num_dialogs} dialogs, {len(witness.outside)} requests to "
        f"other machines, {witness.num_elements} elements of theirs"
    )
    return [] if witness.is_clean else ["hostile texts were more than texts"]
