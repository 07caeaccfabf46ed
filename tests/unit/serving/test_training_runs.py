"""Training runs as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.training_runs import MOST_ROWS, thin


def client(folder: Path) -> TestClient:
    return TestClient(create_app(Catalog([fake_model()]), runs_dir=folder), base_url="http://localhost")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "研墨 1"
    run.mkdir(parents=True)
    rows = [
        {"kind": "train", "step": step, "tokens": step * 10, "elapsed_s": step, "loss_nats": 5 / step}
        | {"bits_per_byte": float("nan") if step == 1 else 2.0, "grad_norm": 1.0}
        for step in range(1, 2001)
    ]
    rows.append({"kind": "valid", "step": 2000, "tokens": 20000, "elapsed_s": 2000, "bits_per_byte": 1.5})
    rows.append({"kind": "sample", "step": 2000, "text": "<script>"})
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    (run / "result.json").write_text('{"bits_per_byte": 1.4, "baseline_bits_per_byte": 1.9, "steps": 2000}')
    return tmp_path / "runs"


def test_list(folder: Path) -> None:
    (only,) = client(folder).get("/api/runs").json()["data"]
    assert (only["name"], only["state"]) == ("研墨 1", "done")
    assert (only["bits_per_byte"], only["baseline_bits_per_byte"]) == (1.4, 1.9)


def test_no_folder_yet_is_an_empty_list(tmp_path: Path) -> None:
    assert client(tmp_path / "none").get("/api/runs").json() == {"object": "list", "data": []}


def test_metrics_are_thinned_and_finite(folder: Path) -> None:
    metrics = client(folder).get("/api/runs/研墨 1/metrics").json()
    assert len(metrics["train"]) == MOST_ROWS
    assert metrics["train"][0]["bits_per_byte"] is None
    assert (metrics["train"][0]["step"], metrics["train"][-1]["step"]) == (1, 2000)
    assert "grad_norm" not in metrics["train"][0]
    assert metrics["valid"][0]["bits_per_byte"] == 1.5
    assert metrics["sample"] == [{"step": 2000, "text": "<script>"}]


@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", "..%2f..", "."])
def test_only_runs_can_be_read(folder: Path, name: str) -> None:
    answer = client(folder).get(f"/api/runs/{name}/metrics")
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_thinning_keeps_order_and_ends() -> None:
    rows = [{"step": step} for step in range(1001)]
    kept = [row["step"] for row in thin(rows, most=11)]
    assert kept == list(range(0, 1001, 100))
    assert thin(rows[:5], most=11) == rows[:5]
