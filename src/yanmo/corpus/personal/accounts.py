"""Accounts that check themselves: IBAN and Bitcoin's addresses; Ethereum's by their length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from yanmo.corpus.personal.checks import IBAN_LENGTHS, is_base58check, is_bech32, is_iban
from yanmo.corpus.personal.context import is_word, since_mask, words_before
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_IBAN = re.compile(r"[0-9A-Za-z](?:[ \-\u00a0\u202f]?[0-9A-Za-z]){0,40}+")
_FORMS = (
    (re.compile("[13][1-9A-HJ-NP-Za-km-z]{25,33}(?![0-9A-Za-z_])"), is_base58check),
    (re.compile("(?:bc1|BC1)[0-9A-Za-z]{20,87}(?![0-9A-Za-z])"), is_bech32),
)
_ETHEREUM = re.compile(r"0x[0-9A-Fa-f]{40}(?![0-9A-Za-z])")
_WALLET = re.compile(
    r"\beth|wallet|ethereum|erc|usdt|crypto|coin|钱包|以太|虚拟币|转账|\bpay|\bsend|donat|address|地址"
)


def find_ibans(marks: Landmarks) -> Iterator[Found]:
    """International bank account numbers, whole or in groups of four."""
    text = marks.text
    for place in marks.after_letters:
        start = place - 2
        size = (
            None
            if start < 0 or is_word(text[start - 1 : start])
            else IBAN_LENGTHS.get(text[start:place].upper())
        )
        written = _IBAN.match(text, start) if size is not None else None
        if written is None or size is None:
            continue
        letters = [place for place, character in enumerate(written[0], start + 1) if character.isalnum()]
        if len(letters) < size:
            continue
        end = letters[size - 1]
        value = "".join(filter(str.isalnum, text[start:end]))
        if is_iban(value) and not is_word(text[end : end + 1]):
            yield Found(Kind.IBAN, start, end)


def find_crypto(marks: Landmarks) -> Iterator[Found]:
    """Addresses of Bitcoin by their checksums; of Ethereum after words that speak of wallets."""
    text = marks.text
    for start, end in marks.tokens:
        for form, check in _FORMS:
            for match in form.finditer(text, start, end):
                if check(match[0]) and not is_word(text[match.start() - 1 : match.start()]):
                    yield Found(Kind.CRYPTO, *match.span())
        for match in _ETHEREUM.finditer(text, start, end):
            if _WALLET.search(since_mask(words_before(text, match.start()))):
                yield Found(Kind.CRYPTO, *match.span())
