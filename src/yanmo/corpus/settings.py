"""How a corpus is made: one settings object, whose parts belong to the steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.duplicates.contamination import ContaminationSettings
from yanmo.corpus.duplicates.embedding import EmbeddingSettings
from yanmo.corpus.duplicates.exact import RepeatSettings
from yanmo.corpus.duplicates.signature import NearSettings
from yanmo.corpus.language.passages import LanguageSettings
from yanmo.corpus.personal.settings import PersonalSettings
from yanmo.corpus.quality.judge import QualitySettings
from yanmo.corpus.split import SplitBy
from yanmo.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DuplicateSettings:
    """What counts as said twice; equal documents are always dropped."""

    near: float = 0.9
    """Share of words (or characters of Chinese) in common from which a document is dropped; 0 drops none."""
    together: float = 0.8
    """The same, from which documents stay in one split; 0 parts them freely."""
    passages: bool = True
    """Take out paragraphs that stand in many documents."""
    repeats: RepeatSettings = field(default_factory=RepeatSettings)
    shingle: int = 3
    min_units: int = 20
    """Documents of fewer words (or characters of Chinese) are never near duplicates."""
    same_meaning: Path | None = None
    """A sentence encoder: documents whose vectors point the same way are dropped but for one."""
    cosine: float = 0.95
    """From which cosine on they do."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name in ("near", "together"):
            if getattr(self, name) and not 0.5 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be 0 or from 0.5 to 1")
        if self.near:
            self.signing()
        EmbeddingSettings(cosine=self.cosine)
        if self.same_meaning is None and self.cosine != DuplicateSettings.cosine:
            raise InputError("cosine needs a sentence encoder", remedy="name it under same_meaning")

    def signing(self) -> NearSettings | None:
        """How documents are compared, at the lower of the two thresholds; None where they are not."""
        thresholds = [share for share in (self.near, self.together) if share]
        if not thresholds:
            return None
        return NearSettings(similarity=min(thresholds), shingle=self.shingle, min_units=self.min_units)


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """How a corpus is made."""

    valid_fraction: float = 0.02
    test_fraction: float = 0.03
    min_chars: int = 1
    """Shorter documents are refused."""
    text_column: str | None = None
    """Column or key of the text in tables and records; guessed where None."""
    split: SplitBy = SplitBy.AUTO
    seed: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    """How often the training documents of a source are read: its first folder or file, or ``language=zh``."""
    decontaminate: tuple[Path, ...] = ()
    """Files of evaluation items: documents that hold one are refused."""
    contamination: ContaminationSettings = field(default_factory=ContaminationSettings)
    cleaning: CleaningSettings = field(default_factory=CleaningSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    personal: PersonalSettings = field(default_factory=PersonalSettings)
    duplicates: DuplicateSettings = field(default_factory=DuplicateSettings)

    def __post_init__(self) -> None:
        """Refuse values that make no corpus."""
        if not 0 < self.valid_fraction < 1 or not 0 <= self.test_fraction < 1:
            raise InputError("valid_fraction must be between 0 and 1, test_fraction 0 or more")
        if self.valid_fraction + self.test_fraction > 0.5:
            raise InputError("valid_fraction and test_fraction leave less than half to train on")
        if self.min_chars < 1:
            raise InputError("min_chars must be 1 or more")
        for name, weight in self.weights.items():
            if not 0 <= weight <= 100:
                raise InputError(f"the weight of {name} must be from 0 to 100, not {weight}")

    def given(self) -> dict[str, tuple[Path, ...]]:
        """The files and folders that are named, by setting; what is in them is part of what a corpus is."""
        named = {
            "decontaminate": self.decontaminate,
            "surprise": self.quality.surprise,
            "like": self.quality.like,
            "unlike": self.quality.unlike,
            "same_meaning": (self.duplicates.same_meaning,),
            "entities": (self.personal.entities,),
        }
        paths = {name: tuple(path for path in some if path is not None) for name, some in named.items()}
        return {name: some for name, some in paths.items() if some}
