"""The page of `yanmo runs --live` in Chromium: curves come from the runs' files, whatever is restarted."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yanmo.serving.site import live_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect


@pytest.fixture
def page(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    context = browser.new_context(locale="en-US", viewport={"width": 1200, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def append(run: Path, kind: str, step: int, **values: Any) -> None:
    row = {"kind": kind, "step": step, "tokens": step * 10, "elapsed_s": step / 4, **values}
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def make_run(folder: Path, seed: int, *, measure: str = "bits_per_byte") -> Path:
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text(f"seed = {seed}\n")
    chosen = {"num_steps": 100, "batch_tokens": 10, "predicted_s": 25.0, "predicted_bits_per_byte": 1.2}
    plan = {"training_s": 25.0, "chosen": chosen | {"interval": [1.1, 1.3]}}
    (folder / "plan.json").write_text(json.dumps(plan))
    for step in range(1, 41):
        loss = {"loss_nats": 2 + 3 / step, "bits_per_byte": 1 + 3 / step}
        append(folder, "train", step, **loss, lr_factor=0.5, grad_norm=1.0, tokens_per_s=40.0)
        if step % 10 == 0:
            append(folder, "valid", step, loss_nats=2 + 3 / step, **{measure: 1 / step})
    append(folder, "sample", 40, text="墨 <b>&amp;")
    # This very process is alive, so the run is a running one.
    (folder / ".lock").write_text(str(os.getpid()))
    return folder


def path_of(page: sync_api.Page, chart: str = "chart") -> str:
    return str(page.locator(f"#{chart} path.curve").last.get_attribute("d"))


def test_curves_survive_a_reload_and_a_restart_of_the_server(page: sync_api.Page, tmp_path: Path) -> None:
    run, port = make_run(tmp_path / "runs" / "one", 0), free_port()
    with live_page([tmp_path / "runs"], port=port) as url:
        page.goto(url)
        expect(page.locator("#chart path.curve")).to_have_count(2)
        expect(page.locator("#chart-lr_factor path.curve, #chart-grad_norm path.curve")).to_have_count(2)
        expect(page.locator("#view-chat")).to_be_hidden()
        expect(page.locator("[data-view=chat]")).to_be_hidden()
        drawn = path_of(page)
        page.reload()
        expect(page.locator("#chart path.curve")).to_have_count(2)
        assert path_of(page) == drawn
    # The open page says that the server is gone, and goes on by itself when it is back.
    expect(page.locator("#banner")).to_be_visible(timeout=10_000)
    append(run, "valid", 50, loss_nats=2.0, bits_per_byte=0.75)
    with live_page([tmp_path / "runs"], port=port):
        expect(page.locator("#runs-table")).to_contain_text("0.025", timeout=10_000)
        expect(page.locator("#banner")).to_be_hidden()
        assert path_of(page) != drawn
        expect(page.locator("#sample-list")).to_contain_text("墨 <b>&amp;")


def test_progress_plan_and_incidents_are_shown(page: sync_api.Page, tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", 0)
    append(run, "skipped", 40, reason="spike")
    append(run, "rollback", 40, from_step=44)
    with live_page([run]) as url:
        page.goto(url)
        expect(page.locator("#runs-table .progress")).to_contain_text("40% · 15s left")
        expect(page.locator("#chart .end .interval")).to_have_count(1)
        expect(page.locator("#chart .incident")).to_have_count(2)
        expect(page.locator("#chart .incident.rollback title")).to_have_text("one: gone back to step 40")
        expect(page.locator("#outcome-table")).to_contain_text("1.200 [1.100, 1.300]")
        expect(page.locator("#differences")).to_be_hidden()


def test_runs_are_overlaid_and_told_apart(page: sync_api.Page, tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "a", 0), make_run(tmp_path / "b", 1, measure="masked_accuracy")]
    with live_page(folders) as url:
        page.goto(url)
        expect(page.locator("#difference-tables")).to_contain_text("seed")
        expect(page.locator("#chart path.curve.tone-1")).to_have_count(1)
        page.get_by_role("button", name="Masked tokens guessed").click()
        expect(page.locator("#chart path.curve")).to_have_count(1)
        page.get_by_role("button", name="Steps").click()
        expect(page.locator("#chart .axes")).to_contain_text("40")
        page.get_by_label("Show b").uncheck()
        expect(page.locator("#differences")).to_be_hidden()
        expect(page.get_by_role("button", name="Masked tokens guessed")).to_have_count(0)
