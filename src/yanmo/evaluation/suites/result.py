"""What a suite says of a model: scores with intervals, beside guessing, with the prompt that was used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yanmo.evaluation.tasks import Judged
from yanmo.metrics import METRICS, Difference

_SHOWN_GROUPS = 12
_SHOWN_PROMPT_CHARS = 700


@dataclass(frozen=True, kw_only=True)
class SuiteEvaluation:
    """A model's scores on a suite.

    Attributes:
        suite: its name.
        what: its name, for people.
        format: what the file was read as.
        data: where it was.
        model: the model's scores.
        baseline: the best of what knows nothing.
        decides: the score that says which of two models is better.
        lead: of the model over the baseline by that score.
        groups: of each subject or paradigm its number of questions and that score.
        num_examples: questions.
        num_cut: prompts that lost their beginning, as the model's context is too short for them.
        few_shot: solved questions before each.
        examples: place and text of each of these.
        language: ``en`` or ``zh``: of the prompt.
        prompt: the first question as the model read it, with the right answer.
        set_aside: rows that are no questions, by reason.
    """

    suite: str
    what: str
    format: str
    data: str
    model: Judged
    baseline: Judged
    decides: str
    lead: Difference
    groups: Mapping[str, Mapping[str, Any]]
    num_examples: int
    num_cut: int
    few_shot: int
    examples: tuple[tuple[str, str], ...]
    language: str
    prompt: str
    set_aside: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``yanmo evaluate --suite --json`` prints them."""
        return {
            "suite": self.suite,
            "format": self.format,
            "data": self.data,
            "name": self.model.name,
            "metrics": dict(self.model.metrics),
            "num_examples": self.num_examples,
            "decides": self.decides,
            "baseline": self.baseline.to_json(),
            "lead": vars(self.lead),
            "groups": dict(self.groups),
            "few_shot": self.few_shot,
            "examples": [{"place": place, "text": text} for place, text in self.examples],
            "language": self.language,
            "prompt": self.prompt,
            "num_cut": self.num_cut,
            "set_aside": dict(self.set_aside),
        }

    def to_text(self) -> str:
        """A small table for people."""
        systems = (self.model, self.baseline)
        names = list(self.model.metrics)
        width = max(len(system.name) for system in systems)
        lines = [f"{'':<{width}}  " + "  ".join(f"{METRICS[name].en:<24}" for name in names)]
        for system in systems:
            cells = [_cell(system.metrics.get(name)) for name in names]
            lines.append(f"{system.name:<{width}}  " + "  ".join(f"{cell:<24}" for cell in cells).rstrip())
        plural = "s" * (self.few_shot > 1)
        shots = f"{self.few_shot} example{plural} before each" if self.few_shot else "no examples"
        lines.append(
            f"{self.what} from {self.data}, read as {self.format}: {self.num_examples:,} questions, {shots};"
            " intervals of 95%"
        )
        lead = self.lead
        lines.append(
            f"{METRICS[self.decides].en} above {self.baseline.name}: {lead.difference:+.4f}"
            f" ({lead.low:+.4f} to {lead.high:+.4f}, p {lead.p_value:.3f})"
        )
        lines += self._groups_to_text()
        if self.set_aside:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.set_aside.items())
            lines.append(f"set aside: {reasons}")
        if self.num_cut:
            lines.append(f"{self.num_cut:,} prompts lost their beginning: the model's context is too short")
        lines.append("the first question, with its answer:")
        lines += [f"  | {line}" for line in _shortened(self.prompt).splitlines()]
        return "\n".join(lines)

    def _groups_to_text(self) -> list[str]:
        if len(self.groups) < 2:
            return []
        ranked = sorted(self.groups, key=lambda name: float(self.groups[name]["value"]))
        shown = ranked
        if len(ranked) > 2 * _SHOWN_GROUPS:
            shown = [*ranked[:_SHOWN_GROUPS], "", *ranked[-_SHOWN_GROUPS:]]
        lines = [f"{METRICS[self.decides].en} by group, worst first:"]
        for name in shown:
            if not name:
                lines.append(f"  ... {len(ranked) - 2 * _SHOWN_GROUPS} more (--json shows all)")
                continue
            group = self.groups[name]
            lines.append(f"  {_cell(group)}  {name} ({group['num_examples']:,})")
        return lines


def _cell(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "-"
    low, high = score["interval"]
    return f"{score['value']:.4f} ({low:.4f}, {high:.4f})"


def _shortened(prompt: str) -> str:
    if len(prompt) <= _SHOWN_PROMPT_CHARS:
        return prompt
    half = _SHOWN_PROMPT_CHARS // 2
    return f"{prompt[:half]} ... {prompt[-half:]}"
