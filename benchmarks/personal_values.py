"""Personal values in the many ways people write them, made from the standards, and phrases about them."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
from collections.abc import Callable

Draw = random.Random


def digits(draw: Draw, count: int) -> str:
    """So many digits."""
    return "".join(draw.choice(string.digits) for _ in range(count))


def grouped(text: str, *sizes: int, by: str = " ") -> str:
    """A text cut in groups; the last size repeats."""
    parts, place, sizes_left = [], 0, list(sizes)
    while place < len(text):
        size = sizes_left.pop(0) if len(sizes_left) > 1 else sizes_left[0]
        parts.append(text[place : place + size])
        place += size
    return by.join(parts)


def wide(text: str) -> str:
    """Full-width letters, digits and signs."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def day(draw: Draw) -> str:
    """A date of birth."""
    return f"{draw.randint(1935, 2012)}{draw.randint(1, 12):02d}{draw.randint(1, 28):02d}"


def resident_id(draw: Draw) -> str:
    """GB 11643: the check character makes the polynomial in powers of two 1 modulo 11."""
    region = draw.choice(
        [
            "110101",
            "310104",
            "440305",
            "510107",
            "330106",
            "320102",
            "420106",
            "610113",
            "350203",
            "210102",
            "650102",
            "460105",
        ]
    )
    body = region + day(draw) + digits(draw, 3)
    rest = sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(body)) % 11
    value = body + str("10X98765432"[rest])
    return draw.choice((value, value, value, value.lower(), wide(value), grouped(value, 6, 8, 4)))


def credit_code(draw: Draw) -> str:
    """GB 32100."""
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    region = draw.choice(["110108", "310115", "440300", "510100", "330106", "320500"])
    body = (
        draw.choice(("91", "92", "12", "51", "93"))
        + region
        + "".join(draw.choice(letters[:20]) for _ in range(9))
    )
    total, power = 0, 1
    for character in body:
        total, power = total + letters.index(character) * power, power * 3 % 31
    return body + letters[(31 - total % 31) % 31]


def luhn_digit(body: str) -> str:
    """The digit that makes the Luhn sum a multiple of ten."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        number = int(digit) * (2 if place % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return str(-total % 10)


def card(draw: Draw) -> str:
    """Cards of seven issuers, plain or in groups."""
    start, size = draw.choice(
        (("4", 16), ("52", 16), ("2345", 16), ("37", 15), ("6011", 16), ("3530", 16), ("622", 19))
    )
    body = start + digits(draw, size - 1 - len(start))
    value = body + luhn_digit(body)
    split = (4, 6, 5) if size == 15 else (4,)
    return draw.choice((value, grouped(value, *split), grouped(value, *split, by="-"), wide(value)))


def iban(draw: Draw) -> str:
    """Accounts of seven countries."""
    country, form = draw.choice(
        (
            ("DE", "n18"),
            ("GB", "a4n14"),
            ("FR", "n23"),
            ("NL", "a4n10"),
            ("ES", "n20"),
            ("CH", "n17"),
            ("PL", "n24"),
        )
    )
    letters = "".join(draw.choice(string.ascii_uppercase) for _ in range(4)) if form[0] == "a" else ""
    body = letters + digits(draw, int(form.rpartition("n")[2]))
    as_number = "".join(str(string.printable.index(c.lower())) for c in body + country + "00")
    value = f"{country}{98 - int(as_number) % 97:02d}{body}"
    return draw.choice((value, grouped(value, 4), grouped(value, 4, by="-"), value.lower()))


def national_id(draw: Draw) -> str:
    """Brazil, France, Korea and Hong Kong, as they are written."""
    which = draw.randrange(4)
    if which == 0:
        body = digits(draw, 9)
        for size in (10, 11):
            total = sum(int(d) * weight for d, weight in zip(body, range(size, 1, -1), strict=True)) % 11
            body += str(0 if total < 2 else 11 - total)
        return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"
    if which == 1:
        body = f"{draw.choice('12')}{digits(draw, 2)}{draw.randint(1, 12):02d}75{digits(draw, 6)}"
        return grouped(body + f"{97 - int(body) % 97:02d}", 1, 2, 2, 2, 3, 3, 2)
    if which == 2:
        born = day(draw)
        body = born[2:] + draw.choice("12" if born < "2000" else "34") + digits(draw, 5)
        total = sum(int(d) * (2 + i % 8) for i, d in enumerate(body))
        return f"{body[:6]}-{body[6:]}{(11 - total % 11) % 10}"
    body = digits(draw, 6)
    letter = draw.choice(string.ascii_uppercase)
    total = (
        9 * 36
        + 8 * (ord(letter) - 55)
        + sum(int(d) * weight for d, weight in zip(body, range(7, 1, -1), strict=True))
    )
    return f"{letter}{body}({'0123456789A'[-total % 11]})"


def ssn(draw: Draw) -> str:
    """A US number in its usual form."""
    area = draw.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}{draw.choice('-- ')}{draw.randint(1, 99):02d}-{draw.randint(1, 9999):04d}".replace(
        " ", "-"
    )


def crypto(draw: Draw) -> str:
    """A Bitcoin address of the first kind."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    payload = draw.choice((b"\0", b"\5")) + draw.randbytes(20)
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, made = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        made = alphabet[rest] + made
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + made


EN_NAMES = [
    "john",
    "mary",
    "peter",
    "susan",
    "omar",
    "li.wei",
    "ana-maria",
    "k.novak",
    "j_smith",
    "t.b.miller",
    "chloe88",
    "r2d2.fan",
]
ZH_NAMES = ["zhangsan", "lisi88", "wang_wu", "chen.hao", "xiaoming2003", "liuyang", "10086fan", "315477263"]
DOMAINS = [
    "gmail.com",
    "qq.com",
    "163.com",
    "outlook.com",
    "hotmail.co.uk",
    "mail.ru",
    "web.de",
    "sina.com.cn",
    "pku.edu.cn",
    "acme-tools.io",
    "firma.de",
]


def email(draw: Draw) -> str:
    """Mail addresses, some of them hidden from robots, some in full width."""
    name = draw.choice(EN_NAMES + ZH_NAMES) + draw.choice(("", "", str(draw.randint(1, 99)), "+news"))
    domain = draw.choice(DOMAINS)
    plain = f"{name}@{domain}"
    hidden = (
        f"{name} [at] {domain}",
        f"{name}(at){domain}",
        f"{name} (at) {domain.replace('.', ' (dot) ')}",
        f"{name} at {domain.replace('.', ' dot ')}",
        f"{name}#{draw.choice(('qq.com', '163.com', 'sina.com.cn', 'pku.edu.cn'))}",
        wide(plain),
        plain.upper(),
    )
    return draw.choice((plain, plain, plain, draw.choice(hidden)))


def phone_en(draw: Draw) -> str:
    """American, British and other numbers."""
    area = f"{draw.randint(2, 9)}{draw.choice('0123456')}{draw.randint(2, 9)}"
    office, line = f"{draw.randint(2, 9)}{draw.randint(2, 9)}{draw.randint(0, 9)}", digits(draw, 4)
    return draw.choice(
        (
            f"({area}) {office}-{line}",
            f"{area}-{office}-{line}",
            f"{area}.{office}.{line}",
            f"+1 {area} {office} {line}",
            f"+1-{area}-{office}-{line}",
            f"1-{area}-{office}-{line}",
            f"+1{area}{office}{line}",
            f"({area}) {office}-{line} ext. {draw.randint(10, 999)}",
            f"+44 20 7{digits(draw, 3)} {digits(draw, 4)}",
            f"020 7{digits(draw, 3)} {digits(draw, 4)}",
            f"07{draw.randint(1, 6)}{digits(draw, 2)} {digits(draw, 6)}",
            f"+44 (0)161 {digits(draw, 3)} {digits(draw, 4)}",
            f"+49 30 {draw.randint(2, 9)}{digits(draw, 6)}",
            f"+33 1 {' '.join(digits(draw, 2) for _ in range(4))}",
            f"+91 98{digits(draw, 3)} {digits(draw, 5)}",
            f"+81-3-{draw.randint(3, 6)}{digits(draw, 3)}-{digits(draw, 4)}",
        )
    )


def phone_zh(draw: Draw) -> str:
    """Chinese mobile and landline numbers."""
    mobile = draw.choice(
        ["138", "139", "150", "159", "186", "188", "177", "199", "166", "133", "147", "152"]
    ) + digits(draw, 8)
    local = draw.choice("2345678") + digits(draw, 7)
    return draw.choice(
        (
            mobile,
            mobile,
            grouped(mobile, 3, 4),
            grouped(mobile, 3, 4, by="-"),
            f"+86 {mobile}",
            f"+86-{mobile}",
            f"86{mobile}",
            f"(+86){mobile}",
            wide(mobile),
            f"010-{local}",
            f"（021）{local}",
            f"0755-{local}",
            f"(0571){local}",
            f"021 {local[:4]} {local[4:]}",
            f"0532-{local[:7]}",
            f"400-{digits(draw, 3)}-{digits(draw, 4)}",
            f"010-{local}转{draw.randint(100, 9999)}",
            f"+86 10 {local[:4]} {local[4:]}",
        )
    )


def ip(draw: Draw) -> str:
    """Public addresses of both versions."""
    if draw.random() < 0.3:
        groups = [f"{draw.randrange(0x10000):x}" for _ in range(5)]
        return draw.choice(
            (f"2a00:{':'.join(groups[:3])}::{groups[4]}", ":".join(["2600", *groups, "1f", "a0"]))
        )
    first = draw.choice([n for n in range(11, 223) if n not in (127, 169, 172, 192, 198, 203, 100)])
    return ".".join(map(str, (first, draw.randint(0, 255), draw.randint(0, 255), draw.randint(1, 254))))


def mac(draw: Draw) -> str:
    """Hardware addresses in three forms."""
    value = "3c5ab4" + "".join(draw.choice("0123456789abcdef") for _ in range(6))
    return draw.choice(
        (grouped(value, 2, by=":"), grouped(value.upper(), 2, by="-"), grouped(value, 4, by="."))
    )


def text_of(draw: Draw, letters: str, count: int) -> str:
    """Random characters with at least one digit."""
    made = "".join(draw.choice(letters) for _ in range(count - 1))
    place = draw.randrange(count)
    return made[:place] + draw.choice("23456789") + made[place:]


ALNUM = string.ascii_letters + string.digits


def api_key(draw: Draw) -> str:
    """Tokens as ten services issue them, JSON web tokens, and a private key."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    claims = base64.urlsafe_b64encode(json.dumps({"sub": digits(draw, 9)}).encode()).decode().rstrip("=")
    return draw.choice(
        (
            "AKIA" + text_of(draw, string.ascii_uppercase + "234567", 16),
            "ghp_" + text_of(draw, ALNUM, 36),
            "glpat-" + text_of(draw, ALNUM, 20),
            f"xoxb-{digits(draw, 11)}-{digits(draw, 11)}-{text_of(draw, ALNUM, 24)}",
            "sk_live_" + text_of(draw, ALNUM, 24),
            "AIza" + text_of(draw, ALNUM, 35),
            "sk-proj-" + text_of(draw, ALNUM, 48),
            "hf_" + text_of(draw, ALNUM, 34),
            f"{header}.{claims}.{text_of(draw, ALNUM, 43)}",
            "LTAI" + text_of(draw, ALNUM, 20),
        )
    )


def password(draw: Draw) -> str:
    """What people choose."""
    word = draw.choice(["dragon", "Sommer", "qwerty", "xiaomao", "iloveyou", "Passw0rd", "woaini"])
    return word + draw.choice(("", "!", "#", "_")) + str(draw.randint(10, 9999))


def passport(draw: Draw) -> str:
    """China's, America's, Germany's."""
    return draw.choice(("E", "G", "C0", "L")) + digits(draw, 8)[: draw.choice((7, 8))]


def plate(draw: Draw) -> str:
    """Mainland plates, also of electric cars."""
    head = draw.choice("京沪粤浙苏川鲁豫") + draw.choice("ABCDE")
    tail = draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") + digits(draw, 4)
    return (
        head
        + draw.choice(("", "·", " "))
        + draw.choice((digits(draw, 5), tail, "D" + digits(draw, 5), "F" + digits(draw, 5)))
    )


def account(draw: Draw) -> str:
    """Accounts that have no checksum."""
    return draw.choice("1357") + digits(draw, draw.choice((9, 11, 13)))


EN_BARE = (
    "Send it to {} before Friday.",
    "He wrote {} on the back of the card.",
    "Please use {} for this.",
    "({})",
    '"{}"',
)
ZH_BARE = ("请记下{}，明天要用。", "他在背面写着{}。", "资料：{}", "（{}）", "“{}”")
EITHER_BARE = (
    "{}",
    "id,value,date\n17,{},2021-03-04\n",
    '{{"id": 17, "value": "{}"}}',
    "| 3 | {} | yes |",
    "x = '{}'",
    "<td>{}</td>",
)

CARRIERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "email": (
        ("Mail {} for details.", "mailto:{}", "Contact: {}"),
        ("邮箱{}，欢迎来信。", "发到{}即可", "电子邮件：{}"),
    ),
    "phone": (
        ("Call {} today.", "Tel: {}", "Phone {}, ask for Ann."),
        ("电话：{}", "手机{}，微信同号。", "请拨打{}咨询"),
    ),
    "resident-id": (
        ("ID number {} was copied.", "Resident ID: {}"),
        ("身份证号{}，请核对。", "身份证：{}", "公民身份号码为{}"),
    ),
    "credit-code": (("Company code {} is listed.",), ("统一社会信用代码：{}", "信用代码为{}的公司")),
    "payment-card": (
        ("Charge my card {} please.", "Card number: {}"),
        ("银行卡号{}", "信用卡：{}，有效期09/27"),
    ),
    "iban": (("Transfer to {} by Monday.", "IBAN: {}"), ("请汇款到{}。", "账户：{}")),
    "national-id": (
        ("CPF or card {} was shown.", "Her identity number is {}."),
        ("证件号码：{}", "身份号{}已登记"),
    ),
    "us-ssn": (("SSN {} on file.", "Her social security number is {}."), ("社会安全号{}", "社安号：{}")),
    "crypto-address": (("Send coins to {} now.",), ("钱包地址{}", "转账到{}")),
    "ip-address": (
        ("Login from {} failed.", "http://{}/index.html", "ping {}"),
        ("登录地址{}", "服务器{}无法访问", "IP：{}"),
    ),
    "mac-address": (("The MAC is {}.", "ether {} up"), ("物理地址{}", "网卡：{}")),
    "url-credentials": (("Open {} first.",), ("先打开{} 再试",)),
    "api-key": (
        ("export TOKEN={}", "Authorization: Bearer {}", "The key {} leaked."),
        ("密钥：{}", "令牌是{}"),
    ),
    "password": (
        ('password = "{}"', "Password: {}", "PASSWD={}", "the password is {}"),
        ("密码：{}", "密码是{}", "口令为{}"),
    ),
    "passport": (("Passport no. {} expires.", "passport: {}"), ("护照号码：{}", "护照号{}")),
    "vehicle-plate": (("The car {} was seen.",), ("车牌{}", "一辆车牌号为{}的轿车")),
    "bank-account": (("Account number: {}", "bank account {}"), ("账号：{}", "银行账户{}，户名张三")),
}
MAKERS: dict[str, tuple[Callable[[Draw], str], Callable[[Draw], str]]] = {
    "email": (email, email),
    "phone": (phone_en, phone_zh),
    "resident-id": (resident_id, resident_id),
    "credit-code": (credit_code, credit_code),
    "payment-card": (card, card),
    "iban": (iban, iban),
    "national-id": (national_id, national_id),
    "us-ssn": (ssn, ssn),
    "crypto-address": (crypto, crypto),
    "ip-address": (ip, ip),
    "mac-address": (mac, mac),
    "api-key": (api_key, api_key),
    "password": (password, password),
    "passport": (passport, passport),
    "vehicle-plate": (plate, plate),
    "bank-account": (account, account),
}
ONLY_IN_WORDS = frozenset({"password", "passport", "bank-account"})
