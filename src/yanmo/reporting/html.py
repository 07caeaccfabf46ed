"""Reports as single HTML files: no script, no outside resource, English and Chinese in one.

The language is switched by a radio button and CSS alone, so a report works from a disk, in a mail, and
on paper.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from yanmo.reporting import sections
from yanmo.reporting.axes import Words
from yanmo.reporting.charts import bar_chart
from yanmo.reporting.profiles import profile_of
from yanmo.reporting.runs import RunRecord, number, read_object, read_run, summarise

Language = Literal["en", "zh"]

_STATES = {
    "running": Words("still running", "仍在运行"),
    "done": Words("done", "已完成"),
    "interrupted": Words("interrupted; the same command goes on from here", "已中断；重复同一命令即可继续"),
    "unknown": Words("just begun", "刚刚开始"),
}

# What the corpus stage calls its reasons and its cleaning steps; a name that is not here is shown as it is.
_CHINESE = {
    "hidden": "隐藏文件",
    "written by yanmo": "研墨自己的产物",
    "not a regular file": "不是普通文件",
    "link loop": "链接成环",
    "unreadable": "无法读取",
    "empty": "空白",
    "binary": "二进制文件",
    "unknown encoding": "编码不明",
    "damaged": "已损坏",
    "encrypted": "已加密",
    "decompression bomb": "解压炸弹",
    "archive inside an archive": "压缩包套压缩包",
    "ragged row": "列数不齐的行",
    "broken JSON": "损坏的 JSON",
    "no text field": "没有文本字段",
    "too short": "过短",
    "crashed its reader": "读取时崩溃",
    "takes too long to read": "读取超时",
    "too large": "过大",
    "holds no text": "不含文本",
    "another language": "其他语言",
    "poor quality": "质量过低",
    "personal data": "含个人信息",
    "evaluation text": "含评测文本",
    "duplicate": "重复",
    "near duplicate": "近似重复",
    "in valid split": "已在验证集中",
    "in test split": "已在测试集中",
    "invalid bytes replaced": "替换无效字节",
    "surrogates joined": "合并代理对",
    "mojibake repaired": "修复乱码",
    "terminal escapes removed": "去除终端控制序列",
    "line ends unified": "统一换行符",
    "control characters removed": "去除控制字符",
    "composed to NFC": "规范为 NFC",
    "headers and footers removed": "去除页眉页脚",
    "page breaks removed": "去除分页",
    "hyphenation mended": "还原断词",
    "lines joined": "合并硬换行",
    "soft hyphens removed": "去除软连字符",
    "cookies lines removed": "去除 Cookie 提示",
    "sharing lines removed": "去除分享按钮文字",
    "navigation lines removed": "去除导航",
    "copyright lines removed": "去除版权行",
    "quotations removed": "去除邮件引文",
    "signatures removed": "去除邮件签名",
    "width unified": "统一全角半角",
    "script converted": "繁简转换",
    "white space normalised": "规范空白",
    "spelling corrected": "更正拼写",
}


def write_run_report(
    run_dir: Path,
    *,
    corpus: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    language: Language = "en",
) -> Path:
    """Write ``report.html`` into a run's folder from the files that are there.

    Args:
        run_dir: the run; reads run.toml, metrics.jsonl, result.json, plan.json, evaluation.json, and
            machine.json, each only where it exists.
        corpus: counts of the corpus (``corpus.json``); read from the folder that run.toml names under
            ``corpus`` where not given.
        machine: what ran it; from machine.json or the plan where not given.
        language: what is shown first; the reader can switch.

    Returns:
        The path of the report.

    Raises:
        OSError: the folder cannot be written.
    """
    path = run_dir / "report.html"
    write_report(path, run_report(run_dir, corpus=corpus, machine=machine, language=language))
    return path


def run_report(
    run_dir: Path,
    *,
    corpus: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    language: Language = "en",
) -> str:
    """The report of a run as HTML; arguments as of ``write_run_report``."""
    record = read_run(run_dir)
    summary = summarise(record)
    return render_report(
        "run.html.j2",
        language,
        name=summary.name,
        state=_STATES[summary.state],
        started=summary.started[:16].replace("T", " "),
        headline=sections.headline(record),
        shape=sections.shape(record),
        figures=sections.figures(record),
        outcome=sections.outcome(record),
        incidents=sections.incidents(record),
        forgetting=sections.forgetting(record),
        profile=profile_of(record),
        samples=sections.samples(record),
        tables=[
            (Words("Settings", "设置"), list(sections.flat(record.settings))),
            (Words("Corpus", "语料"), list(sections.flat(corpus or _corpus_of(record)))),
            (Words("Machine", "机器"), list(sections.flat(machine or _machine_of(record)))),
        ],
    )


def write_corpus_report(
    summary: Mapping[str, Any], path: Path, *, name: str = "", language: Language = "en"
) -> None:
    """Write the report of a corpus; the same summary gives the same bytes.

    Args:
        summary: what ``corpus.json`` holds: num_documents, num_bytes, splits, rejected (reason to count),
            cleaned (step to count of documents changed); anything else is listed.
        path: the file to write.
        name: of the corpus; that of the file's folder by default.
        language: what is shown first.

    Raises:
        OSError: the file cannot be written.
    """
    write_report(path, corpus_report(summary, name=name or path.resolve().parent.name, language=language))


def corpus_report(summary: Mapping[str, Any], *, name: str, language: Language = "en") -> str:
    """The report of a corpus as HTML; arguments as of ``write_corpus_report``."""
    charts = {
        key: bar_chart(_bars(summary.get(key)), name=key, title=title)
        for key, title in (
            ("rejected", Words("Rejected documents by reason", "被拒文档（按原因）")),
            ("cleaned", Words("Documents changed by each cleaning step", "各清洗步骤改动的文档")),
        )
    }
    shown = ("num_documents", "num_bytes", "splits", "rejected", "cleaned")
    rest = {key: value for key, value in summary.items() if key not in shown}
    return render_report(
        "corpus.html.j2",
        language,
        name=name,
        counts={key: value for key in ("num_documents", "num_bytes") if (value := summary.get(key))},
        splits=_splits(summary.get("splits")),
        charts=charts,
        settings=list(sections.flat(rest)),
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("yanmo.reporting", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_report(template: str, language: Language, **values: Any) -> str:
    return _environment().get_template(template).render(language=language, w=Words, **values)


def write_report(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)


def _corpus_of(record: RunRecord) -> Mapping[str, Any]:
    named = record.settings.get("corpus")
    folders = [record.path / "corpus", record.path, *([Path(named)] if isinstance(named, str) else [])]
    return next((found for folder in folders if (found := read_object(folder / "corpus.json"))), {})


def _machine_of(record: RunRecord) -> Mapping[str, Any]:
    planned = record.plan.get("machine")
    return read_object(record.path / "machine.json") or (planned if isinstance(planned, dict) else {})


def _bars(counts: object) -> list[tuple[Words, float]]:
    if not isinstance(counts, Mapping):
        return []
    numbers = {str(key): found for key, value in counts.items() if (found := number(value))}
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return [(Words(key, _CHINESE.get(key, key)), value) for key, value in ordered]


def _splits(splits: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(splits, Mapping):
        return []
    return [
        (str(name), dict(counts) if isinstance(counts, Mapping) else {"num_documents": counts})
        for name, counts in splits.items()
    ]
