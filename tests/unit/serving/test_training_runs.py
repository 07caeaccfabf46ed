"""Training runs as JSON."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from serving_fakes import fake_model
from starlette.testclient import TestClient

from yanmo.serving.app import create_app
from yanmo.serving.catalog import Catalog
from yanmo.serving.site import live_page
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
    train = metrics["train"]
    assert {len(column) for column in train.values()} == {MOST_ROWS}
    assert train["bits_per_byte"][0] == 2.0  # of its group; the first row's NaN counts for nothing
    assert (train["step"][0], train["step"][-1]) == (1, 2000)
    assert train["lr_factor"][0] is None
    assert train["grad_norm"][0] == 1.0
    assert metrics["valid"] == {
        "step": [2000],
        "tokens": [20000],
        "elapsed_s": [2000],
        "bits_per_byte": [1.5],
    }
    assert metrics["sample"] == [{"step": 2000, "text": "<script>"}]
    assert (metrics["incidents"], metrics["predicted"], metrics["outcome"]) == ([], None, [])


def test_what_the_loop_left_out_has_its_place(folder: Path) -> None:
    with (folder / "研墨 1" / "metrics.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"kind": "skipped", "step": 7, "reason": "spike"}))
        file.write("\n" + json.dumps({"kind": "rollback", "step": 100}) + "\n")
    metrics = client(folder).get("/api/runs/研墨 1/metrics").json()
    assert metrics["incidents"] == [
        {"kind": "skipped", "step": 7, "tokens": 70, "elapsed_s": 7},
        {"kind": "rollback", "step": 100, "tokens": 1000, "elapsed_s": 100},
    ]


def test_the_predicted_end_and_plan_beside_outcome(folder: Path) -> None:
    chosen = {"num_steps": 2000, "batch_tokens": 10, "predicted_s": 1800, "predicted_bits_per_byte": 1.5}
    plan = {"training_s": None, "chosen": chosen | {"interval": [1.4, 1.6]}}
    (folder / "研墨 1" / "plan.json").write_text(json.dumps(plan))
    metrics = client(folder).get("/api/runs/研墨 1/metrics").json()
    assert metrics["predicted"] == {
        "step": 2000,
        "tokens": 20000,
        "elapsed_s": 1800,
        "value": 1.5,
        "low": 1.4,
        "high": 1.6,
    }
    bits = next(row for row in metrics["outcome"] if row["name"]["en"] == "bits per byte, validation text")
    assert (bits["expected"], bits["value"]) == ("1.500 [1.400, 1.600]", "1.500")
    assert bits["note"] == {"en": "inside the interval", "zh": "在区间内"}


def test_runs_are_compared(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "run.toml").write_text("seed = 1\n")
    answer = client(folder).get("/api/comparison", params={"run": ["研墨 1", "other"]}).json()
    assert answer["names"] == ["研墨 1", "other"]
    assert answer["settings"] == [{"name": "seed", "values": [None, 1]}]
    assert client(folder).get("/api/comparison", params={"run": ["none"]}).status_code == 404
    assert client(folder).get("/api/comparison", params={"run": ["other"] * 13}).status_code == 400


def test_the_page_alone_needs_no_model(folder: Path) -> None:
    with live_page([folder]) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}api/runs") as answer:
            assert json.load(answer)["data"][0]["name"] == "研墨 1"
        with urllib.request.urlopen(f"{url}v1/models") as answer:
            assert json.load(answer)["data"] == []
    with pytest.raises(OSError):
        urllib.request.urlopen(f"{url}api/runs", timeout=2)


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
