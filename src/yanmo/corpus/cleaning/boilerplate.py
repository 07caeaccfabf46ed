"""Lines of web pages and mails that are no part of their text, each kind by itself.

Conservative: a line goes only if the whole of it is of a known form. What merely looks like it (an
article about cookies, a single word) stays.
"""

from __future__ import annotations

import re

from yanmo.corpus.edits import Edit


def _any_of(words: str) -> str:
    """One of the words, in any case but for the first letter: by that the engine tells them apart."""
    by_first: dict[str, list[str]] = {}
    for word in re.split(r"\|(?![^(]*\))", words):
        by_first.setdefault(word[0], []).append(word[1:])
    # Longer words first: a line of buttons is then read in one way only.
    groups = (
        f"{first}(?i:{'|'.join(sorted(rests, key=len, reverse=True))})" for first, rests in by_first.items()
    )
    return f"(?:{'|'.join(groups)})"


_SITE = _any_of(
    "Facebook|Twitter|X|LinkedIn|WhatsApp|Pinterest|Reddit|Tumblr|Telegram|Instagram|YouTube|RSS"
    "|E-?mail|WeChat|Weibo"
    "|微信|微博|新浪微博|腾讯微博|QQ|QQ空间|QQ好友|朋友圈|豆瓣|人人网|知乎|百度贴吧|贴吧|抖音|微信好友"
)
_ACTION = _any_of(
    "Share|Tweet|Like|Pin it|Print|Copy link|分享|收藏|举报|点赞|评论|转发|打印|复制链接|喜欢|赞"
)
_INVITATION = _any_of("Share|Click to share|Tweet|Follow us|Like us|Find us|Join us|Connect with us")
_JUMP = _any_of(
    "Skip to (?:main )?(?:content|navigation)|Jump to (?:content|navigation|search)|Back to top"
    "|Scroll to top|Toggle navigation"
)
_MORE = _any_of(
    "Read more|Show more|Load more|See more|Click here to read more|阅读全文|閱讀全文|查看更多"
    "|加载更多|显示全部"
)
_PLACE = _any_of(
    "Home|Home ?page|Main page|About|About us|Contact|Contact us|Log ?in|Log ?out|Sign ?in|Sign ?up"
    "|Register|Search|Menu"
    "|Site ?map|FAQs?|Help|Privacy|Privacy policy|Cookie policy|Terms|Terms of (?:use|service)|Terms "
    "and conditions|Blog|News"
    "|Products|Services|Careers|Subscribe|Newsletter|Prev|Previous|Previous (?:page|post|article"
    "|chapter)|Next"
    "|Next (?:page|post|article|chapter)|First|Last|Back|Archives?|Categories|Support|Jobs|Advertise"
    "|Accessibility"
    "|首页|主页|上一页|下一页|前一页|后一页|末页|尾页|第一页|最后一页|上一篇|下一篇|上一章|下一章"
    "|上一节|下一节|目录|返回目录|返回"
    "|返回列表|返回首页|返回顶部|登录|登陆|注册|关于我们|联系我们|网站地图|帮助|帮助中心|搜索"
    "|加入收藏|设为首页|免责声明|隐私政策"
    "|使用条款|服务条款|友情链接|广告服务|招聘信息|意见反馈|加入书签|书签|设置|客户端|下载|更多|新闻"
    "|产品|服务|留言板|投诉建议"
)
_GAP = r"[ \t\xa0\u3000|·•>»›<«‹/,，、\-—\[\]()]{1,20}+"
_COOKIES = (
    r"(?=[WTOBARDMCP本我接同拒管继繼])"
    r"(?i:(?:we|this (?:web)?site|our (?:web)?site)(?: and our partners)? uses? (?:necessary "
    r"|essential )?cookies"
    r"(?: and (?:other )?similar technologies)?"
    r"(?:[.,:]| to (?:improve|enhance|ensure|personali[sz]e|give|provide|offer|analy[sz]e|deliver"
    r"|make sure|understand|help|store)).{0,300}"
    r"|by (?:continuing|using|browsing).{0,80}\b(?:use of |our )cookies.{0,300}"
    r"|(?:accept|allow|reject|decline|manage|customi[sz]e)(?: all| only)?(?: necessary| essential)? "
    r"cookies\.?"
    r"|(?:cookie|privacy) (?:settings|preferences|consent|notice|banner)"
    r"|(?:本网站|本站|我们|我們|本網站)(?:会|會|将|將)?使用 ?cookies?.{0,300}"
    r"|(?:接受|同意|拒绝|拒絕|管理)(?:所有|全部)?的? ?cookies?.{0,20}"
    r"|(?:继续|繼續)(?:浏览|使用|瀏覽).{0,40}cookies?.{0,300})"
)
_SHARING = (
    r"(?=[A-Z分打转轉扫用微新腾朋豆人知百贴抖收举点评复喜赞])(?:"
    rf"{_INVITATION}(?i:(?: this)?(?: article| post| page| story)?)"
    rf"(?: (?:on|via|to|with|by) {_SITE}(?:{_GAP}(?:and )?{_SITE}){{0,20}}|:| this:?| now)(?: "
    rf"\((?i:opens in new window)\))?[.!]?"
    rf"|(?:{_ACTION}|{_SITE})(?:{_GAP}(?:{_ACTION}|{_SITE})){{1,20}}"
    rf"|(?:分享到|分享至|转发到|轉發到) ?[:：]?(?:(?:{_GAP})?{_SITE}){{0,20}}"
    r"|(?:打开)?(?:微信)?扫一扫[，,]?.{0,30}(?:分享|关注|公众号|朋友圈).{0,20}|用微信扫描二维码.{0,30})"
)
_NAVIGATION = (
    r"(?=[A-Z\d|·•>»›<«‹\[(\u4e00-\u9fff])(?:"
    rf"(?:{_GAP})?(?:{_PLACE}(?:{_GAP}(?:{_PLACE}|\d{{1,4}}|\.{{3}}|…)){{1,40}}"
    rf"|(?:\d{{1,4}}{_GAP}){{1,20}}(?:Next|下一页|末页|尾页)(?:{_GAP}{_PLACE}){{0,5}})(?:{_GAP})?"
    rf"|{_JUMP}|{_MORE} ?(?:[»›>→…]|\.{{3}})|(?:返回|回到)(?:页面)?顶部|(?:点击|點擊)?(?:阅读全文"
    rf"|閱讀全文|查看更多)"
    r"|(?:上一篇|下一篇|上一章|下一章) ?[:：].{0,60}|(?:当前位置|您的位置|您现在的位置|你的位置"
    r"|目前位置) ?[:：].{0,100}"
    r"|(?:Home|首页) ?[>»›] ?.{1,100})"
)
_COPYRIGHT = (
    r"(?=[Cc©(版A著P.公\u4e00-\u9fff])(?i:"
    r"(?:copyright ?(?:©|\(c\))|©|\(c\) ?copyright|版权所有|版權所有).{0,60}\b(?:19|20)\d\d\b.{0,150}"
    r"|copyright,? (?:19|20)\d\d\b.{0,150}"
    r"|(?:copyright|©).{0,100}all rights reserved\.?|all rights reserved\.?|版权所有.{0,80}"
    r"|版權所有.{0,80}|著作權所有.{0,80}"
    r"|[\u4e00-\u9fff]ICP[备備证證] ?\d{6,12}号?(?:-\d+)?.{0,60}|.?公网安备 ?\d+号?|(?:proudly "
    r")?powered by .{1,60})"
)


def _lines(form: str) -> re.Pattern[str]:
    # A line end first: a literal is what the engine finds quickly.
    return re.compile(rf"\n[ \t\u3000]{{0,40}}+(?:{form})[ \t\u3000]{{0,40}}+(?=\n|\Z)")


BOILERPLATE = {
    "cookies": _lines(_COOKIES),
    "sharing": _lines(_SHARING),
    "navigation": _lines(_NAVIGATION),
    "copyright": _lines(_COPYRIGHT),
}
"""Kinds of boilerplate by the names that settings have for them, and what their lines look like."""


def remove_boilerplate(text: str, kind: str) -> list[Edit]:
    """Drop the lines of a kind."""
    # The text is moved by one: the line after a match begins where the match ends.
    return [Edit(m.start(), min(m.end(), len(text)), "") for m in BOILERPLATE[kind].finditer("\n" + text)]
