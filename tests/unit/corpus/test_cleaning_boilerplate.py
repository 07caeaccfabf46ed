"""Lines of known forms go, each kind by itself; lines that only resemble them stay."""

from __future__ import annotations

import pytest

from yanmo.corpus.cleaning.boilerplate import BOILERPLATE, remove_boilerplate
from yanmo.corpus.cleaning.cleaner import Cleaner
from yanmo.corpus.cleaning.mail import remove_quotations, remove_signatures
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.edits import apply_edits

LINES = {
    "cookies": [
        "We use cookies to improve your experience on our site.",
        "This website uses cookies. By continuing you agree to that.",
        "By using this site you accept our use of cookies.",
        "Accept all cookies",
        "Cookie settings",
        "本网站使用Cookie以提升您的浏览体验。",
        "接受所有 Cookie",
    ],
    "sharing": [
        "Share on Twitter",
        "Share this article on Facebook",
        "Click to share on Twitter (Opens in new window)",
        "Follow us on Facebook, Twitter and YouTube",
        "Share this:",
        "Facebook Twitter LinkedIn Email",
        "Tweet | Pin it | Print",
        "分享到：微信 微博 QQ空间",
        "微信扫一扫，分享到朋友圈",
        "点赞 收藏 举报",
    ],
    "navigation": [
        "Home | About Us | Contact",
        "HOME  NEWS  CONTACT",
        "« Previous 1 2 3 ... 9 Next »",
        "1 2 3 Next",
        "Skip to main content",
        "Back to top",
        "Read more »",
        "Home > Books > Novels",
        "上一页 下一页",
        "上一页 1 2 3 … 20 下一页 末页",
        "  首页 | 关于我们 | 联系我们",
        "上一篇：怎样养花",
        "当前位置：首页 > 新闻 > 国内",
        "返回顶部",
    ],
    "copyright": [
        "Copyright © 2020 Example Inc.",
        "© 2019 某某公司 版权所有",
        "All rights reserved.",
        "版权所有 某某出版社",
        "京ICP备12345678号-1",
        "Powered by WordPress",
    ],
}
PROSE = [
    "We use cookies to decorate the tree, and apples.",
    "Cookies",
    "Share the load with your colleagues",
    "Twitter",
    "Home is where the heart is",
    "Home",
    "Next",
    "News",
    "The previous page was about 2020.",
    "Copyright law is complicated, and in 2020 it became more so.",
    "我们使用剪刀和纸",
    "分享快乐",
    "首页设计的原则",
    "版权法的历史",
    "下一页的内容更精彩",
    "更多",
]


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in LINES.items() for line in lines])
@pytest.mark.parametrize("frame", ["{}", "Text before.\n{}\nText after.", "前文。\n\n{}\n\n后文。\n"])
def test_a_line_goes_as_its_own_kind_alone(kind: str, line: str, frame: str) -> None:
    text = frame.format(line)
    found = {
        name: apply_edits(text, edits) for name in BOILERPLATE if (edits := remove_boilerplate(text, name))
    }
    assert found == {kind: frame.replace("{}\n", "").replace("{}", "")}


@pytest.mark.parametrize("line", PROSE)
def test_prose_stays(line: str) -> None:
    assert [kind for kind in BOILERPLATE if remove_boilerplate(f"a\n{line}\nb", kind)] == []


def test_neighbours_are_counted_one_by_one() -> None:
    result = Cleaner(CleaningSettings()).clean("首页 | 登录\nHome | Login\nText.\nShare on X\nTweet | Like\n")
    assert result.text == "Text.\n"
    assert result.changed == {"navigation lines removed": 2, "sharing lines removed": 2}


@pytest.mark.parametrize(
    "line", [" " * 200_000, "Home " * 40_000, "分享 " * 60_000, "1 " * 90_000, "© " * 90_000]
)
def test_gigantic_lines_take_no_time(line: str) -> None:
    for kind in BOILERPLATE:
        assert remove_boilerplate(f"a\n{line}x\nb", kind) == []


ENGLISH_MAIL = """\
Thank you, I agree.

On Tue, 4 May 2021 at 10:12, A. Writer
<writer@example.org> wrote:

> Shall we meet?
> At noon?

Yes, at noon.

> Where?
In the garden.
"""
CHINESE_MAIL = """\
好的，明天见。

在 2021年5月4日，张三 写道：
> 明天见面吗？
> 几点？
"""


def test_quotations_below_their_attribution_go() -> None:
    assert apply_edits(ENGLISH_MAIL, remove_quotations(ENGLISH_MAIL)) == (
        "Thank you, I agree.\n\n\nYes, at noon.\n\nIn the garden.\n"
    )
    assert apply_edits(CHINESE_MAIL, remove_quotations(CHINESE_MAIL)) == "好的，明天见。\n\n"


@pytest.mark.parametrize(
    "original",
    [
        "-----Original Message-----\nFrom: A. Writer\nSent: today\n\nShall we meet?\n",
        "------------------ 原始邮件 ------------------\n发件人: 张三\n\n明天见面吗？\n",
    ],
)
def test_the_original_below_an_answer_goes(original: str) -> None:
    text = f"Answer. 答复。\n{original}"
    assert apply_edits(text, remove_quotations(text)) == "Answer. 答复。\n"


def test_quotations_of_a_document_stay() -> None:
    for text in (
        "As she wrote:\n\n> to be\n> or not\n",
        "> a quotation\n\n正文\n",
        "-- Original Message --\n那是一部电影。\n",
    ):
        assert remove_quotations(text) == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Bye.\n-- \nA. Writer\nPhone\n", "Bye.\n"),
        ("再见。\nSent from my iPhone\n", "再见。\n"),
        ("Bye.\n发自我的手机\n", "Bye.\n"),
        ("再见。\n从我的 iPhone 发送", "再见。\n"),
    ],
)
def test_signatures_go(text: str, kept: str) -> None:
    assert apply_edits(text, remove_signatures(text)) == kept


def test_what_stands_below_two_hyphens_in_a_document_stays() -> None:
    text = "A\n--\n" + "a line of the text\n" * 30
    assert remove_signatures(text) == []
