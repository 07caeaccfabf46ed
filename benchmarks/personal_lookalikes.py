"""What only looks like personal data: versions, books, dates, orders, hashes, wrong checksums, code."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.personal_values import EN_NAMES, Draw, digits, grouped, luhn_digit, resident_id


def wrong(value: str) -> str:
    """The last digit is another."""
    last = value[-1]
    return value[:-1] + (str((int(last) + 3) % 10) if last.isdecimal() else "1")


def isbn(draw: Draw) -> str:
    """ISBN of 10 and 13 digits."""
    body = "978" + digits(draw, 9)
    value = body + str(-sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10)
    return draw.choice(("ISBN ", "ISBN: ", "")) + draw.choice((value, grouped(value, 3, 1, 3, 5, 1, by="-")))


def wrong_resident(draw: Draw) -> str:
    """Eighteen digits whose last is not the check character."""
    value = resident_id(draw)
    while not (value.isascii() and value.isdecimal()):
        value = resident_id(draw)
    return wrong(value)


def wrong_card(draw: Draw) -> str:
    """Sixteen digits that fail Luhn."""
    body = draw.choice(("4", "52", "6011")) + digits(draw, 20)
    value = wrong(body[:15] + luhn_digit(body[:15]))
    return draw.choice((value, grouped(value, 4)))


LOOKALIKES: tuple[Callable[[Draw], str], ...] = (
    lambda d: f"version {d.randint(0, 12)}.{d.randint(0, 99)}.{d.randint(0, 255)}.{d.randint(0, 255)}",
    lambda d: f"v{d.randint(0, 12)}.{d.randint(0, 30)}.{d.randint(0, 250)}.{d.randint(0, 99)}",
    lambda d: f"{d.randint(1, 9)}.{d.randint(1, 9)}.{d.randint(1, 9)}.{d.randint(1, 9)} Introduction",
    lambda d: f"第{d.randint(1, 9)}.{d.randint(1, 12)}.{d.randint(1, 9)}.{d.randint(1, 9)}节",
    lambda d: f"libfoo-{d.randint(1, 9)}.{d.randint(100, 250)}.{d.randint(40, 250)}.{d.randint(0, 9)}",
    lambda d: f"Agent/{d.randint(60, 140)}.0.{d.randint(1000, 7000)}.{d.randint(40, 250)}",
    isbn,
    isbn,
    lambda d: f"ISSN {digits(d, 4)}-{digits(d, 4)}",
    lambda d: f"{d.randint(1800, 2030)}-{d.randint(1, 12):02d}-{d.randint(1, 28):02d}",
    lambda d: f"{d.randint(1, 28):02d}/{d.randint(1, 12):02d}/{d.randint(1900, 2030)}",
    lambda d: (
        f"{d.randint(1990, 2030)}-{d.randint(1, 12):02d}-{d.randint(1, 28):02d} "
        f"{d.randint(0, 23):02d}:{digits(d, 1)}5:10.{digits(d, 6)}"
    ),
    lambda d: f"{d.randint(1900, 2030)}{d.randint(1, 12):02d}{d.randint(1, 28):02d}",
    lambda d: f"{d.randint(1990, 2030)}年{d.randint(1, 12)}月{d.randint(1, 28)}日",
    lambda d: f"{d.randint(1700, 1999)}-{d.randint(1700, 1999)}",
    lambda d: f"Order {digits(d, d.randint(9, 22))}",
    lambda d: f"订单号{digits(d, d.randint(9, 22))}",
    lambda d: f"order number: 1{d.choice('3458')}{digits(d, 9)}",
    lambda d: f"流水号：{digits(d, 20)}",
    lambda d: f"快递单号1{d.choice('3458')}{digits(d, 9)}",
    lambda d: digits(d, d.randint(20, 40)),
    lambda d: f"{d.randint(1, 9)}.{digits(d, 8)}e{d.choice('+-')}{d.randint(10, 30)}",
    lambda d: f"0.{digits(d, 15)}",
    lambda d: f"3.{digits(d, 10)}",
    lambda d: " ".join(f"{d.uniform(0, 1):.6f}" for _ in range(5)),
    lambda d: " ".join(digits(d, 4) for _ in range(2)) + " " + digits(d, 5),
    lambda d: ",".join(digits(d, d.randint(1, 5)) for _ in range(8)),
    lambda d: d.randbytes(20).hex(),
    lambda d: f"commit {d.randbytes(20).hex()[: d.choice((7, 10, 40))]}",
    lambda d: grouped(d.randbytes(16).hex(), 8, 4, 4, 4, 12, by="-"),
    lambda d: f"sha256:{d.randbytes(32).hex()}",
    lambda d: wrong_resident(d),
    lambda d: wrong_card(d),
    lambda d: wrong_card(d),
    lambda d: "GB00" + "WEST" + digits(d, 14),
    lambda d: f"${d.randint(1, 999)},{digits(d, 3)},{digits(d, 3)}.{digits(d, 2)}",
    lambda d: f"{digits(d, 11).lstrip('0')}元",
    lambda d: f"{d.randint(10, 99)} {digits(d, 3)} {digits(d, 3)} people",
    lambda d: f"{digits(d, 4)} × {digits(d, 4)} = {digits(d, 8)}",
    lambda d: f"doi:10.{digits(d, 4)}/j.cell.{digits(d, 4)}.{digits(d, 2)}.{digits(d, 3)}",
    lambda d: f"arXiv:{d.randint(10, 25)}{d.randint(1, 12):02d}.{digits(d, 5)}",
    lambda d: f"logo@{d.randint(2, 3)}x.png",
    lambda d: f"pkg@{d.randint(0, 9)}.{d.randint(0, 30)}.{d.randint(0, 9)}",
    lambda d: f"@{d.choice(EN_NAMES)} said so",
    lambda d: "@app.route('/x')\ndef view(): ...",
    lambda d: f"C = A@B.T + {d.randint(1, 9)}",
    lambda d: "git@github.com:acme/tools.git",
    lambda d: "std::vector<int>::iterator a::b::c",
    lambda d: f"{d.randint(0, 23):02d}:{d.randint(10, 59)}:{d.randint(10, 59)}",
    lambda d: f"{d.randint(1, 20)}:{d.randint(1, 20)}:{d.randint(1, 20)}:{d.randint(1, 20)}",
    lambda d: f"Table {d.randint(1, 9)}.{d.randint(1, 9)}.{d.randint(1, 9)}.{d.randint(1, 9)}",
    lambda d: f"pp. {d.randint(1000, 1999)}-{d.randint(2000, 2999)}",
    lambda d: f"AB{digits(d, 2)}-{digits(d, 4)}-{digits(d, 4)}",
    lambda d: f"US Patent {d.randint(1, 9)},{digits(d, 3)},{digits(d, 3)}",
    lambda d: f"专利号ZL{d.randint(2000, 2022)}1{digits(d, 7)}.{digits(d, 1)}",
    lambda d: f"1Z999AA1{digits(d, 10)}",
    lambda d: d.choice(
        (
            "password = get_password()",
            "password: str",
            "token = tokens[0]",
            "密码不能为空",
            'pwd = "<your password>"',
        )
    ),
    lambda d: d.choice(
        (
            "password_timeout = 86400",
            "max_tokens=4096",
            "secret = os.environ['SECRET']",
            "忘记密码？",
            "api_key=$API_KEY",
        )
    ),
    lambda d: f"192.168.{d.randint(0, 255)}.{d.randint(1, 254)}",
    lambda d: f"127.0.0.1:{d.randint(1000, 9999)}",
    lambda d: f"{d.choice(EN_NAMES)}@example.com",
    lambda d: f"(415) 555-01{digits(d, 2)}",
    lambda d: f"1{d.choice('5678')}{digits(d, 8)}",
    lambda d: f"1{d.choice('67')}{digits(d, 11)}",
    lambda d: f"#{d.randbytes(3).hex()}",
    lambda d: "".join(d.choice("ACGT") for _ in range(60)),
    lambda d: f"0x{d.randbytes(8).hex()}",
    lambda d: f"QQ群{digits(d, 9)}",
    lambda d: f"{d.randint(10, 40)}°{d.randint(10, 59)}′{d.randint(10, 59)}″N",
    lambda d: f"No. {digits(d, 8)}",
    lambda d: f"型号：XK-{digits(d, 4)}-{digits(d, 4)}",
    lambda d: f"国发〔{d.randint(1990, 2023)}〕{d.randint(1, 99)}号",
)
