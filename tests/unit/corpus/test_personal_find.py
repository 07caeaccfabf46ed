"""Every kind in both languages, in many forms, and what only looks like it."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from yanmo.corpus.personal.find import find, strongest
from yanmo.corpus.personal.settings import Found, Kind, PersonalSettings
from yanmo.errors import InputError

ALL = PersonalSettings(kinds=tuple(Kind))
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----"


def seen(text: str, settings: PersonalSettings = ALL) -> list[tuple[Kind, str]]:
    return [(kind, text[start:end]) for kind, start, end in find(text, settings)]


POSITIVE = {
    Kind.EMAIL: [
        ("Write to john.smith@gmail.com.", "john.smith@gmail.com"),
        ("邮箱zhangsan@qq.com，谢谢", "zhangsan@qq.com"),
        ("邮箱：ｗａｎｇ＠ｓｏｈｕ．ｃｏｍ。", "ｗａｎｇ＠ｓｏｈｕ．ｃｏｍ"),
        ("a,b\n1,li@mail.ru\n", "li@mail.ru"),
        ("mailto:ann@acme.co.uk?subject=x", "ann@acme.co.uk"),
        ("bob [at] acme [dot] de", "bob [at] acme [dot] de"),
        ("bob(at)acme.org", "bob(at)acme.org"),
        ("al at acme dot com", "al at acme dot com"),
        ("发到abc#163.com即可", "abc#163.com"),
        ("jürgen@müller.de", "jürgen@müller.de"),
        ("see ann@acme.com.Please", "ann@acme.com"),
    ],
    Kind.PHONE: [
        ("手机13812345678。", "13812345678"),
        ("138-1234-5678 是他的", "138-1234-5678"),
        ("电话：１３８１２３４５６７８", "１３８１２３４５６７８"),
        ("+86 138 1234 5678", "+86 138 1234 5678"),
        ("（021）68881234转8012", "（021）68881234转8012"),
        ("座机010-65529988", "010-65529988"),
        ("0755-8888 8888", "0755-8888 8888"),
        ("服务热线400-820-8820", "400-820-8820"),
        ("call (415) 867-5309 now", "(415) 867-5309"),
        ("415.867.5309", "415.867.5309"),
        ("+1 212 867 5309", "+1 212 867 5309"),
        ("call 4158675309", "4158675309"),
        ("+44 (0)20 7123 4567", "+44 (0)20 7123 4567"),
        ("020 7123 4567", "020 7123 4567"),
        ("Mobile: 07488 691727", "07488 691727"),
        ("+49 30 1234567", "+49 30 1234567"),
        ("+44 20 7123 4567 350 seats", "+44 20 7123 4567"),
        ("+49 30 1234567. 20 of them", "+49 30 1234567"),
        ("(13812345678)", "13812345678"),
        ('{"phone": "555-2671"}', "555-2671"),
        ("13812345678/13912345678", "13812345678"),
    ],
    Kind.RESIDENT_ID: [
        ("身份证号11010519491231002X，", "11010519491231002X"),
        ("ID 440524188001010014 copied", "440524188001010014"),
        ("110105 19491231 002x", "110105 19491231 002x"),
        ("身份证110105491231002", "110105491231002"),
    ],
    Kind.CARD: [
        ("pay 4111 1111 1111 1111 now", "4111 1111 1111 1111"),
        ("卡号4111-1111-1111-1111", "4111-1111-1111-1111"),
        ("378282246310005", "378282246310005"),
        ("3782 822463 10005", "3782 822463 10005"),
        ("信用卡４１１１１１１１１１１１１１１１", "４１１１１１１１１１１１１１１１"),
    ],
    Kind.IBAN: [
        ("to GB82 WEST 1234 5698 7654 32 today", "GB82 WEST 1234 5698 7654 32"),
        ("汇到DE89370400440532013000。", "DE89370400440532013000"),
        ("de89 3704 0044 0532 0130 00", "de89 3704 0044 0532 0130 00"),
    ],
    Kind.CREDIT_CODE: [
        ("统一社会信用代码：91350100M000100Y43", "91350100M000100Y43"),
        ("code 91350100M000100Y43.", "91350100M000100Y43"),
    ],
    Kind.SSN: [
        ("SSN 536-90-4399", "536-90-4399"),
        ("SSN: 536904399", "536904399"),
        ("社会安全号536-90-4399", "536-90-4399"),
    ],
    Kind.NATIONAL_ID: [
        ("CPF 529.982.247-25", "529.982.247-25"),
        ("NIR 2 55 08 14 168 025 38", "2 55 08 14 168 025 38"),
        ("RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("香港身份证A123456(3)", "A123456(3)"),
        ("身分證A123456789", "A123456789"),
        ("DNI X1234567L", "X1234567L"),
        ("NHS 943 476 5919", "943 476 5919"),
    ],
    Kind.PASSPORT: [
        ("passport no. E12345678", "E12345678"),
        ("护照号码：G12345678。", "G12345678"),
        ("Passport: 512345678", "512345678"),
    ],
    Kind.BANK_ACCOUNT: [("账号：1234567890123", "1234567890123"), ("Account number 12345678", "12345678")],
    Kind.PLATE: [
        ("车牌京A12345", "京A12345"),
        ("挂牌粤B·1234学的车", "粤B·1234学"),
        ("a 沪AD12345 car", "沪AD12345"),
    ],
    Kind.IP: [
        ("from 203.1.114.45 today", "203.1.114.45"),
        ("登录地址8.8.8.8", "8.8.8.8"),
        ("http://93.184.216.34/x", "93.184.216.34"),
        ("IP：2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
        ("2600:94cd:84:662f:298b:5989:1f:a0.", "2600:94cd:84:662f:298b:5989:1f:a0"),
    ],
    Kind.MAC: [
        ("网卡：3c:5a:b4:01:02:03", "3c:5a:b4:01:02:03"),
        ("3C-5A-B4-01-02-03", "3C-5A-B4-01-02-03"),
        ("ether 3c5a.b401.0203.", "3c5a.b401.0203"),
    ],
    Kind.URL_CREDENTIALS: [
        ("https://bob:hunter22@db.acme.net/x", "bob:hunter22"),
        ("打开https://a.net/?id=1&access_token=abc123def456。", "abc123def456"),
    ],
    Kind.API_KEY: [
        ("AKIAIOSFODNN7EXAMPLZ", "AKIAIOSFODNN7EXAMPLZ"),
        ("x = 'ghp_abcdefghij0123456789abcdefghij012345'", "ghp_abcdefghij0123456789abcdefghij012345"),
        ("令牌是kD8sh2KslP29dmQx7Tz1", "kD8sh2KslP29dmQx7Tz1"),
        ("api_key: kD8sh2KslP29dmQx7Tz1", "kD8sh2KslP29dmQx7Tz1"),
        ("Authorization: Bearer kD8sh2KslP29dmQx7Tz1", "kD8sh2KslP29dmQx7Tz1"),
    ],
    Kind.PASSWORD: [
        ('password = "hunter2!"', "hunter2!"),
        ("密码：abc12345，", "abc12345"),
        ("密码是123456", "123456"),
        ("The password is woaini_2628", "woaini_2628"),
        ("口令为woaini!5552本鱼", "woaini!5552"),
    ],
    Kind.PRIVATE_KEY: [(f"密钥\n{PEM}\n完", PEM), (PEM, PEM)],
    Kind.CRYPTO: [
        ("send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("钱包bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4。", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("钱包0x" + "ab12" * 10, "0x" + "ab12" * 10),
    ],
    Kind.ADDRESS: [
        ("地址：北京市海淀区中关村大街27号1号楼501室。", "北京市海淀区中关村大街27号1号楼501室"),
        ("350 Fifth Avenue, Suite 12, New York, NY 10118", "350 Fifth Avenue, Suite 12, New York, NY 10118"),
        ("She lives at 12 Elm Street.", "12 Elm Street"),
    ],
    Kind.COORDINATES: [
        ("at 39.90420, 116.40740", "39.90420, 116.40740"),
        ("坐标39.90420，116.40740", "39.90420，116.40740"),
    ],
    Kind.NAME: [
        ("姓名：李小明", "李小明"),
        ("张伟先生", "张伟"),
        ("Mr. John Smith said", "John Smith"),
        ("Name: Jane Roe", "Jane Roe"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "text", "value"), [(k, t, v) for k, cases in POSITIVE.items() for t, v in cases]
)
def test_each_kind_is_found_where_it_stands(kind: Kind, text: str, value: str) -> None:
    assert (kind, value) in seen(text)


@pytest.mark.parametrize("kind", Kind)
def test_no_kind_is_left_without_a_test(kind: Kind) -> None:
    assert len(POSITIVE[kind]) >= 2


def test_two_telephones_with_a_slash_are_two() -> None:
    assert [value for _, value in seen("13812345678/13912345678")] == ["13812345678", "13912345678"]


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3.4 and v10.20.30.40 and libfoo-1.150.140.3",
        "1.2.3.4 Introduction",
        "第3.12.4.5节",
        "版本号为 10.33.44.55",
        "Agent/120.0.6099.109",
        "1.3.6.1.4.1.311",
        "ISBN 978-7-111-12345-6, ISBN 9787111123456, 0-306-40615-2",
        "ISSN 1234-5678",
        "2023-10-12 10:20:30.123456",
        "20231012 2023年10月12日 12/10/2023",
        "1876-1922, pp. 1234-1256",
        "Order 13812345678",
        "订单号13812345678",
        "快递单号13812345678",
        "订单号：4111111111111111",
        "13812345678元",
        "110105194912310021",  # the checksum is wrong
        "4111 1111 1111 1112",
        "GB82WEST12345698765433",
        "6.02214076e23 and 3.14159265358979 and 0.138123456789012",
        "3f2a9c1b7e3f2a9c1b7e3f2a9c1b7e3f2a9c1b7e",
        "123e4567-e89b-12d3-a456-426614174000",
        "doi:10.3895/j.cell.0734.78.620 arXiv:2301.12345",
        "$1,234,567,890.12",
        "12 345 678 people",
        "1999 2000 2001 2002 2003 2004",
        "logo@2x.png pkg@1.2.3 @ann @app.route('/') A@B.T W@x.sum() git@github.com:acme/x.git",
        "std::vector<int>::iterator a::b::c 10:20:30 3:1:4:1",
        "password = get_password() password: str 密码不能为空 忘记密码？ pwd=<your password>",
        "token = tokens[0]; max_tokens=4096; password_timeout = 86400; key = value; secret = os.environ['X']",
        "postgres://user:password@localhost/db",
        "192.168.1.20 127.0.0.1:8080 10.0.0.1 ::1 fe80::1",
        "ann@example.com bob@mail.example x@localhost",
        "call (415) 555-0123",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "No. 10 Ohio St. tops; at 1175 East 29th Avenue in Eugene",
        "国发〔2015〕15号 三号线 第5号令",
        "型号：XK-1234-5678",
        "Section 817.416(1971)",
        "1683301761 1700000000000",
        "00:00:00:00:00:00",
    ],
)
def test_what_only_looks_personal_is_left(text: str) -> None:
    assert seen(text, PersonalSettings()) == []


def test_local_addresses_count_when_asked() -> None:
    settings = PersonalSettings(local_addresses=True)
    assert seen("from 192.168.1.20", settings) == [(Kind.IP, "192.168.1.20")]


def test_only_the_kinds_asked_for_are_found() -> None:
    text = "ann@acme.com 13812345678"
    assert seen(text, PersonalSettings(kinds=(Kind.PHONE,))) == [(Kind.PHONE, "13812345678")]
    assert seen(text, PersonalSettings(kinds=())) == []


def test_names_and_coordinates_are_off_unless_asked() -> None:
    assert seen("Mr. John Smith at 39.90420, 116.40740", PersonalSettings()) == []


def test_a_model_names_what_rules_cannot() -> None:
    def entities(text: str) -> list[Found]:
        return [Found(Kind.NAME, text.index("Ann"), text.index("Ann") + 3), Found(Kind.NAME, 0, 4)]

    text = "a@b.com is Ann"
    found = find(text, ALL, entities)
    # The mail is stronger than a name that overlaps it.
    assert [(f.kind, text[f.start : f.end]) for f in found] == [(Kind.EMAIL, "a@b.com"), (Kind.NAME, "Ann")]


def test_the_strongest_of_those_that_overlap_is_kept() -> None:
    name, mail, phone = Found(Kind.NAME, 0, 30), Found(Kind.EMAIL, 5, 10), Found(Kind.PHONE, 9, 20)
    assert strongest([name, phone, mail]) == [mail]
    assert strongest([name, phone, Found(Kind.NAME, 30, 31)]) == [phone, Found(Kind.NAME, 30, 31)]


@pytest.mark.parametrize("seed", range(20))
def test_findings_are_in_order_and_apart(seed: int) -> None:
    draw = random.Random(seed)
    pieces = [text for cases in POSITIVE.values() for text, _ in cases]
    glue = ("", " ", "，", "\n", ",", "-")
    text = "".join(draw.choice(pieces) + draw.choice(glue) for _ in range(60))
    found = find(text, ALL)
    assert len(found) > 20
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= f.start < f.end <= len(text) for f in found)


def test_findings_tell_nothing_of_the_value() -> None:
    assert "ann" not in repr(find("ann@acme.com", ALL))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actions", {"e-mail": "mask"}),
        ("masks", {"email": "x@y.com"}),
        ("masks", {"email": ""}),
        ("masks", {"email": "MAIL"}),
        ("masks", {"email": "[1]"}),
        ("masks", {"email": "[" + "A" * 40 + "]"}),
    ],
)
def test_bad_settings_are_refused(field: str, value: dict[str, str]) -> None:
    with pytest.raises(InputError):
        PersonalSettings(**{field: value})  # type: ignore[arg-type]


# fmt: off
HOSTILE = (
    "1", "1 ", "1-", "1.", "12.", "a", "@", "a@", "@a.", "a.", "a@b.", ".", ":", "a:", "::", ":1", "ab:",
    "-", "aa-", "+1", "+", "(1", "://", "x://a:b", "://a?key=", "eyJ", "eyJa.", "sk-", "xox",
    "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "password=", "password:a1", "token = ", "Bearer ",
    "key", "12号", "路1号", "北京市", "1 Elm ", "Mr. A", "京A1", "1A", "A1", "GB82", "bc1", "\u0301",
    "😀1", "手机", "电话1", "[at]", "#a.", " dot ", " at a dot ", "1234567", "0x1a",
)
# fmt: on


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    small, large = ((unit * (size // len(unit) + 1))[:size] for size in (20_000, 80_000))

    def seconds(text: str) -> float:
        start = time.process_time()
        find(text, ALL)
        return time.process_time() - start

    # Four times the text may take four times as long; sixteen would be quadratic. Tiny times are noise.
    first = min(seconds(small) for _ in range(2))
    second = min(seconds(large) for _ in range(2))
    assert second < 9 * first + 0.1
    assert second < 5


def test_what_crosses_pieces_of_a_long_text_is_found_once() -> None:
    piece = 1 << 20
    text = ("研墨 and ink. " * (2 * piece // 13))[: 2 * piece]
    for start in (piece - 6, 2 * piece - 12):
        text = f"{text[:start]} 13812345678 {text[start:]}"
    found = find(text, ALL)
    assert [text[f.start : f.end] for f in found] == ["13812345678"] * 2


@pytest.mark.parametrize("text", ["", "\0", "\ud800 13812345678 \udfff", "\0ann@acme.com\0", "﷽13812345678"])
def test_odd_characters_move_nothing(text: str) -> None:
    for kind, start, end in find(text, ALL):
        assert text[start:end] == {Kind.PHONE: "13812345678", Kind.EMAIL: "ann@acme.com"}[kind]
    assert len(find(text, ALL)) == (len(text) > 2)
