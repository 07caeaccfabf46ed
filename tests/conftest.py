"""Makes the modules beside this file importable from every test folder.

``--family-table PATH`` writes what the tests of families of checkpoints saw, as a table.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

# A shell that starts the tests in the background lets them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--family-table", type=Path, help="write what the tests of families saw, as Markdown")


def pytest_sessionfinish(session: pytest.Session) -> None:
    path, checks = session.config.getoption("--family-table"), sys.modules.get("family_checks")
    if path is not None and checks is not None:
        checks.write_table(path)
