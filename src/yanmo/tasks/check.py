"""What is wrong with labelled examples before anything is trained on them.

Counted are labels, lengths and equal texts of each split; looked for are conflicts (one text, two labels),
texts of the test in training (equal and nearly so), labels that training does not show, and whatever leaves
nothing to learn. Every finding has its rows and a proposal. Texts are compared up to white space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from yanmo.reporting.axes import Words
from yanmo.tasks.broken import WORDS, Broken, Flaw
from yanmo.tasks.examples import Example, SpanExample, TokenExample
from yanmo.tasks.findings import (
    MOST_ROWS,
    Finding,
    FindingKind,
    Lengths,
    Report,
    Severity,
    Truncation,
)
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.leaks import digests_of, groups_of_equal, near_pairs

CountTokens = Callable[[tuple[str, ...]], int]
"""From the texts of an example to the tokens that it takes."""

_TRAIN = "train"
_FEW_ROWS, _RARE, _UNEVEN = 50, 5, 10.0
_MANY_LABELS, _LEAST_ROWS_A_LABEL = 20, 2.0
_MOST_COUNTED, _NAME_CHARS = 20_000, 40
_ORDER = list(Severity)


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What is checked."""

    max_tokens: int | None = None
    """Tokens that a model reads; longer examples lose their end."""
    near: bool = True
    """Whether texts of the test are compared with those that are nearly the same."""


@dataclass(kw_only=True)
class _Split:
    """The examples of one split, looked at once."""

    name: str
    examples: Sequence[Example]
    texts: list[tuple[str, ...]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[LabelKind | None] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for example in self.examples:
            self.texts.append(example.inputs())
            self.counts.update(example.labels())
            self.kinds[_kind(example)] += 1

    def of_kind(self, kind: LabelKind | None) -> Iterator[Example]:
        return (example for example in self.examples if _kind(example) is kind)


def check_examples(
    splits: Mapping[str, Sequence[Example]],
    *,
    broken: Broken | None = None,
    count_tokens: CountTokens | None = None,
    settings: CheckSettings = CheckSettings(),
) -> Report:
    """Check the examples of a task.

    Args:
        splits: ``train`` and, as far as there are any, ``valid`` and ``test``.
        broken: what was set aside when they were read.
        count_tokens: counts the tokens of an example; with ``settings.max_tokens`` the truncation is told.
        settings: what is checked.
    """
    looked = [_Split(name=name, examples=examples) for name, examples in splits.items() if len(examples)]
    train = [split for split in looked if split.name == _TRAIN]
    others = [split for split in looked if split.name != _TRAIN]
    truncation: dict[str, Truncation] = {}
    found = list(_broken(broken, sum(len(split.examples) for split in looked)) if broken else ())
    for split in train:
        found += chain(_rows(split), _targets(split), _labels(split), _equal(split))
        for other in others:
            found += chain(_unseen(split, other), _leaks(split, other, near=settings.near))
    for split in looked:
        if count_tokens is not None and settings.max_tokens is not None:
            told, finding = _truncation(split, count_tokens, settings.max_tokens)
            truncation[split.name] = told
            found += finding
    return Report(
        num_examples={split.name: len(split.examples) for split in looked},
        num_broken=len(broken) if broken else 0,
        label_counts={split.name: split.counts for split in looked},
        lengths={split.name: _lengths(split) for split in looked},
        truncation=truncation,
        findings=tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity))),
    )


def _finding(
    kind: FindingKind,
    severity: Severity,
    what: Words,
    proposal: Words,
    rows: Sequence[Example] = (),
    num_rows: int | None = None,
) -> Finding:
    return Finding(
        kind=kind,
        severity=severity,
        what=what,
        rows=tuple(example.origin for example in rows[:MOST_ROWS]),
        num_rows=len(rows) if num_rows is None else num_rows,
        proposal=proposal,
    )


def _broken(broken: Broken, num_good: int) -> Iterator[Finding]:
    for is_file in (True, False):
        listed = [row for row in broken if (row.origin.row == 0) is is_file]
        num_rows = sum(row.origin.row == 0 for row in broken)
        num_rows = num_rows if is_file else len(broken) - num_rows
        if not num_rows:
            continue
        flaws = Counter(row.flaw for row in listed).most_common(4)
        en = ", ".join(f"{WORDS[flaw].en} ({count:,})" for flaw, count in flaws)
        zh = "，".join(f"{WORDS[flaw].zh}（{count:,}）" for flaw, count in flaws)
        severity = Severity.ERROR if not is_file and num_rows > num_good else Severity.WARNING
        if {flaw for flaw, _ in flaws} == {Flaw.LAYOUT}:
            # A readme beside the data.
            severity = Severity.NOTE
        yield Finding(
            kind=FindingKind.BROKEN_FILES if is_file else FindingKind.BROKEN,
            severity=severity,
            what=Words(
                f"{_counted(num_rows, 'file' if is_file else 'row')} set aside: {en}",
                f"{num_rows:,} {'个文件' if is_file else '行'}被搁置：{zh}",
            ),
            rows=tuple(row.origin for row in listed[:MOST_ROWS]),
            num_rows=num_rows,
            proposal=Words(listed[0].remedy, "按逐行列出的原因改正，或去掉"),
        )


def _rows(split: _Split) -> Iterator[Finding]:
    count = len(split.examples)
    if count < _FEW_ROWS:
        yield _finding(
            FindingKind.FEW_ROWS,
            Severity.ERROR if count < 2 else Severity.WARNING,
            Words(f"{_counted(count)} to learn from", f"只有 {count} 行可供学习"),
            Words("label more rows, or prompt with these as examples", "标注更多数据，或将其用作提示示例"),
            split.examples,
        )
    if count > 1 and all(texts == split.texts[0] for texts in split.texts):
        yield _finding(
            FindingKind.CONSTANT_TEXT,
            Severity.ERROR,
            Words("all rows have the same text", "所有行的文本都相同"),
            Words("say which column is the text: --columns text=NAME", "指明文本列：--columns text=列名"),
            split.examples,
        )


def _targets(split: _Split) -> Iterator[Finding]:
    """That all rows have a target, and of one kind; of numbers and entities that there are any."""
    if bare := [example for example in split.of_kind(None) if _needs_target(example)]:
        yield _finding(
            FindingKind.NO_TARGET,
            Severity.ERROR,
            Words(f"{_counted(len(bare))} without a target", f"{len(bare):,} 行没有标签"),
            Words("leave them out of training", "训练时去掉这些行"),
            bare,
        )
    kinds = [kind for kind in split.kinds if kind is not None]
    if len(kinds) > 1:
        rarest = min(kinds, key=lambda kind: split.kinds[kind])
        names = ", ".join(f"{kind} ({split.kinds[kind]:,})" for kind in kinds)
        yield _finding(
            FindingKind.MIXED_LABELS,
            Severity.ERROR,
            Words(f"labels of several kinds: {names}", f"标签类型不一致：{names}"),
            Words("write all labels alike, or say which kind they are", "统一标签写法，或指明标签类型"),
            list(split.of_kind(rarest)),
        )
    numbers = {example.target() for example in split.of_kind(LabelKind.NUMBER)}
    if kinds == [LabelKind.NUMBER] and len(numbers) == 1 and len(split.examples) > 1:
        yield _finding(
            FindingKind.ONE_NUMBER,
            Severity.ERROR,
            Words(
                f"all rows have the number {next(iter(numbers))}", f"所有行的数值都是 {next(iter(numbers))}"
            ),
            Words("say which column is the number: --columns label=NAME", "指明数值列：--columns label=列名"),
            split.examples,
        )
    if not split.counts and isinstance(split.examples[0], TokenExample | SpanExample):
        yield _finding(
            FindingKind.NO_ENTITIES,
            Severity.ERROR,
            Words("no row has an entity", "没有任何实体"),
            Words("say which column has the tags: --columns tags=NAME", "指明标注列：--columns tags=列名"),
            split.examples,
        )


def _labels(split: _Split) -> Iterator[Finding]:
    counts = split.counts
    if not counts:
        return
    most, least = counts.most_common(1)[0], counts.most_common()[-1]
    one_a_row = split.kinds.keys() == {LabelKind.ONE}
    if len(counts) == 1 and one_a_row and len(split.examples) > 1:
        yield _finding(
            FindingKind.ONE_CLASS,
            Severity.ERROR,
            Words(f"all rows are {_short(most[0])!r}", f"所有行都是 {_short(most[0])!r}"),
            Words("add rows of other classes", "加入其他类别的数据"),
            split.examples,
        )
    elif len(counts) > _MANY_LABELS and counts.total() < _LEAST_ROWS_A_LABEL * len(counts):
        yield _finding(
            FindingKind.MANY_LABELS,
            Severity.ERROR,
            Words(
                f"{len(counts):,} different labels in {len(split.examples):,} rows",
                f"{len(split.examples):,} 行中有 {len(counts):,} 个不同标签",
            ),
            Words(
                "is this the column of labels? --columns label=NAME; numbers: --label-kind number",
                "这是标签列吗？--columns label=列名；若为数值：--label-kind number",
            ),
            split.examples,
        )
    else:
        yield from _uneven(split, most, least)


def _uneven(split: _Split, most: tuple[str, int], least: tuple[str, int]) -> Iterator[Finding]:
    rare = {label for label, count in split.counts.items() if count < _RARE}
    if rare:
        names = ", ".join(f"{_short(label)} ({split.counts[label]})" for label in sorted(rare)[:5])
        more = ", ..." if len(rare) > 5 else ""
        yield _finding(
            FindingKind.RARE_LABELS,
            Severity.WARNING,
            Words(
                f"fewer than {_RARE} examples each: {names}{more}",
                f"以下标签的样本不足 {_RARE} 个：{names}{more}",
            ),
            Words(
                "add examples, join it with another label, or leave it out", "增加样本、并入其他标签或去掉"
            ),
            sorted(
                _with_labels(split, rare),
                key=lambda example: min(split.counts[label] for label in example.labels()),
            ),
        )
    if most[1] > _UNEVEN * least[1]:
        yield _finding(
            FindingKind.IMBALANCE,
            Severity.NOTE,
            Words(
                f"{_short(most[0])} stands {most[1]:,} times, {_short(least[0])} {least[1]:,} times",
                f"{_short(most[0])} 出现 {most[1]:,} 次，{_short(least[0])} 仅 {least[1]:,} 次",
            ),
            Words("judge by macro F1; weigh the classes", "以宏平均 F1 评判；训练时对类别加权"),
        )


def _equal(split: _Split) -> Iterator[Finding]:
    """Rows that stand twice: harmless, but for those that say different things of one text."""
    later: list[int] = []
    unlike: list[int] = []
    num_clashes = 0
    for group in groups_of_equal(digests_of(split.texts)):
        indices = group.tolist()
        examples = [split.examples[index] for index in indices]
        if len({target for example in examples if (target := example.target()) is not None}) > 1:
            num_clashes += 1
            unlike += indices
        else:
            # Of one source several translations are no copies.
            first = {
                _content(example): index for example, index in zip(examples[::-1], indices[::-1], strict=True)
            }
            later += set(indices) - set(first.values())
    copies, clashing = ([split.examples[index] for index in sorted(found)] for found in (later, unlike))
    if clashing:
        yield _finding(
            FindingKind.CONFLICTS,
            Severity.WARNING,
            Words(
                f"{_counted(num_clashes, 'text')} with two labels or more, {len(clashing):,} rows in all",
                f"{num_clashes:,} 个文本有两个以上不同标签，共 {len(clashing):,} 行",
            ),
            Words("decide which is right, and delete the others", "确定正确的标签并删除其余的行"),
            clashing,
        )
    if copies:
        share = len(copies) / len(split.examples)
        yield _finding(
            FindingKind.DUPLICATES,
            Severity.WARNING if share > 0.1 else Severity.NOTE,
            Words(
                f"{_counted(len(copies))} of train ({share:.1%}): copies",
                f"{len(copies):,} 行（{share:.1%}）是重复的",
            ),
            Words(
                "delete them; splits are drawn so that copies stay together", "删除；划分时重复行会放在一起"
            ),
            copies,
        )


def _unseen(train: _Split, other: _Split) -> Iterator[Finding]:
    unseen = other.counts.keys() - train.counts.keys()
    if not unseen or not train.counts:
        return
    names = ", ".join(map(_short, sorted(unseen)[:5])) + (", ..." if len(unseen) > 5 else "")
    yield _finding(
        FindingKind.UNSEEN_LABELS,
        Severity.WARNING,
        Words(
            f"{other.name} has labels that train has not: {names}",
            f"{other.name} 中有训练集没有的标签：{names}",
        ),
        Words(
            "add rows of them to train, or mend their spelling", "在训练集中加入这些标签的数据，或更正拼写"
        ),
        _with_labels(other, unseen),
    )


def _leaks(train: _Split, other: _Split, *, near: bool) -> Iterator[Finding]:
    digests = digests_of([*train.texts, *other.texts])
    num_train = len(train.texts)
    equal = sorted(
        int(index)
        for group in groups_of_equal(digests)
        if group[0] < num_train
        for index in group[group >= num_train] - num_train
    )
    if equal:
        yield _leak(FindingKind.LEAK, other, equal, Words("in train too", "也在训练集中"))
    if not near:
        return
    pairs = near_pairs([" ".join(texts) for texts in train.texts], [" ".join(texts) for texts in other.texts])
    known = set(equal)
    alike = [pair for pair in pairs if pair.test not in known]
    if alike:
        first = alike[0]
        origin = train.examples[first.train].origin
        words = Words(
            f"nearly in train too (the first is {first.similarity:.0%} of {origin})",
            f"与训练集几乎相同（第一条与 {origin} 相似度 {first.similarity:.0%}）",
        )
        yield _leak(FindingKind.NEAR_LEAK, other, [pair.test for pair in alike], words)


def _leak(kind: FindingKind, other: _Split, indices: Sequence[int], words: Words) -> Finding:
    count, share = len(indices), len(indices) / len(other.examples)
    return _finding(
        kind,
        Severity.WARNING,
        Words(
            f"{_counted(count)} of {other.name} ({share:.1%}): {words.en}",
            f"{other.name} 中 {count:,} 行（{share:.1%}）{words.zh}",
        ),
        Words("take them out of train: scores would be too good", "从训练集中去掉，否则分数虚高"),
        [other.examples[index] for index in indices[:MOST_ROWS]],
        count,
    )


def _truncation(split: _Split, count_tokens: CountTokens, limit: int) -> tuple[Truncation, list[Finding]]:
    step = -(-len(split.texts) // _MOST_COUNTED)
    counted = range(0, len(split.texts), step)
    numbers = np.array([count_tokens(split.texts[index]) for index in counted])
    cut = [split.examples[counted[place]] for place in np.flatnonzero(numbers > limit).tolist()]
    told = Truncation(
        limit=limit, num_counted=len(counted), num_truncated=len(cut), longest=int(numbers.max())
    )
    if not cut:
        return told, []
    finding = _finding(
        FindingKind.TRUNCATED,
        Severity.WARNING if told.rate > 0.05 else Severity.NOTE,
        Words(
            f"{told.rate:.1%} of {split.name} take more than {limit:,} tokens, at most {told.longest:,}",
            f"{split.name} 中 {told.rate:.1%} 超过 {limit:,} 个词元，最长 {told.longest:,}",
        ),
        Words("choose a model that reads more, or split the texts", "选用上下文更长的模型，或切分文本"),
        cut,
    )
    return told, [finding]


def _lengths(split: _Split) -> Lengths:
    chars = np.fromiter((sum(map(len, texts)) for texts in split.texts), np.int64, len(split.texts))
    edges = [0, *(2**power for power in range(3, max(4, int(chars.max()).bit_length() + 1)))]
    counts, _ = np.histogram(chars, [*edges[:-1], max(edges[-1], int(chars.max()) + 1)])
    median, percentile_90, percentile_99 = (float(np.percentile(chars, p)) for p in (50, 90, 99))
    return Lengths(
        median=median,
        percentile_90=percentile_90,
        percentile_99=percentile_99,
        longest=int(chars.max()),
        bins=tuple(zip(edges[:-1], edges[1:], counts.tolist(), strict=True)),
    )


def _with_labels(split: _Split, labels: set[str]) -> list[Example]:
    return [example for example in split.examples if not labels.isdisjoint(example.labels())]


def _kind(example: Example) -> LabelKind | None:
    """What the target of an example is; None where it has none."""
    target = example.target()
    if isinstance(target, float):
        return LabelKind.NUMBER
    if isinstance(target, tuple):
        return LabelKind.SEVERAL
    return None if target is None else LabelKind.ONE


def _short(label: str) -> str:
    return label if len(label) <= _NAME_CHARS else f"{label[:_NAME_CHARS]}..."


def _counted(count: int, noun: str = "row") -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _content(example: Example) -> str:
    """All that an example holds but where it came from."""
    return repr([getattr(example, name) for name in type(example).__slots__ if name != "origin"])


def _needs_target(example: Example) -> bool:
    """Whether an example of this class without target cannot be learned from."""
    targets = ("label", "tags", "spans", "relation", "answers", "targets")
    return any(getattr(example, name, "") is None for name in targets)
