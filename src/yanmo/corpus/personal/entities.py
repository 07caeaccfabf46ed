"""From the labels of token-classification models to kinds of personal data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from yanmo.corpus.personal.settings import Kind
from yanmo.errors import InputError

# As models of news (PER, LOC), of many kinds (PERSON, GPE), of Chinese (name, address) and of personal data
# (GIVENNAME, STREET) write them. Towns and countries alone are nobody's address.
_NAMES = (
    "per person name persname firstname lastname middlename givenname surname fullname personname prename"
    " patient doctor nr 人名 姓名"
)
_ADDRESSES = (
    "address addr street streetaddress streetname fulladdress homeaddress secondaryaddress buildingnumber"
    " buildingnum 地址 住址"
)
USUAL_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(_NAMES.split(), Kind.NAME),
    **dict.fromkeys(_ADDRESSES.split(), Kind.ADDRESS),
}
"""By label, in small letters without signs."""


def kinds_of(labels: Iterable[str], chosen: Mapping[str, Kind], *, where: object = None) -> dict[str, Kind]:
    """Kinds of a model's labels; labels that are nothing personal are left out.

    Args:
        labels: of the model, without marks of beginning and end.
        chosen: kinds by label, before the usual ones.
        where: the model, for messages.

    Raises:
        InputError: a chosen label is not the model's, or no label is of any kind.
    """
    labels = list(labels)
    known = f"its labels: {', '.join(labels)}"
    for label in chosen:
        if label not in labels:
            raise InputError(f"the model has no label {label!r}", where=where, remedy=known)
    found = {label: chosen.get(label) or USUAL_KINDS.get(_plain(label)) for label in labels}
    kinds = {label: kind for label, kind in found.items() if kind is not None}
    if not kinds:
        remedy = f"say under labels which of them are names or addresses; {known}"
        raise InputError("none of the model's labels is known to be personal", where=where, remedy=remedy)
    return kinds


def _plain(label: str) -> str:
    return "".join(character for character in label.lower() if character.isalnum())
