"""What is looked for, and what becomes of it."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from yanmo.errors import InputError

_MAX_MASK_CHARS = 32
_MASK = re.compile(rf"[\[〔](?:[^\W\d]|[ -]){{1,{_MAX_MASK_CHARS}}}[\]〕]")


class Kind(enum.StrEnum):
    """Kinds of personal data, the strongest first: of two that overlap, the one listed first is kept."""

    PRIVATE_KEY = "private-key"
    URL_CREDENTIALS = "url-credentials"
    API_KEY = "api-key"
    PASSWORD = "password"
    EMAIL = "email"
    IBAN = "iban"
    RESIDENT_ID = "resident-id"
    CREDIT_CODE = "credit-code"
    CARD = "payment-card"
    CRYPTO = "crypto-address"
    NATIONAL_ID = "national-id"
    SSN = "us-ssn"
    IP = "ip-address"
    MAC = "mac-address"
    PASSPORT = "passport"
    PHONE = "phone"
    BANK_ACCOUNT = "bank-account"
    PLATE = "vehicle-plate"
    COORDINATES = "coordinates"
    ADDRESS = "address"
    NAME = "name"


class Action(enum.StrEnum):
    """What becomes of what is found."""

    MASK = "mask"
    PSEUDONYM = "pseudonym"
    DROP = "drop"
    KEEP = "keep"


class Found(NamedTuple):
    """``text[start:end]`` is personal; the value itself is never kept."""

    kind: Kind
    start: int
    end: int


NEEDS_TRUST = frozenset({Kind.COORDINATES, Kind.NAME})
"""Kinds whose rules know little: looked for only when asked, names also where a model finds them."""

STRENGTH: Mapping[Kind, int] = {kind: place for place, kind in enumerate(Kind)}


def _usual_kinds() -> tuple[Kind, ...]:
    return tuple(kind for kind in Kind if kind not in NEEDS_TRUST)


@dataclass(frozen=True, kw_only=True)
class PersonalSettings:
    """Which kinds are looked for, and what becomes of each; the key of pseudonyms is secret, no setting."""

    kinds: tuple[Kind, ...] = field(default_factory=_usual_kinds)
    action: Action = Action.MASK
    """For every kind that ``actions`` does not name."""
    actions: dict[str, Action] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    """Texts by kind in place of the usual ones, such as ``[EMAIL]``."""
    local_addresses: bool = False
    """Whether private, loopback and documentation addresses count as personal."""
    key_file: Path | None = None
    """Where the key of pseudonyms lies; none is a file beside the corpus."""
    entities: Path | None = None
    """A token-classification model that finds names and addresses."""
    labels: dict[str, Kind] = field(default_factory=dict)
    """What its labels stand for, beside what ``entities.USUAL_KINDS`` knows."""
    min_probability: float = 0.5
    """From which on a finding of the model counts, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the names of kinds, and that a mask cannot itself be taken for personal data."""
        known = {kind.value for kind in Kind}
        for name in (*self.actions, *self.masks):
            if name not in known:
                remedy = "one of: " + ", ".join(sorted(known))
                raise InputError(f"there is no kind of personal data {name!r}", remedy=remedy)
        for name, mask in self.masks.items():
            if not _MASK.fullmatch(mask):
                remedy = f"[WORDS] or 〔WORDS〕, up to {_MAX_MASK_CHARS} characters without digits and signs"
                raise InputError(f"{mask!r} cannot stand for {name}", where="masks", remedy=remedy)
        if not 0 <= self.min_probability <= 1:
            raise InputError(f"min_probability must be from 0 to 1, not {self.min_probability}")
        if self.labels and self.entities is None:
            raise InputError("labels need a model", where="personal data", remedy="name it under entities")

    def action_for(self, kind: Kind) -> Action:
        """What becomes of this kind."""
        return self.actions.get(kind.value, self.action)

    def mask_for(self, kind: Kind) -> str:
        """The text that stands for this kind."""
        return self.masks.get(kind.value, f"[{kind.name}]")

    @property
    def needs_key(self) -> bool:
        """Whether anything becomes a pseudonym."""
        kinds = {*self.kinds, Kind.NAME} if self.entities is not None else self.kinds
        return any(self.action_for(kind) is Action.PSEUDONYM for kind in kinds)
