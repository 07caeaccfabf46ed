"""A text through every step that is asked for, each counted, with the place of every character in the source.

The steps go round until none finds anything, so that a cleaned text is clean: what one step uncovers (a
control character between the halves of a broken letter) another can still repair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from yanmo.corpus.cleaning import characters, mail, pages, wraps
from yanmo.corpus.cleaning.boilerplate import BOILERPLATE, remove_boilerplate
from yanmo.corpus.cleaning.noise import measure_noise
from yanmo.corpus.cleaning.script import convert
from yanmo.corpus.cleaning.settings import CleaningSettings, Job
from yanmo.corpus.cleaning.spaces import normalise_spaces
from yanmo.corpus.cleaning.spelling import correct_spelling
from yanmo.corpus.cleaning.width import unify_width
from yanmo.corpus.edits import Alignment, Edit, apply_edits

_MAX_ROUNDS = 8

Step = Callable[[str, Job], Sequence[Edit]]


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A clean text and what was done to it."""

    text: str
    alignment: Alignment = field(default_factory=Alignment)
    """From the text to the raw one."""
    changed: dict[str, int] = field(default_factory=dict)
    """Names of the steps that changed something, with the number of their edits."""
    flags: dict[str, float] = field(default_factory=dict)
    """How much of the text is noise of which kind (``noise.measure_noise``), from 0 to 1."""


def _boilerplate(text: str, job: Job, *, kind: str) -> list[Edit]:
    return remove_boilerplate(text, kind) if kind in job.settings.boilerplate else []


def _has_pages(text: str, job: Job) -> bool:
    """Whether form feeds end pages here: one alone may be a stray character."""
    return job.settings.pages and (job.paged or text.count("\f") > 1)


STEPS: dict[str, Step] = {
    "surrogates joined": lambda text, job: characters.join_surrogates(text),
    "mojibake repaired": lambda text, job: characters.repair_mojibake(text),
    "terminal escapes removed": lambda text, job: characters.remove_terminal_escapes(text),
    "line ends unified": lambda text, job: characters.unify_line_ends(text, paged=_has_pages(text, job)),
    "control characters removed": lambda text, job: characters.remove_controls(text),
    "composed to NFC": lambda text, job: characters.compose(text),
    "headers and footers removed": lambda text, job: (
        pages.remove_running_lines(text) if job.settings.pages else []
    ),
    "page breaks removed": lambda text, job: pages.remove_page_breaks(text) if job.settings.pages else [],
    "hyphenation mended": lambda text, job: (
        wraps.mend_hyphenation(text, paged=job.paged) if job.settings.wraps else []
    ),
    "lines joined": lambda text, job: wraps.join_lines(text, paged=job.paged) if job.settings.wraps else [],
    "soft hyphens removed": lambda text, job: wraps.remove_soft_hyphens(text),
    **{f"{kind} lines removed": partial(_boilerplate, kind=kind) for kind in BOILERPLATE},
    "quotations removed": lambda text, job: mail.remove_quotations(text) if job.settings.quotations else [],
    "signatures removed": lambda text, job: mail.remove_signatures(text) if job.settings.signatures else [],
    "width unified": lambda text, job: unify_width(text, job.settings.width),
    "script converted": lambda text, job: convert(text, job.settings.script),
    "white space normalised": lambda text, job: normalise_spaces(text) if job.settings.spaces else [],
    "spelling corrected": lambda text, job: (
        correct_spelling(text, language=job.language) if job.settings.spelling == "correct" else []
    ),
}
"""Every step by the name that users meet in summaries, in order."""


class Cleaner:
    """Takes texts through the steps that its settings ask for."""

    def __init__(self, settings: CleaningSettings) -> None:
        """Keep the settings; tables are loaded when a text first needs them."""
        self._settings = settings

    def clean(self, text: str, *, language: str = "", paged: bool = False) -> Cleaned:
        """Take a text through every step.

        Args:
            text: as it was read; form feeds may mark where pages end.
            language: such as ``en`` or ``zh``, where it is known.
            paged: whether the text was laid out on pages, as that of a PDF file.

        Raises:
            InputError: if a step needs a library that is not installed.
        """
        job = Job(self._settings, language, paged)
        alignment, changed = Alignment(), dict.fromkeys(STEPS, 0)
        for _ in range(_MAX_ROUNDS):
            before = sum(changed.values())
            for name, step in STEPS.items():
                edits = step(text, job)
                if edits:
                    text, alignment = apply_edits(text, edits), alignment.then(edits)
                    changed[name] += len(edits)
            if sum(changed.values()) == before:
                break
        flags = measure_noise(text, language=language) if self._settings.flags else {}
        return Cleaned(
            text=text,
            alignment=alignment,
            changed={name: count for name, count in changed.items() if count},
            flags=flags,
        )
