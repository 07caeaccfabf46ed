"""Checksums and ranges of numbers that identify people, companies and accounts.

ISO/IEC 7812 (cards, Luhn), ISO 13616 and ISO/IEC 7064 MOD 97-10 (IBAN), GB 11643-1999 (Chinese resident ID,
MOD 11-2), GB 32100-2015 (Chinese credit code, MOD 31), BIP 173 and BIP 350 (bech32), Base58Check.
Every function takes digits and letters without separators, in ASCII.
"""

from __future__ import annotations

import hashlib
from datetime import date

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_AUTHORITIES = frozenset("123456789ANY")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_STEPS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_RESULTS = (1, 0x2BC830A3)
_FIRST_YEAR, _LAST_YEAR = 1880, 2045

_ISSUERS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("6011", "6011", (16, 19)),
    ("644", "659", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("81", "81", (16, 17, 18, 19)),
    ("3528", "3589", (16, 19)),
    ("300", "305", (14, 16)),
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("2200", "2204", (16, 19)),
    ("5018", "5018", (16, 19)),
    ("5020", "5020", (16, 19)),
    ("5038", "5038", (16, 19)),
    ("5893", "5893", (16, 19)),
    ("6304", "6304", (16, 19)),
    ("6759", "6763", (16, 19)),
    ("9558", "9558", (16, 19)),
)

IBAN_LENGTHS = {
    word[:2]: int(word[2:])
    for word in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BI27",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DJ27",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FK18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MN20",
        "MR27",
        "MT31",
        "MU30",
        "NI28",
        "NL18",
        "NO15",
        "OM23",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "RU33",
        "SA24",
        "SC31",
        "SD18",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "SO23",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
        "YE30",
    ]
}


def is_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B; digits that are all the same do not count."""
    total = sum(map(int, digits[-1::-2])) + sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return total % 10 == 0 and len(set(digits)) > 1


def has_issuer(digits: str) -> bool:
    """Whether a payment system issues cards with this beginning and length."""
    return any(low <= digits[: len(low)] <= high and len(digits) in sizes for low, high, sizes in _ISSUERS)


def is_card(digits: str) -> bool:
    """A payment card's number."""
    return has_issuer(digits) and is_luhn(digits)


def is_date(year: int, month: str, day: str) -> bool:
    """A day of the last or of this century."""
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return _FIRST_YEAR <= year <= _LAST_YEAR


def is_resident_id(value: str) -> bool:
    """GB 11643-1999: region, date of birth, order, check character; or the 15 digits of before."""
    if value[:2] not in _PROVINCES or value[2:6] == "0000":
        return False
    if len(value) == 15:
        return is_date(1900 + int(value[6:8]), value[8:10], value[10:12])
    if len(value) != 18 or not is_date(int(value[6:10]), value[10:12], value[12:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, value[:17], strict=True))
    return "10X98765432"[total % 11] == value[17].upper()


def is_credit_code(value: str) -> bool:
    """GB 32100-2015: authority, kind, region, organisation and check character."""
    if len(value) != 18 or value[0] not in _CREDIT_AUTHORITIES or value[2:4] not in _PROVINCES | {"10"}:
        return False
    places = [_CREDIT_ALPHABET.find(character) for character in value]
    if min(places) < 0 or not value[2:8].isdigit():
        return False
    total = sum(place * pow(3, i, 31) for i, place in enumerate(places[:17]))
    return -total % 31 == places[17]


def is_iban(value: str) -> bool:
    """ISO 13616: the country's length and MOD 97-10."""
    value = value.upper()
    if IBAN_LENGTHS.get(value[:2]) != len(value) or not value[2:4].isdigit() or not value.isalnum():
        return False
    return (
        2 <= int(value[2:4]) <= 98 and int("".join(str(int(c, 36)) for c in value[4:] + value[:4])) % 97 == 1
    )


def is_ssn(digits: str) -> bool:
    """Ranges of the US Social Security Administration; numbers of advertisements do not count."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "123456789") and len(set(digits)) > 1


def is_base58check(value: str) -> bool:
    """A Bitcoin address of the first kinds: version, 20 bytes, four bytes of a double SHA-256."""
    number = 0
    for character in value:
        place = _BASE58.find(character)
        if place < 0:
            return False
        number = number * 58 + place
    if number >> 200:
        return False
    data = number.to_bytes(25, "big")
    check = hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4]
    return data[0] in (0, 5) and check == data[-4:]


def is_bech32(value: str) -> bool:
    """A Bitcoin address of BIP 173 or BIP 350."""
    value = value.lower()
    prefix, mark, data = value.rpartition("1")
    places = [_BECH32.find(character) for character in data]
    if not mark or not prefix or len(data) < 6 or min(places) < 0:
        return False
    check = 1
    for place in [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *places]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ place
        for bit, step in enumerate(_BECH32_STEPS):
            check ^= step if top >> bit & 1 else 0
    return check in _BECH32_RESULTS
