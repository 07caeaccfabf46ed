"""Masks, pseudonyms and reports: consistent, of the same form, never found again, telling nothing."""

from __future__ import annotations

import logging
import pickle
import random
import stat
from itertools import pairwise
from pathlib import Path

import pytest

from yanmo.config import from_mapping, to_mapping
from yanmo.corpus.edits import apply_edits
from yanmo.corpus.personal.checks import is_card, is_iban, is_resident_id
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.mask import Masker, read_key, usual_key_file
from yanmo.corpus.personal.pseudonyms import pseudonym
from yanmo.corpus.personal.settings import Action, Kind, PersonalSettings
from yanmo.errors import InputError

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ALL = tuple(Kind)
MASKS = PersonalSettings(kinds=ALL)
PSEUDONYMS = PersonalSettings(kinds=ALL, action=Action.PSEUDONYM)
PIECES = (
    "Write to john.smith@gmail.com.",
    "邮箱zhangsan@qq.com，谢谢",
    "bob [at] acme [dot] de",
    "手机13812345678。",
    "（021）68881234转8012",
    "+86 138 1234 5678",
    "call (415) 867-5309 now",
    "+44 20 7123 4567",
    "+49 30 1234567",
    "Tel: 030 1234567",
    "0755-8888 8888",
    "身份证号11010519491231002X，",
    "银行卡号378282246310005，",
    "Phone +49 30 1234567, ask",
    "pay 4111 1111 1111 1111 now",
    "卡号4111-1111-1111-1111",
    "to GB82 WEST 1234 5698 7654 32 today",
    "统一社会信用代码：91350100M000100Y43",
    "SSN 536-90-4399",
    "CPF 529.982.247-25",
    "护照号码：G12345678。",
    "账号：1234567890123",
    "车牌京A12345，沪AD12345",
    "from 203.1.114.45 and 2a00:1450:4001:81b::200e",
    "网卡：3c:5a:b4:01:02:03",
    "https://bob:hunter22@db.acme.net/x?access_token=abc123def456",
    "api_key: kD8sh2KslP29dmQx7Tz1",
    'password = "hunter2!"',
    "密码是123456",
    "send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "地址：北京市海淀区中关村大街27号1号楼501室。",
    "350 Fifth Avenue, Suite 12, New York, NY 10118",
    "姓名：李小明",
    "Mr. John Smith said",
    "version 1.2.3.4",
    "订单号13812345678",
    "in 1999 2000 2001",
    "研墨",
)


def masked(text: str, settings: PersonalSettings, key: bytes = KEY) -> str:
    return apply_edits(text, Masker(settings, key).edits(text, find(text, settings)))


def mixture(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(PIECES) + draw.choice(("\n", " ", "，", "\n\n", ". ")) for _ in range(30))


def test_masks_name_the_kind() -> None:
    assert masked("ann@acme.com 或 13812345678", MASKS) == "[EMAIL] 或 [PHONE]"
    settings = PersonalSettings(masks={"phone": "〔电话〕"})
    assert masked("ann@acme.com 或 13812345678", settings) == "[EMAIL] 或 〔电话〕"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(
    "settings", [MASKS, PSEUDONYMS, PersonalSettings(kinds=ALL, masks={"phone": "〔电话〕"})]
)
def test_masking_twice_changes_nothing(seed: int, settings: PersonalSettings) -> None:
    text = mixture(seed)
    once = masked(text, settings)
    assert once != text
    assert masked(once, settings) == once


@pytest.mark.parametrize("seed", range(20))
def test_edits_are_in_order_and_apart(seed: int) -> None:
    text = mixture(seed)
    edits = Masker(PSEUDONYMS, KEY).edits(text, find(text, PSEUDONYMS))
    assert len(edits) > 10
    assert all(a.end <= b.start for a, b in pairwise(edits))
    assert all(text[e.start : e.end] != e.replacement for e in edits)


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        (
            Kind.EMAIL,
            ("Ann@Acme.com", "ann [at] acme [dot] com", "ann at acme dot com", "ａｎｎ＠ａｃｍｅ．ｃｏｍ"),
        ),
        (Kind.IBAN, ("GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432")),
    ],
)
def test_one_value_in_any_writing_has_one_pseudonym(kind: Kind, ways: tuple[str, ...]) -> None:
    made = {pseudonym(kind, way, KEY).replace(" ", "") for way in ways}
    assert len(made) == 1


def test_a_telephone_keeps_its_writing_and_its_digits() -> None:
    ways = ("13812345678", "138-1234-5678", "+86 138 1234 5678", "１３８１２３４５６７８", "8613812345678")
    made = [pseudonym(Kind.PHONE, way, KEY) for way in ways]
    digits = {"".join(str(int(c)) for c in m if c.isdecimal()).removeprefix("86") for m in made}
    assert len(digits) == 1
    assert made[1][3] == made[1][8] == "-"
    assert made[2].startswith("+86 ")
    assert made[3] == made[0]


def test_pseudonyms_have_the_form_and_are_nobodys() -> None:
    mail = pseudonym(Kind.EMAIL, "ann@acme.com", KEY)
    assert mail.endswith(".example")
    assert mail.partition("@")[2] == pseudonym(Kind.EMAIL, "bob@acme.com", KEY).partition("@")[2]
    assert mail != pseudonym(Kind.EMAIL, "bob@acme.com", KEY)
    assert pseudonym(Kind.PHONE, "(415) 867-5309", KEY)[6:12] == "555-01"
    assert pseudonym(Kind.PHONE, "+44 7488 691727", KEY).startswith("+44 7700 900")
    card = pseudonym(Kind.CARD, "4111 1111 1111 1111", KEY)
    assert card[0] == "4"
    assert [len(group) for group in card.split()] == [4, 4, 4, 4]
    assert not is_card(card.replace(" ", ""))
    resident = pseudonym(Kind.RESIDENT_ID, "11010519491231002X", KEY)
    assert len(resident) == 18
    assert not is_resident_id(resident)
    iban = pseudonym(Kind.IBAN, "DE89370400440532013000", KEY)
    assert iban.startswith("DE00")
    assert not is_iban(iban)
    assert pseudonym(Kind.SSN, "536-90-4399", KEY).startswith("000-")
    assert pseudonym(Kind.IP, "203.1.114.45", KEY).startswith("2")
    assert pseudonym(Kind.IP, "2a00:1450:4001:81b::200e", KEY).startswith("2001:db8:")
    assert pseudonym(Kind.MAC, "3C-5A-B4-01-02-03", KEY).startswith("02-00-00-")
    assert "某" in pseudonym(Kind.NAME, "李小明", KEY)
    assert pseudonym(Kind.NAME, "José Müller", KEY).endswith("doe")
    assert pseudonym(Kind.PASSWORD, "hunter2!", KEY).startswith("[PASSWORD-")


def test_another_key_gives_other_pseudonyms() -> None:
    for kind, value in (
        (Kind.EMAIL, "ann@acme.com"),
        (Kind.CARD, "4111111111111111"),
        (Kind.PASSWORD, "hunter2!"),
    ):
        assert pseudonym(kind, value, KEY) == pseudonym(kind, value, KEY)
        assert pseudonym(kind, value, KEY) != pseudonym(kind, value, OTHER_KEY)


def test_different_values_have_different_pseudonyms() -> None:
    draw = random.Random(0)
    values = {f"139{draw.randrange(10**8):08d}" for _ in range(300)}
    assert len({pseudonym(Kind.PHONE, value, KEY) for value in values}) == len(values)


def test_each_kind_has_its_action() -> None:
    settings = PersonalSettings(
        actions={"email": Action.KEEP, "phone": Action.PSEUDONYM, "resident-id": Action.DROP}
    )
    text = "ann@acme.com 13812345678 11010519491231002X 11010519491231002X 8.8.8.8 来自 93.184.216.34"
    found = find(text, settings)
    masker = Masker(settings, KEY)
    after = apply_edits(text, masker.edits(text, found))
    assert after.startswith("ann@acme.com 11")
    assert after.endswith("来自 [IP]")
    assert masker.refusal(found) == "resident-id 2"
    assert masker.refusal(found[:1]) == ""


def test_pseudonyms_need_a_key() -> None:
    with pytest.raises(InputError, match="key"):
        Masker(PSEUDONYMS)
    Masker(MASKS)


def test_settings_travel() -> None:
    settings = PersonalSettings(
        actions={"email": Action.DROP}, masks={"phone": "〔电话〕"}, key_file=Path("x.key")
    )
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert from_mapping(PersonalSettings, to_mapping(settings)) == settings


def test_a_key_is_made_once_and_lies_outside_the_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    path = usual_key_file(corpus)
    key = read_key(path, corpus)
    assert len(key) == 32
    assert read_key(path, corpus) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(tmp_path / "other.key", corpus) != key
    with pytest.raises(InputError, match="inside the corpus folder"):
        read_key(corpus / "x.key", corpus)


def test_a_file_that_holds_no_key_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = tmp_path / "k"
    for content in ("hunter2", "ab12", "密码"):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="not a key") as error:
            read_key(path, tmp_path / "corpus")
        assert content not in str(error.value)


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        masked(mixture(0), PSEUDONYMS)
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")
    assert "kkkk" not in repr(Masker(PSEUDONYMS, KEY))
