"""Checksums against examples that standards, authorities and payment systems publish."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from yanmo.corpus.personal import checks, national

PUBLISHED: list[tuple[Callable[[str], bool], str]] = [
    (checks.is_resident_id, "11010519491231002X"),  # GB 11643-1999
    (checks.is_resident_id, "440524188001010014"),  # GB 11643-1999
    (checks.is_credit_code, "91350100M000100Y43"),  # GB 32100-2015
    (checks.is_iban, "GB82WEST12345698765432"),  # ISO 13616
    (checks.is_iban, "DE89370400440532013000"),
    (checks.is_iban, "FR1420041010050500013M02606"),
    (checks.is_iban, "MT84MALT011000012345MTLCAST001S"),
    (checks.is_card, "4111111111111111"),
    (checks.is_card, "378282246310005"),
    (checks.is_card, "6011111111111117"),
    (checks.is_card, "3530111333300000"),
    (checks.is_base58check, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),  # the first block
    (checks.is_base58check, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    (checks.is_bech32, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),  # BIP 173
    (checks.is_bech32, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),  # BIP 350
    (national.is_verhoeff, "2363"),
    (national.is_cpf, "52998224725"),
    (national.is_nir, "255081416802538"),
    (national.is_pesel, "44051401359"),
    (national.is_nhs, "9434765919"),
    (national.is_german_tax, "86095742719"),
    (national.is_japanese, "123456789018"),
    (national.is_spanish, "12345678Z"),
    (national.is_spanish, "X1234567L"),
    (national.is_hong_kong, "A1234563"),
    (national.is_hong_kong, "G123456A"),
    (national.is_taiwanese, "A123456789"),
    (national.is_codice_fiscale, "RSSMRA85T10A562S"),
    (checks.is_luhn, "046454286"),  # Canada's SIN
]


@pytest.mark.parametrize(("check", "value"), PUBLISHED)
def test_published_examples_are_right(check: Callable[[str], bool], value: str) -> None:
    assert check(value)


@pytest.mark.parametrize(("check", "value"), [p for p in PUBLISHED if p[0] is not national.is_nir])
def test_every_other_last_character_is_wrong(check: Callable[[str], bool], value: str) -> None:
    others = "0123456789" if value[-1].isdigit() else "ABCDEFGHJKLMNPQRSTUVWXYZ"
    right = [c for c in others if c != value[-1] and check(value[:-1] + c)]
    assert right == []


@pytest.mark.parametrize(
    "value",
    [
        "990105194912310023",  # no such province
        "110105194913310025",  # no such month
        "110105194902300027",  # no such day
        "110105174912310022",  # nobody is so old
        "11010519491231002",
        "",
    ],
)
def test_a_resident_id_has_a_region_and_a_birthday(value: str) -> None:
    assert not checks.is_resident_id(value)


def test_the_old_resident_id_has_a_birthday_and_no_checksum() -> None:
    assert checks.is_resident_id("110105491231002")
    assert not checks.is_resident_id("110105491331002")


def test_a_card_needs_an_issuer_and_its_length() -> None:
    assert checks.is_luhn("1234567812345670")
    assert not checks.is_card("1234567812345670")
    assert checks.is_luhn("41111111111111112") is False or not checks.is_card("41111111111111112")
    assert not checks.is_card("0000000000000000")


@pytest.mark.parametrize(
    "value", ["000121234", "666121234", "900121234", "123001234", "123120000", "078051120"]
)
def test_social_security_numbers_that_were_never_given(value: str) -> None:
    assert not checks.is_ssn(value)
    assert checks.is_ssn("536904399")


@pytest.mark.parametrize(
    "value", ["GB82WEST1234569876543", "ZZ82WEST12345698765432", "GB00WEST12345698765432", "GB"]
)
def test_an_iban_has_its_countrys_length(value: str) -> None:
    assert not checks.is_iban(value)
