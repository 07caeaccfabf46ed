"""What looks personal and is not: reserved for examples and private networks, or a pseudonym of ours.

RFC 2606 and 6761 (names), RFC 5737, 3849, 1918 and 4193 (addresses), the North American 555-01XX, Ofcom's
numbers for drama. Pseudonyms are taken from here wherever a range exists, so that they are never found again.
"""

from __future__ import annotations

import ipaddress
import re

from yanmo.corpus.personal.settings import Kind

DOMAINS = ("example.com", "example.org", "example.net", "example.edu", "example.cn")
TOP_LEVELS = ("example", "test", "invalid", "localhost", "local")
DRAMA_MOBILE, DRAMA_LONDON, DRAMA_ELSEWHERE = "07700900", "02079460", "01632960"
MAC_BEGINNING = "020000"
# No Chinese mobile begins with 10 or 11, no local number with 0, and none anywhere with three zeros.
_UNASSIGNED = re.compile(
    "1[01][0-9]{9}|0(?:10|2[0-9])0[0-9]{7}|0[3-9][0-9]{2}0[0-9]{7}|0[3-689][0-9]{2}0[0-9]{6}|000[0-9]+"
)
NAME_END, CHINESE_NAME_MARK = "doe", "某"


def is_reserved(kind: Kind, value: str, *, local_addresses: bool) -> bool:
    """Whether a value that was found is nobody's.

    Args:
        kind: what it was found to be.
        value: as it stands in the text, in usual width.
        local_addresses: whether addresses of private networks count as personal.
    """
    if kind is Kind.EMAIL:
        return _is_reserved_mail(value)
    if kind is Kind.IP:
        address = ipaddress.ip_address(value)
        return not local_addresses and (address.is_multicast or not address.is_global)
    if kind is Kind.MAC:
        digits = re.sub("[^0-9a-f]", "", value.lower())
        return digits.startswith((MAC_BEGINNING, "00005e0053")) or len(set(digits)) == 1
    if kind is Kind.PHONE:
        return _is_reserved_phone("".join(filter(str.isdecimal, value)), is_international="+" in value)
    if kind is Kind.NAME:
        return value.lower().endswith(NAME_END) or CHINESE_NAME_MARK in value
    return False


def _is_reserved_mail(value: str) -> bool:
    domain = re.sub(r"[^a-z0-9.-]+", "", re.sub(r"^.*(?:@|#|\bat\b)", "", value.lower()))
    return domain.endswith(DOMAINS) or domain.rpartition(".")[2] in TOP_LEVELS


def _is_reserved_phone(digits: str, *, is_international: bool) -> bool:
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(national) == 10 and national[3:8] == "55501":
        return True
    at_home = digits.removeprefix("00").removeprefix("86")
    for dialled in (at_home,) if is_international else (at_home, digits):
        if _UNASSIGNED.fullmatch(dialled) and (not is_international or digits.startswith("86")):
            return True
    british = "0" + digits[2:] if digits.startswith("44") else digits
    return british.startswith((DRAMA_MOBILE, DRAMA_LONDON, DRAMA_ELSEWHERE)) or len(set(digits)) == 1
