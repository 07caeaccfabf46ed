"""One made corpus and model for all tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_made import make_corpus, make_model


@pytest.fixture(scope="session")
def made_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="session")
def made_run(made_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "mine"
    make_model(made_corpus, run / "model")
    (run / "run.toml").write_text(f'corpus = "{made_corpus}"\n', encoding="utf-8")
    return run
