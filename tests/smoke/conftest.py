"""One Chromium for the tests of a module, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.page_scenes import CHROMIUM, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    with chromium() as browser:
        yield browser
