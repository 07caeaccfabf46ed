"""Postal addresses and vehicle plates by their parts, coordinates, names by the words about them.

Chinese addresses grow from the 号 of a road backwards to the largest unit and forwards to the room; English
ones go from the house's number to the street's kind and on to a unit, a town and a code. A building that
anyone may name is not personal: a room, a postal code or words about living, sending or addresses must say
so. No places are listed but China's provinces; a token-classification model knows more, and its findings are
handed to ``find``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from yanmo.corpus.personal.context import is_word, since_mask, words_before
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_PROVINCE = re.compile(
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南"
    "|四川|贵州|云南|陕西|甘肃|青海|台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_CJK = "\u4e00-\u9fff"
_NUMBERED = re.compile(
    r"号(?<=[0-9一二三四五六七八九十百甲乙]号)(?!线|文|令|召|称|码|機|机组|元素|染色|文件|字)"
)
_BACK = re.compile(rf"[{_CJK}0-9A-Za-z、·\-]{{1,60}}+")
_ROAD = re.compile(
    r"[路街道巷弄同里村镇园区苑坊段](?:[东西南北中]?[一二三四五六七八九十]?段)?"
    r"[0-9一二三四五六七八九十百甲乙]{1,6}(?:弄[0-9]{1,5})?(?:[之\-][0-9]{1,3})?$"
)
_UNIT_OF_LAND = re.compile(f"[{_CJK}]{{2,3}}?[省市县州盟旗]|[{_CJK}]{{2}}区")
_LEADING = re.compile("^.{0,6}(?:地址|住址|住在|位于|家住|寄到|送到|寄往|在|是|为|到|于|从|至|住)")
_ROOMS = re.compile(
    rf"(?:[{_CJK}]{{1,10}}?(?=[0-9A-Za-z一二三四五六七八九十]{{1,4}}(?:号楼|栋|幢|座|单元)))?"
    r"(?:[ ,，-]?[0-9A-Za-z一二三四五六七八九十甲乙丙丁]{1,5}"
    r"(?:号楼|号院|栋|幢|座|单元|楼|层|室|房|户|号)){1,6}+"
)
_ADDRESS_WORDS = re.compile("地址|住址|住在|家住|寄到|送到|寄往|收货|收件|邮寄|住所|户籍|通讯处")

_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way"
    "|Parkway|Pkwy|Highway|Hwy|Close|Crescent|Circle|Cir|Gardens|Grove|Mews"
)
_ENGLISH = re.compile(
    r"[0-9]{1,5}[A-Za-z]? (?:[NSEW]\.? |North |South |East |West )?"
    r"(?:[A-Z][a-z']{1,20} |[0-9]{1,3}(?:st|nd|rd|th) ){1,3}?"
    rf"(?:{_STREET})(?![A-Za-z])\.?"
    r"(,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Rm|Room|#)\.? ?[A-Za-z0-9-]{1,6})?"
    r"(?:,? [A-Z][A-Za-z.]{1,20}(?: [A-Z][a-z]{1,20}){0,2}(?=,? [A-Z]{1,2}[A-Z0-9]))?"
    r"(,? (?:[A-Z]{2},? [0-9]{5}(?:-[0-9]{4})?|[A-Z]{1,2}[0-9][0-9A-Z]? [0-9][A-Z]{2})(?![0-9A-Za-z]))?"
)
_HOME_WORDS = re.compile(
    r"\baddress\b|\b(?:lives?|living|resides?|residing) at|\bhome:"
    r"|\b(?:ship(?:ped|ping)?|mail(?:ed|ing)?|deliver(?:ed|y)?) to"
)
_PLATE = re.compile(
    "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]"
    "[A-HJ-NP-Z][ ·•．.-]?(?:[A-HJ-NP-Z0-9]{4}[挂学警]|[DF][A-HJ-NP-Z0-9][0-9]{4}|[0-9]{5}[DF]"
    "|[A-HJ-NP-Z0-9]{5})(?![0-9A-Za-z])"
)
_COORDINATES = re.compile(
    r"-?[0-9]{1,3}\.[0-9]{4,10}°?(?: ?[NSns北南])?[,，; ]{1,3}"
    r"-?[0-9]{1,3}\.[0-9]{4,10}°?(?: ?[EWew东西])?(?![0-9.])"
)
_TITLED = re.compile(
    r"(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.? "
    r"((?:[A-Z][a-z'-]{1,20}|[A-Z]\.)(?: (?:[A-Z][a-z'-]{1,20}|[A-Z]\.)){0,2})"
)
_LABELLED = re.compile(
    r"(?:Name|name|NAME|Signed|Contact)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
    r"([A-Z][a-z'-]{1,20}(?: [A-Z][a-z'.-]{0,20}){1,2})"
)
_CHINESE_LABELLED = re.compile(
    r"(?:姓名|联系人|收件人|收货人|患者|申请人|法定代表人|经办人|负责人)"
    rf"[\"”]?\s{{0,3}}[:：为是]\s{{0,3}}[\"“]?([{_CJK}·]{{2,4}})"
)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余"
    "杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
_ADDRESSED = re.compile(rf"[{_SURNAMES}][{_CJK}]{{0,2}}(?=先生|女士|小姐|老师|医生|教授|律师|经理|主任)")


def find_postal(marks: Landmarks) -> Iterator[Found]:
    """Postal addresses, English and Chinese."""
    text = marks.text
    for start in marks.before_names:
        match = _ENGLISH.match(text, start)
        if (
            match is None
            or is_word(text[start - 1 : start])
            or text[start - 1 : start] in (".", "-", "/", "$")
        ):
            continue
        if match[1] or match[2] or _HOME_WORDS.search(since_mask(words_before(text, start))):
            yield Found(Kind.ADDRESS, start, start + len(match[0].rstrip(".")))
    if marks.has_cjk:
        yield from _chinese_addresses(text)


def _chinese_addresses(text: str) -> Iterator[Found]:
    done = 0
    for match in _NUMBERED.finditer(text):
        place = match.start()
        if place < done:
            continue
        back = _BACK.match(text[max(done, place - 60) : place][::-1])
        run = back[0][::-1] if back else ""
        if _ROAD.search(run[-20:]) is None:
            continue
        start = place - len(run)
        rooms = _ROOMS.match(text, match.end())
        end = rooms.end() if rooms else match.end()
        named = _ADDRESS_WORDS.search(since_mask(words_before(text, place, 60))) is not None
        largest = _PROVINCE.search(run) or _UNIT_OF_LAND.search(run)
        if not named and rooms is None:
            continue
        if largest is not None:
            start += largest.start()
        else:
            leading = _LEADING.match(run)
            start += leading.end() if leading else max(0, len(run) - 12)
        done = end
        yield Found(Kind.ADDRESS, start, end)


def find_plates(marks: Landmarks) -> Iterator[Found]:
    """Plates of vehicles in mainland China."""
    if not marks.has_cjk or not marks.has_digits:
        return
    for match in _PLATE.finditer(marks.text):
        if any(c.isdigit() for c in match[0]):
            yield Found(Kind.PLATE, *match.span())


def find_coordinates(marks: Landmarks) -> Iterator[Found]:
    """Latitude and longitude with four decimals or more."""
    text = marks.text
    for match in _COORDINATES.finditer(text) if marks.has_digits else ():
        first, second = (abs(float(number)) for number in re.findall(r"[0-9]+\.[0-9]+", match[0]))
        before = text[match.start() - 1 : match.start()]
        if min(first, second) <= 90 and max(first, second) <= 180 and not is_word(before) and before != ".":
            yield Found(Kind.COORDINATES, *match.span())


def find_names(marks: Landmarks) -> Iterator[Found]:
    """Names after or before a title, and after a label."""
    text = marks.text
    for form in (_TITLED, _LABELLED, _CHINESE_LABELLED) if marks.has_cjk else (_TITLED, _LABELLED):
        for match in form.finditer(text):
            yield Found(Kind.NAME, *match.span(1))
    if marks.has_cjk:
        for match in _ADDRESSED.finditer(text):
            yield Found(Kind.NAME, *match.span())
