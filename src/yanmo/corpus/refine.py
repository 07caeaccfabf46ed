"""One document on its way into the corpus: cleaned, judged, masked, fingerprinted; a pure function of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from yanmo.corpus.aids import Aids
from yanmo.corpus.cleaning.cleaner import Cleaned, Cleaner
from yanmo.corpus.document import Document, Reason, Rejected, make_document
from yanmo.corpus.duplicates.contamination import cut_edits
from yanmo.corpus.duplicates.exact import document_digest, line_digests
from yanmo.corpus.edits import Alignment, Edit, apply_edits
from yanmo.corpus.encoding import REPAIRED
from yanmo.corpus.language.passages import describe, main_language, shares
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.mask import Masker
from yanmo.corpus.quality.judge import Judge
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.split import named_split
from yanmo.corpus.staging import Refined

BYTES_REPLACED = REPAIRED.strip(", ")
ITEMS_CUT = "evaluation text cut"
Counts = dict[str, dict[str, int]]
# A second language is worth a word from this share of the letters on.
_MIXED_SHARE = 0.1
# So much of a text may be unknown words or spaced letters before anybody is told.
_NOISY_SHARE = 0.2


class Refiner:
    """Takes documents through every step."""

    def __init__(self, settings: CorpusSettings, aids: Aids) -> None:
        """Make ready what the steps need."""
        self._settings, self._aids = settings, aids
        self._cleaner = Cleaner(settings.cleaning)
        self._judge = Judge(settings.quality, surprise=aids.surprise, limits=aids.limits, worth=aids.worth)
        self._masker = Masker(settings.personal, key=aids.key)

    def refine(self, raw: Document) -> tuple[Refined | Rejected, Counts]:
        """The document as it stays, or why it goes, and what was counted."""
        cleaned = self._cleaner.clean(raw.text, language=raw.language, paged="\f" in raw.text)
        counts: Counts = {"cleaned": dict.fromkeys(cleaned.changed, 1)} if cleaned.changed else {}
        if raw.meta.get("encoding", "").endswith(REPAIRED):
            counts.setdefault("cleaned", {})[BYTES_REPLACED] = 1
        languages = shares(cleaned.text)
        document = _described(raw, cleaned, languages)
        refusal = self._refusal(document, languages)
        text, alignment = document.text, cleaned.alignment
        if refusal is None:
            cuts, refusal = self._without_items(document)
            if cuts:
                counts.setdefault("cleaned", {})[ITEMS_CUT] = 1
                text, alignment = apply_edits(text, cuts), alignment.then(cuts)
        found = find(text, self._settings.personal, self._aids.entities)
        if found:
            counts["personal"] = dict(Counter(one.kind.value for one in found))
            why = self._masker.refusal(found)
            if why and refusal is None:
                refusal = _refused(document, Reason.PERSONAL, why)
            edits = self._masker.edits(text, found)
            text, alignment = apply_edits(text, edits), alignment.then(edits)
        if refusal is not None:
            # What is refused is kept for people to look at: without what nobody should see.
            return replace(refusal, text=text), counts
        return self._refined(raw, document, text, alignment), counts

    def refuse(self, rejected: Rejected) -> tuple[Rejected, Counts]:
        """What its reader refused, without what nobody should see."""
        found = find(rejected.text, self._settings.personal, self._aids.entities) if rejected.text else []
        if not found:
            return rejected, {}
        text = apply_edits(rejected.text, self._masker.edits(rejected.text, found))
        return replace(rejected, text=text), {"personal": dict(Counter(one.kind.value for one in found))}

    def _refusal(self, document: Document, languages: Mapping[str, float]) -> Rejected | None:
        text = document.text
        num_chars = len(text.strip())
        if num_chars < self._settings.min_chars:
            return _refused(document, Reason.TOO_SHORT if num_chars else Reason.EMPTY)
        why = self._settings.language.refusal(languages)
        if why is not None:
            return _refused(document, Reason.LANGUAGE, why)
        judged = self._judge.judge(text, document.language)
        if judged is not None:
            return _refused(document, Reason.QUALITY, str(judged))
        return None

    def _without_items(self, document: Document) -> tuple[list[Edit], Rejected | None]:
        """The edits that take evaluation items out of a document, or its refusal."""
        spans = [] if self._aids.evaluation is None else self._aids.evaluation.find(document.text)
        if not spans:
            return [], None
        cuts = cut_edits(spans) if self._settings.contamination.action == "cut" else []
        # Question marks that are left over are no document.
        left = sum(map(str.isalnum, apply_edits(document.text, cuts))) if cuts else 0
        if left >= self._settings.min_chars:
            return cuts, None
        return [], _refused(document, Reason.CONTAMINATED, self._aids.item_names[spans[0].item])

    def _refined(self, raw: Document, document: Document, text: str, alignment: Alignment) -> Refined:
        settings = self._settings.duplicates
        if text != raw.text or document.meta != raw.meta or document.language != raw.language:
            document = make_document(text, raw.source, document.meta, document.language)
        return Refined(
            document=document,
            named=named_split(raw.source),
            digest=document_digest(text),
            lines=line_digests(text, settings.repeats).digests.tolist() if settings.passages else (),
            stretches=[number for stretch in alignment.to_json() for number in stretch],
        )


def _described(raw: Document, cleaned: Cleaned, languages: Mapping[str, float]) -> Document:
    """The cleaned document with its language, all of them where it has several, and what of it is noise."""
    told = {code: share for code, share in languages.items() if code}
    language = raw.language or main_language(languages)
    meta = dict(raw.meta)
    if sum(share >= _MIXED_SHARE for share in told.values()) > 1:
        meta["languages"] = describe(told)
    noise = [f"{name} {share:.2g}" for name, share in cleaned.flags.items() if share >= _NOISY_SHARE]
    if noise:
        meta["noise"] = ", ".join(noise)
    return Document(id=raw.id, text=cleaned.text, source=raw.source, language=language, meta=meta)


def _refused(document: Document, reason: Reason, detail: str = "") -> Rejected:
    source, language = document.source, document.language
    return Rejected(source=source, reason=reason, text=document.text, language=language, detail=detail)
