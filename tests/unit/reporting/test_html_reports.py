"""Reports as single files: complete, self-contained, in two languages, and whole on missing parts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from yanmo.reporting.corpus_report import corpus_report, write_corpus_report
from yanmo.reporting.html import run_report, write_run_report
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.runs import RunRecord, read_run
from yanmo.reporting.sections import forgetting, outcome, samples, verdict

_VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """Checks that elements close in order; gathers words by language, and what is loaded from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str | None]] = []
        self.words: dict[str | None, list[str]] = {"en": [], "zh": [], None: []}
        self.loaded: list[str] = []
        self.identifiers: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [str(values[key]) for key in ("src", "href") if key in values]
        self.loaded += [tag] if tag in {"script", "link", "iframe", "img"} else []
        self.identifiers += [str(values["id"])] if "id" in values else []
        if tag not in _VOID:
            self.open.append((tag, values.get("lang")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        language = next((lang for tag, lang in reversed(self.open) if lang and tag != "html"), None)
        if data.strip() and not any(tag == "style" for tag, _ in self.open):
            self.words[language].append(data.strip())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my run"
    folder.mkdir()
    log = MetricsLog(folder / "metrics.jsonl")
    for step in range(1, 41):
        row = {"step": step, "tokens": step * 1000, "elapsed_s": step * 5.0, "bits_per_byte": 2 + 5 / step}
        log.append(
            {"kind": "train", **row, "lr_factor": step / 40, "grad_norm": 1.0, "tokens_per_s": 200.0 + step}
        )
        if step % 10 == 0:
            log.append({"kind": "valid", **row})
            log.append({"kind": "sample", "step": step, "text": f"<script>alert({step})</script> 墨"})
    chosen = {
        "num_parameters": 1_000_000,
        "num_layers": 4,
        "batch_tokens": 1000,
        "num_steps": 40,
        "predicted_s": 100,
        "predicted_memory_bytes": 2**30,
        "predicted_bits_per_byte": 2.0,
        "interval": [1.9, 2.2],
    }
    write(folder / "plan.json", {"chosen": chosen, "machine": {"cores": 2}})
    write(
        folder / "result.json",
        {
            "steps": 40,
            "tokens": 40_000,
            "wall_s": 150,
            "training_s": 110,
            "tokens_per_s": 360,
            "bits_per_byte": 2.125,
            "baseline_bits_per_byte": 2.5,
            "peak_memory_bytes": 2**30,
        },
    )
    baseline = {"name": "5-gram", "bits_per_byte": 2.5, "interval": [2.45, 2.55]}
    write(folder / "evaluation.json", {"bits_per_byte": 2.125, "interval": [2.1, 2.15], "baseline": baseline})
    write(folder / "corpus.json", {"num_documents": 12_345, "splits": {"train": 12_000}})
    (folder / "run.toml").write_text('budget = "3m"\n[model]\nnum_layers = 4\n', encoding="utf-8")
    return folder


def write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def test_a_whole_run_has_every_part_in_both_languages(run: Path) -> None:
    assert write_run_report(run) == run / "report.html"
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    for english, chinese in (
        ("Curves", "曲线"),
        ("Plan against outcome", "计划与结果"),
        ("What it wrote along the way", "训练途中写下的文字"),
        ("Settings", "设置"),
        ("Corpus", "语料"),
        ("Machine", "机器"),
        ("n-gram baseline", "n-gram 基线"),
        ("predicted end", "预测终点"),
    ):
        assert english in page.words["en"]
        assert chinese in page.words["zh"]
    assert {"2.125", "model.num_layers", "12,345", "my run"} <= set(page.words[None])
    assert page.loaded == []
    assert len(page.identifiers) == len(set(page.identifiers))


def test_what_the_model_wrote_is_text_and_never_markup(run: Path) -> None:
    html = run_report(run)
    assert "<script" not in html
    assert "&lt;script&gt;alert(10)&lt;/script&gt; 墨" in html


def test_the_reader_is_met_in_the_language_asked_for(run: Path) -> None:
    assert 'id="show-zh" aria-label="中文" checked' in run_report(run, language="zh")
    assert 'id="show-en" aria-label="English" checked' in run_report(run)


@pytest.mark.parametrize(
    ("missing", "heading"),
    [
        ("metrics.jsonl", "Curves"),
        ("plan.json", "Plan against outcome"),
        ("run.toml", "Settings"),
        ("corpus.json", "Corpus"),
        ("result.json", None),
        ("evaluation.json", None),
    ],
)
def test_a_missing_part_is_left_out(run: Path, missing: str, heading: str | None) -> None:
    (run / missing).unlink()
    page = Page(run_report(run))
    assert heading not in page.words["en"]
    assert "nan" not in page.words[None]


def test_a_run_that_has_just_begun_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("", encoding="utf-8")
    page = Page(run_report(tmp_path))
    assert page.words["en"][0] in {"just begun", "still running"}


def test_damaged_files_do_not_stop_the_report(run: Path) -> None:
    for name in ("plan.json", "result.json", "evaluation.json", "corpus.json", "run.toml"):
        (run / name).write_bytes(b'{"chosen": [1], "interval": "x", \xff')
    assert "Curves" in Page(run_report(run)).words["en"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.8, 2.0, (1.75, 1.85), (1.95, 2.05)), "beats the n-gram baseline: it needs 10.0% fewer"),
        ((2.2, 2.0, (2.15, 2.25), (1.95, 2.05)), "baseline is still better: the model needs 10.0% more"),
        ((1.98, 2.0, (1.9, 2.06), (1.95, 2.05)), "cannot be told apart"),
        ((1.8, 2.0, None, None), "beats the n-gram baseline"),
        ((1.8, None, None, None), "no baseline"),
    ],
)
def test_the_verdict_follows_the_intervals(arguments: tuple[Any, ...], words: str) -> None:
    assert words in verdict(*arguments).en


def test_the_outcome_stands_beside_the_plan(run: Path) -> None:
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    write(run / "result.json", {**result, "bits_per_byte": 2.5})
    facts = {fact.name[0]: fact for fact in outcome(read_run(run))}
    assert (facts["training time"].expected, facts["training time"].value) == ("1m 40s", "1m 50s")
    assert facts["training time"].note is not None
    assert facts["training time"].note.en == "+10%"
    assert (facts["tokens per second"].expected, facts["tokens per second"].value) == ("400", "360")
    assert facts["peak memory"].note is not None
    assert facts["peak memory"].note.en == "0%"
    # The plan speaks of validation text; what the run scored on test text is another matter.
    bits = facts["bits per byte, validation text"]
    assert (bits.expected, bits.value) == ("2.000 [1.900, 2.200]", "2.125")
    assert bits.note is not None
    assert bits.note.zh == "在区间内"


def test_of_many_samples_the_first_and_the_last_are_shown(run: Path) -> None:
    log = MetricsLog(run / "metrics.jsonl")
    for step in range(50, 200, 10):
        log.append({"kind": "sample", "step": step, "text": "x"})
    shown = [step for step, _ in samples(read_run(run))]
    assert len(shown) == 4
    assert (shown[0], shown[-1]) == (10, 190)


def test_a_corpus_report_has_counts_splits_and_reasons(tmp_path: Path) -> None:
    summary = {
        "num_documents": 4321,
        "num_bytes": 9_876_543,
        "splits": {"train": {"num_documents": 4000, "num_bytes": 9_000_000}, "test": {"num_documents": 321}},
        "rejected": {"empty": 3, "exact <duplicate>": 70},
        "cleaned": {"mojibake repaired": 5, "line ends unified": 0},
        "settings": {"seed": 7},
    }
    write_corpus_report(summary, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {"4,321", "9,876,543", "4,000", "321", "settings.seed", "7", tmp_path.name} <= set(
        page.words[None]
    )
    assert {"Rejected", "exact <duplicate>", "Cleaning", "mojibake repaired"} <= set(page.words["en"])
    assert {"exact <duplicate>", "空白", "修复乱码"} <= set(page.words["zh"])
    assert "line ends unified" not in page.words["en"]
    assert page.loaded == []


def test_every_reason_and_step_of_the_corpus_has_chinese_words(tmp_path: Path) -> None:
    from yanmo.corpus.document import Reason

    names = {str(reason): 1 for reason in Reason}
    page = Page(corpus_report({"rejected": names, "num_documents": 1}, name="c"))
    untranslated = [name for name in names if name in page.words["zh"]]
    assert untranslated == []


def test_a_corpus_that_lost_nothing_shows_no_reasons() -> None:
    page = Page(
        corpus_report({"num_documents": 1, "rejected": {"empty": 0}, "splits": {"train": 1}}, name="c")
    )
    assert "Rejected" not in page.words["en"]
    assert "Splits" in page.words["en"]


def test_a_masked_run_has_its_loss_and_its_accuracies(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        row = {"step": step, "batch": step, "tokens": step, "elapsed_s": float(step), "loss_nats": 4.0 / step}
        log.append({"kind": "train", **row})
        log.append({"kind": "valid", **row, "masked_accuracy": step / 10, "next_sentence_accuracy": 0.5})
    log.append({"kind": "skipped", "step": 3, "batch": 4, "reason": "the loss leapt"})
    log.append({"kind": "rollback", "step": 2, "batch": 4, "from_step": 3})
    write(tmp_path / "result.json", {"steps": 3, "valid_loss_nats": 1.3333, "valid_bits_per_byte": None})
    page = Page(run_report(tmp_path))
    english, chinese = "\n".join(page.words["en"]), "\n".join(page.words["zh"])
    assert "nats per predicted token" in english
    assert "masked tokens guessed" in english
    assert "下一句判断正确率" in chinese
    assert {"the loss leapt", "from step 3"} <= set(page.words["en"])
    assert "从第 3 步" in chinese
    assert "bits per byte over" not in english.lower()


def test_forgetting_is_told_of_new_and_old_text(run: Path) -> None:
    before = {"new": {"perplexity": 80.0}, "old": {"perplexity": 12.5}}
    result = json.loads((run / "result.json").read_text())
    write(run / "result.json", result | {"before": before, "after": {"new": {"perplexity": 40.0}, "old": 3}})
    (change,) = forgetting(read_run(run))
    assert (change.name.en, change.before, change.after) == ("perplexity on the new text", "80", "40")
    assert "继续训练前后" in run_report(run)
    assert forgetting(RunRecord(path=run)) == []


def test_energy_is_told_with_its_source(run: Path) -> None:
    for source, value, note in (("rapl", "2.5 Wh", "measured"), ("estimate", "~2.5 Wh", "an estimate")):
        result = json.loads((run / "result.json").read_text())
        write(run / "result.json", result | {"energy_wh": 2.5, "energy_source": source})
        fact = next(fact for fact in outcome(read_run(run)) if getattr(fact.name, "en", "") == "energy")
        assert fact.value == value
        assert fact.note is not None
        assert fact.note.en.startswith(note)


def test_a_profile_is_a_bar_and_a_table(run: Path) -> None:
    kinds = [
        {"name": "matrix products", "seconds": 0.06, "share": 0.6, "share_of_peak": 0.8},
        {"name": "norms", "seconds": 0.04, "share": 0.4},
        {"name": "<odd>", "seconds": "x", "share": 0.0},
        {"name": "data loading", "seconds": 0.0, "share": 0.0},
    ]
    made = {"step_s": 0.1, "tokens_per_s": 1234.0, "share_of_peak": 0.48, "kinds": kinds}
    write(run / "profile.json", made | {"operators": [{"name": "aten::mm", "seconds": 0.05}, 3]})
    page = Page(run_report(run))
    everything = {word for words in page.words.values() for word in words}
    assert {"60.00 ms", "60.0%", "80%", "aten::mm", "50.00 ms", "矩阵乘法", "归一化"} <= everything
    assert "data loading" not in everything
    write(run / "profile.json", {"kinds": "none"})
    assert "matrix products" not in Page(run_report(run)).words["en"]
