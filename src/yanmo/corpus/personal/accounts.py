"""Accounts that check themselves: IBAN and Bitcoin's addresses; Ethereum's by their length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from yanmo.corpus.personal.checks import IBAN_LENGTHS, is_base58check, is_bech32, is_iban
from yanmo.corpus.personal.context import is_word, since_mask, words_before
from yanmo.corpus.personal.settings import Found, Kind

_IBAN_START = re.compile(
    r"[0-9][0-9](?<=[A-Za-z]{2}[0-9]{2})(?<![A-Za-z0-9][A-Za-z]{2}[0-9]{2})(?=[ \-\u00a0]?[0-9A-Za-z])"
)
_IBAN = re.compile(r"[0-9A-Za-z](?:[ \-\u00a0\u202f]?[0-9A-Za-z]){0,40}+")
_BASE58 = re.compile(r"[13][1-9A-HJ-NP-Za-km-z]{25,33}(?![0-9A-Za-z_])")
_BECH32 = re.compile(r"(?:bc1|BC1)[0-9A-Za-z]{20,87}(?![0-9A-Za-z])")
_ETHEREUM = re.compile(r"0x[0-9A-Fa-f]{40}(?![0-9A-Za-z])")
_WALLET = re.compile(
    r"\beth|wallet|ethereum|erc|usdt|crypto|coin|钱包|以太|虚拟币|转账|\bpay|\bsend|donat|address|地址"
)


def find_ibans(text: str) -> Iterator[Found]:
    """International bank account numbers, whole or in groups of four."""
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2
        size = IBAN_LENGTHS.get(text[start : start + 2].upper())
        written = _IBAN.match(text, start) if size is not None else None
        if written is None or size is None:
            continue
        taken, end = 0, start
        for end, character in enumerate(written[0], start + 1):
            taken += character.isalnum()
            if taken == size:
                break
        value = "".join(filter(str.isalnum, text[start:end]))
        if is_iban(value) and not is_word(text[end : end + 1]):
            yield Found(Kind.IBAN, start, end)


def find_crypto(text: str) -> Iterator[Found]:
    """Addresses of Bitcoin by their checksums; of Ethereum after words that speak of wallets."""
    for match in _BASE58.finditer(text):
        if not is_word(text[match.start() - 1 : match.start()]) and is_base58check(match[0]):
            yield Found(Kind.CRYPTO, *match.span())
    if "bc1" in text or "BC1" in text:
        for match in _BECH32.finditer(text):
            if is_bech32(match[0]) and not is_word(text[match.start() - 1 : match.start()]):
                yield Found(Kind.CRYPTO, *match.span())
    if "0x" in text:
        for match in _ETHEREUM.finditer(text):
            if _WALLET.search(since_mask(words_before(text, match.start()))):
                yield Found(Kind.CRYPTO, *match.span())
