"""Where personal data stands in a text.

Each finder begins at something rare (a run of digits, an ``@``, a literal) and is linear in the text. What
they find is put in order; of what overlaps the strongest kind is kept; what is reserved or not asked for is
left out.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from yanmo.corpus.personal import accounts, credentials, national, network, numbers, phones, places
from yanmo.corpus.personal.context import narrow
from yanmo.corpus.personal.landmarks import Landmarks, survey
from yanmo.corpus.personal.reserved import is_reserved
from yanmo.corpus.personal.settings import STRENGTH, Found, Kind, PersonalSettings

Entities = Callable[[str], list[Found]]
"""A model's view of a text, for names and addresses."""

_PIECE_CHARS = 1 << 20
# More than any finder looks back, and than the longest finding.
_BEFORE_CHARS, _AFTER_CHARS = 256, 1 << 15

_NUMBERS = (
    Kind.RESIDENT_ID,
    Kind.CREDIT_CODE,
    Kind.CARD,
    Kind.NATIONAL_ID,
    Kind.SSN,
    Kind.PASSPORT,
    Kind.PHONE,
)
Finder = Callable[[Landmarks], Iterable[Found]]
_FINDERS: tuple[tuple[frozenset[Kind], Finder], ...] = (
    (frozenset((*_NUMBERS, Kind.BANK_ACCOUNT)), numbers.find_numbers),
    (frozenset({Kind.PHONE}), phones.find_international),
    (frozenset({Kind.NATIONAL_ID}), national.find_lettered),
    (frozenset({Kind.IBAN}), accounts.find_ibans),
    (frozenset({Kind.CRYPTO}), accounts.find_crypto),
    (frozenset({Kind.EMAIL}), network.find_emails),
    (frozenset({Kind.IP, Kind.MAC}), network.find_addresses),
    (frozenset({Kind.URL_CREDENTIALS}), network.find_url_secrets),
    (frozenset({Kind.API_KEY, Kind.PRIVATE_KEY}), credentials.find_issued_keys),
    (frozenset({Kind.PASSWORD, Kind.API_KEY}), credentials.find_assigned),
    (frozenset({Kind.PLATE}), places.find_plates),
    (frozenset({Kind.ADDRESS}), places.find_postal),
    (frozenset({Kind.COORDINATES}), places.find_coordinates),
    (frozenset({Kind.NAME}), places.find_names),
)


def find(text: str, settings: PersonalSettings, entities: Entities | None = None) -> list[Found]:
    """What is personal in a text, in order and without overlaps.

    Args:
        text: any text.
        settings: the kinds to look for.
        entities: a model that names what rules cannot know; its names count though no rule looks for them.
    """
    kinds, finders = _asked(tuple(settings.kinds))
    candidates = list(_candidates(text, finders))
    if entities is not None:
        candidates += entities(text)
        kinds |= {Kind.NAME}
    return [
        found
        for found in strongest(candidates)
        if found.kind in kinds and not _is_nobodys(text, found, local_addresses=settings.local_addresses)
    ]


@lru_cache(maxsize=16)
def _asked(kinds: tuple[Kind, ...]) -> tuple[frozenset[Kind], list[Finder]]:
    """The kinds and who finds them."""
    wanted = frozenset(kinds)
    return wanted, [finder for made, finder in _FINDERS if made & wanted]


def _candidates(text: str, finders: list[Finder]) -> Iterator[Found]:
    """What the finders say, a piece of the text at a time: memory does not grow with the text."""
    for start in range(0, len(text), _PIECE_CHARS):
        begin, end = max(0, start - _BEFORE_CHARS), start + _PIECE_CHARS
        marks = survey(text[begin : end + _AFTER_CHARS])
        for finder in finders:
            for found in finder(marks):
                # What begins in the margins is found with the piece before or after.
                if start <= found.start + begin < end:
                    yield Found(found.kind, found.start + begin, found.end + begin)


def _is_nobodys(text: str, found: Found, *, local_addresses: bool) -> bool:
    return is_reserved(found.kind, narrow(text[found.start : found.end]), local_addresses=local_addresses)


def strongest(candidates: list[Found]) -> list[Found]:
    """Of findings that overlap the strongest kind, then the longest, then the first; in order."""
    starts: list[int] = []
    kept: list[Found] = []
    for cluster in _overlapping(candidates):
        starts.clear()
        chosen: list[Found] = []
        for found in sorted(cluster, key=lambda f: (STRENGTH[f.kind], f.start - f.end, f.start)):
            place = bisect(starts, found.start)
            if found.kind is Kind.ADDRESS and place and found.start < chosen[place - 1].end < found.end:
                # A number before a street may belong to what stands before it; the street is still one.
                found = found._replace(start=chosen[place - 1].end)
            if (place and chosen[place - 1].end > found.start) or (
                place < len(chosen) and chosen[place].start < found.end
            ):
                continue
            starts.insert(place, found.start)
            chosen.insert(place, found)
        kept += chosen
    return kept


def _overlapping(candidates: list[Found]) -> Iterator[list[Found]]:
    """Candidates in groups that touch no other group."""
    group: list[Found] = []
    end = -1
    for found in sorted(set(candidates), key=lambda f: (f.start, f.end)):
        if group and found.start >= end:
            yield group
            group = []
        group.append(found)
        end = max(end, found.end) if len(group) > 1 else found.end
    if group:
        yield group
