"""What the corpus stage calls things, in Chinese; a name that is not here is shown as it is."""

from __future__ import annotations

from yanmo.reporting.axes import Words

# Reasons of refusals, and steps of cleaning.
_CHINESE = {
    "hidden": "隐藏文件",
    "written by yanmo": "研墨自己的产物",
    "not a regular file": "不是普通文件",
    "link loop": "链接成环",
    "unreadable": "无法读取",
    "empty": "空白",
    "binary": "二进制文件",
    "unknown encoding": "编码不明",
    "damaged": "已损坏",
    "encrypted": "已加密",
    "decompression bomb": "解压炸弹",
    "archive inside an archive": "压缩包套压缩包",
    "ragged row": "列数不齐的行",
    "broken JSON": "损坏的 JSON",
    "no text field": "没有文本字段",
    "too short": "过短",
    "crashed its reader": "读取时崩溃",
    "takes too long to read": "读取超时",
    "too large": "过大",
    "holds no text": "不含文本",
    "another language": "其他语言",
    "poor quality": "质量过低",
    "personal data": "含个人信息",
    "evaluation text": "含评测文本",
    "duplicate": "重复",
    "near duplicate": "近似重复",
    "same meaning": "语义重复",
    "in valid split": "已在验证集中",
    "in test split": "已在测试集中",
    "invalid bytes replaced": "替换无效字节",
    "surrogates joined": "合并代理对",
    "mojibake repaired": "修复乱码",
    "terminal escapes removed": "去除终端控制序列",
    "line ends unified": "统一换行符",
    "control characters removed": "去除控制字符",
    "composed to NFC": "规范为 NFC",
    "headers and footers removed": "去除页眉页脚",
    "page breaks removed": "去除分页",
    "hyphenation mended": "还原断词",
    "lines joined": "合并硬换行",
    "soft hyphens removed": "去除软连字符",
    "cookies lines removed": "去除 Cookie 提示",
    "sharing lines removed": "去除分享按钮文字",
    "navigation lines removed": "去除导航",
    "copyright lines removed": "去除版权行",
    "quotations removed": "去除邮件引文",
    "signatures removed": "去除邮件签名",
    "width unified": "统一全角半角",
    "script converted": "繁简转换",
    "white space normalised": "规范空白",
    "spelling corrected": "更正拼写",
    "evaluation text cut": "剪去评测文本",
}

_PERSONAL = {
    "private-key": Words("private key", "私钥"),
    "url-credentials": Words("credentials in a URL", "网址中的凭据"),
    "api-key": Words("API key", "API 密钥"),
    "password": Words("password", "密码"),
    "email": Words("e-mail address", "电子邮箱"),
    "iban": Words("IBAN", "国际银行账号"),
    "resident-id": Words("Chinese resident ID", "居民身份证号"),
    "credit-code": Words("unified social credit code", "统一社会信用代码"),
    "payment-card": Words("payment card", "银行卡号"),
    "crypto-address": Words("address of a crypto wallet", "加密货币地址"),
    "national-id": Words("national ID", "外国身份证件号"),
    "us-ssn": Words("US social security number", "美国社会安全号"),
    "ip-address": Words("IP address", "IP 地址"),
    "mac-address": Words("MAC address", "MAC 地址"),
    "passport": Words("passport", "护照号"),
    "phone": Words("phone number", "电话号码"),
    "bank-account": Words("bank account", "银行账号"),
    "vehicle-plate": Words("vehicle plate", "车牌号"),
    "coordinates": Words("coordinates", "坐标"),
    "address": Words("postal address", "通信地址"),
    "name": Words("name", "姓名"),
}

_ACTIONS = {
    "mask": Words("masked", "已遮盖"),
    "pseudonym": Words("replaced by pseudonyms", "已换成化名"),
    "drop": Words("documents refused", "已拒绝整篇文档"),
    "keep": Words("kept as it is", "原样保留"),
}

_LANGUAGES = {
    "ar": Words("Arabic", "阿拉伯语"),
    "bg": Words("Bulgarian", "保加利亚语"),
    "bn": Words("Bengali", "孟加拉语"),
    "ca": Words("Catalan", "加泰罗尼亚语"),
    "cs": Words("Czech", "捷克语"),
    "da": Words("Danish", "丹麦语"),
    "de": Words("German", "德语"),
    "el": Words("Greek", "希腊语"),
    "en": Words("English", "英语"),
    "es": Words("Spanish", "西班牙语"),
    "et": Words("Estonian", "爱沙尼亚语"),
    "fa": Words("Persian", "波斯语"),
    "fi": Words("Finnish", "芬兰语"),
    "fr": Words("French", "法语"),
    "he": Words("Hebrew", "希伯来语"),
    "hi": Words("Hindi", "印地语"),
    "hr": Words("Croatian", "克罗地亚语"),
    "hu": Words("Hungarian", "匈牙利语"),
    "id": Words("Indonesian", "印度尼西亚语"),
    "it": Words("Italian", "意大利语"),
    "ja": Words("Japanese", "日语"),
    "ko": Words("Korean", "韩语"),
    "la": Words("Latin", "拉丁语"),
    "lt": Words("Lithuanian", "立陶宛语"),
    "lv": Words("Latvian", "拉脱维亚语"),
    "ms": Words("Malay", "马来语"),
    "nl": Words("Dutch", "荷兰语"),
    "no": Words("Norwegian", "挪威语"),
    "pl": Words("Polish", "波兰语"),
    "pt": Words("Portuguese", "葡萄牙语"),
    "ro": Words("Romanian", "罗马尼亚语"),
    "ru": Words("Russian", "俄语"),
    "sk": Words("Slovak", "斯洛伐克语"),
    "sl": Words("Slovenian", "斯洛文尼亚语"),
    "sr": Words("Serbian", "塞尔维亚语"),
    "sv": Words("Swedish", "瑞典语"),
    "ta": Words("Tamil", "泰米尔语"),
    "th": Words("Thai", "泰语"),
    "tr": Words("Turkish", "土耳其语"),
    "uk": Words("Ukrainian", "乌克兰语"),
    "ur": Words("Urdu", "乌尔都语"),
    "vi": Words("Vietnamese", "越南语"),
    "zh": Words("Chinese", "中文"),
}
_UNKNOWN = Words("unknown", "未知")


def reason_words(name: str) -> Words:
    """A reason, or a step of cleaning."""
    return Words(name, _CHINESE.get(name, name))


def personal_words(kind: str) -> Words:
    """A kind of personal data."""
    return _PERSONAL.get(kind, Words(kind, kind))


def action_words(action: str) -> Words:
    """What was done with personal data."""
    return _ACTIONS.get(action, Words(action, action))


def language_words(code: str) -> Words:
    """A language by its ISO 639-1 code."""
    return _LANGUAGES.get(code, Words(code, code)) if code else _UNKNOWN


def kind_words(suffix: str) -> Words:
    """A kind of file by its suffix."""
    return Words(f".{suffix}", f".{suffix}") if suffix else Words("without a suffix", "无后缀")
