"""Values that stand for others: of the same form, the same for the same value, and nobody's.

HMAC-SHA256 (RFC 2104) of the kind and the normalised value under a secret key gives the numbers that a
pseudonym is made of: without the key it can be neither reversed nor recomputed from a guess. Where ranges are
reserved for examples, it is taken from them; otherwise its checksum is wrong on purpose. Several values may
meet in one pseudonym where a reserved range is small (British telephones: 1,000). What has no form (keys,
addresses) gets a tag.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from yanmo.corpus.personal import phones
from yanmo.corpus.personal.context import narrow
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.reserved import (
    CHINESE_NAME_MARK,
    DRAMA_ELSEWHERE,
    DRAMA_LONDON,
    DRAMA_MOBILE,
    MAC_BEGINNING,
    NAME_END,
)
from yanmo.corpus.personal.settings import Kind, PersonalSettings

_TRIES = 64
_SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in "aeiou")
_STEMS = "子丑寅卯辰巳午未申酉戌亥"
_SURNAMES = "赵钱孙李周吴郑王冯陈蒋沈韩杨朱秦许何吕张"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_UNASSIGNED_REGION = "99"
_BEFORE = "000"


class _Draws:
    """Numbers that depend on the key, the kind, the value and nothing else."""

    def __init__(self, key: bytes, name: str) -> None:
        self._key, self._name, self._block, self._bytes = key, name.encode("utf-8", "surrogatepass"), 0, b""

    def below(self, limit: int) -> int:
        """A number below ``limit``, which is small beside 2**32."""
        if len(self._bytes) < 4:
            message = self._block.to_bytes(4, "big") + self._name
            self._bytes, self._block = hmac.digest(self._key, message, hashlib.sha256), self._block + 1
        taken, self._bytes = self._bytes[:4], self._bytes[4:]
        return int.from_bytes(taken, "big") % limit

    def digits(self, count: int) -> str:
        """So many digits."""
        return "".join(str(self.below(10)) for _ in range(count))

    def word(self, syllables: int) -> str:
        """Something that can be spoken."""
        return "".join(_SYLLABLES[self.below(len(_SYLLABLES))] for _ in range(syllables))


def pseudonym(kind: Kind, value: str, key: bytes) -> str:
    """What stands for a value everywhere in a corpus.

    Args:
        kind: what the value is.
        value: as it stands in the text.
        key: the secret of the corpus.
    """
    plain = narrow(value)
    name = f"{kind.value}\0{normalised(kind, plain)}"
    make = _MAKERS.get(kind)
    if make is not None:
        everything = PersonalSettings(kinds=tuple(Kind), local_addresses=False)
        for turn in range(_TRIES):
            made = make(plain, _Draws(key, f"{name}\0{turn}"), key)
            if made != plain and not find(made, everything):
                return made
    tag = hmac.digest(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:8]
    return f"[{kind.name}-{tag}]"


def normalised(kind: Kind, plain: str) -> str:
    """One form for all ways of writing a value."""
    if kind is Kind.EMAIL:
        return "@".join(_mail_parts(plain))
    if kind is Kind.PHONE:
        digits = "".join(filter(str.isdecimal, phones.without_extension(plain)))
        for code in ("0086", "86"):
            if digits.startswith(code) and phones.is_chinese(digits.removeprefix(code)):
                return digits.removeprefix(code)
        return digits[1:] if _has_american_code(plain, digits) else digits
    if kind in (Kind.NAME, Kind.ADDRESS):
        return " ".join(plain.lower().split())
    if kind in (Kind.PASSWORD, Kind.API_KEY, Kind.PRIVATE_KEY, Kind.URL_CREDENTIALS, Kind.CRYPTO):
        return plain
    return re.sub(r"[\W_]", "", plain).upper()


def _mail_parts(plain: str) -> tuple[str, str]:
    """Local part and domain, however the signs are written."""
    small = re.sub(r" ?[\[({<（【〔] ?(?:dot|\.|点) ?[\])}>）】〕] ?| dot ", ".", plain.lower())
    local, _, domain = re.sub(
        r" ?[\[({<（【〔] ?(?:at|a|@) ?[\])}>）】〕] ?| at | @ |#", "@", small, count=1
    ).partition("@")
    return local, domain


def _mail(plain: str, draws: _Draws, key: bytes) -> str:
    _, domain = _mail_parts(plain)
    # The domain has its own draws, so that colleagues stay colleagues.
    return f"{draws.word(2)}.{draws.word(3)}@{_Draws(key, 'domain' + chr(0) + domain).word(3)}.example"


def _written(plain: str, digits: str) -> str:
    """New digits in the place of the old ones, with their separators; there are as many."""
    fresh = iter(digits)
    return "".join(next(fresh) if c.isdecimal() else c for c in plain)


def _phone(plain: str, draws: _Draws, key: bytes) -> str:
    bare = phones.without_extension(plain)
    digits = "".join(filter(str.isdecimal, bare))
    lead, code = "00" if digits.startswith("0086") else "", ""
    if "+" in bare or lead or (digits.startswith("86") and len(digits) == 13):
        code = phones.country_code(digits.removeprefix(lead))
    elif _has_american_code(bare, digits):
        code = "1"
    lead += code
    return _written(bare, lead + _national(code, digits[len(lead) :], draws))


def _has_american_code(plain: str, digits: str) -> bool:
    """Whether eleven digits begin with the country's 1: without a plus they may be a Chinese mobile's."""
    chinese = "+" not in plain and phones.is_chinese_mobile(digits)
    return len(digits) == 11 and phones.is_american(digits) and not chinese


def _national(code: str, national: str, draws: _Draws) -> str:
    """Reserved or unassigned digits of the same length, after a country's code or as dialled at home."""
    size = len(national)
    if code in ("", "1") and size == 10 and phones.is_american(national):
        return f"{2 + draws.below(8)}{draws.below(9)}{draws.below(10)}55501{draws.digits(2)}"
    # Eleven digits from 07 are a British mobile's too.
    if (
        not code
        and phones.is_chinese(national)
        and national[0] == "0"
        and not (size == 11 and national[1] == "7")
    ):
        area = 3 if national[1] in "12" else 4
        return national[:area] + "0" + draws.digits(size - area - 1)
    at_home = "0" + national if code == "44" else national
    if (code == "44" or (not code and not phones.is_chinese(national))) and phones.is_british(at_home):
        begin = {"07": DRAMA_MOBILE, "02": DRAMA_LONDON}.get(at_home[:2], DRAMA_ELSEWHERE)
        made = begin + draws.digits(len(at_home) - len(begin))
        return made[len(made) - size :]
    if phones.is_chinese_mobile(national):
        return "11" + draws.digits(size - 2)
    return (_BEFORE + draws.digits(size))[:size]


def _resident(plain: str, draws: _Draws, key: bytes) -> str:
    birth = f"{1940 + draws.below(70)}{1 + draws.below(12):02d}{1 + draws.below(28):02d}"
    size = sum(c.isalnum() for c in plain)
    digits = _UNASSIGNED_REGION + draws.digits(4) + (birth if size == 18 else birth[2:]) + draws.digits(4)
    written = plain.upper().replace("X", "0")
    return _written(written, digits[:size])


def _card(plain: str, draws: _Draws, key: bytes) -> str:
    digits = "".join(filter(str.isdecimal, plain))
    # With an issuer and without the right check digit it is nothing; fourteen digits might be an account's.
    begin = {14: _BEFORE, 15: "37", 17: "62", 18: "62"}.get(len(digits), "4")
    return _written(plain, begin + draws.digits(len(digits) - len(begin)))


def _iban(plain: str, draws: _Draws, key: bytes) -> str:
    # Check digits are 02 to 98: 00 is nobody's.
    reshaped = _reshaped(plain, draws, key)
    places = [i for i, c in enumerate(plain) if c.isalnum()]
    characters = list(reshaped)
    for place, character in zip(places[:4], plain[:2] + "00", strict=True):
        characters[place] = character
    return "".join(characters)


def _reshaped(plain: str, draws: _Draws, key: bytes) -> str:
    """Digits for digits, letters for letters; drawn again while the checksum happens to be right."""
    made = []
    for character in plain:
        if character.isdecimal():
            made.append(draws.digits(1))
        elif character.isascii() and character.isalpha():
            letter = _LETTERS[draws.below(len(_LETTERS))]
            made.append(letter if character.isupper() else letter.lower())
        else:
            made.append(character)
    return "".join(made)


def _reserved_beginning(plain: str, draws: _Draws, key: bytes) -> str:
    count = sum(c.isdecimal() for c in plain)
    letters = _reshaped(re.sub("[0-9]", "0", plain), draws, key)
    return _written(letters, (_BEFORE + draws.digits(count))[:count])


def _plate(plain: str, draws: _Draws, key: bytes) -> str:
    # Plates have no letter O.
    head = len(plain) - (6 if len(re.sub("[^0-9A-Z]", "", plain)) > 6 else 5)
    return f"{plain[:head]}O{_reshaped(plain[head + 1 :], draws, key)}"


def _ip(plain: str, draws: _Draws, key: bytes) -> str:
    if ":" in plain:
        return "2001:db8:" + ":".join(f"{draws.below(0xFFFF) + 1:x}" for _ in range(6))
    # Class E (RFC 1112): the three networks for documentation hold 762 addresses only.
    return ".".join(map(str, (240 + draws.below(15), *(draws.below(256) for _ in range(3)))))


def _mac(plain: str, draws: _Draws, key: bytes) -> str:
    digits = iter(MAC_BEGINNING + "".join("0123456789abcdef"[draws.below(16)] for _ in range(6)))
    made = "".join(next(digits) if c.isalnum() else c for c in plain)
    return made.upper() if plain.isupper() else made


def _name(plain: str, draws: _Draws, key: bytes) -> str:
    if not re.search("[\u3400-\u9fff]", plain):
        return f"{draws.word(2).title()} {draws.word(2).title()}{NAME_END}"
    stem = _STEMS[draws.below(len(_STEMS))] + _STEMS[draws.below(len(_STEMS))]
    return _SURNAMES[draws.below(len(_SURNAMES))] + CHINESE_NAME_MARK + stem


_MAKERS: dict[Kind, Callable[[str, _Draws, bytes], str]] = {
    Kind.EMAIL: _mail,
    Kind.PHONE: _phone,
    Kind.RESIDENT_ID: _resident,
    Kind.CARD: _card,
    Kind.IBAN: _iban,
    Kind.CREDIT_CODE: _reshaped,
    Kind.NATIONAL_ID: _reshaped,
    Kind.SSN: _reserved_beginning,
    Kind.PASSPORT: _reserved_beginning,
    Kind.BANK_ACCOUNT: _reserved_beginning,
    Kind.PLATE: _plate,
    Kind.IP: _ip,
    Kind.MAC: _mac,
    Kind.NAME: _name,
}
