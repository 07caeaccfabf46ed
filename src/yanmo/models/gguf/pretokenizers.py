r"""How llama.cpp parts text before byte-level BPE: its names, as pre-tokenizers of ``tokenizers``.

A GGUF file only names the way (``tokenizer.ggml.pre``); the expressions are part of llama.cpp. Here each name
has the steps that give the same parts, as the models that it is named after write them. A tokenizer is
written under the name whose steps are its own, and refused where there is none: under a wrong name
llama.cpp would read the model with other tokens than it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import shorten
from yanmo.tokenizers.bpe import SPLIT_PATTERN

_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_TAIL}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*")
_SLASHED_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_CASED[0]}|{_CASED[1]}|\p{{N}}|{_SLASHED_TAIL}"
_O200K = rf"{_CASED[0]}{_CONTRACTIONS}?|{_CASED[1]}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SLASHED_TAIL}"
_PUNCTUATION = r"[\p{P}\$\+<=>\^~\|`]+"
_DIGIT, _DIGITS = r"\p{N}", r"\p{N}+"
_CJK = "[一-龥ࠀ-一가-\ud7ff]+"
# Letters with a case, as DeepSeek's first models list them.
_CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-"
    "\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-"
    "\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf"
    "\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-"
    "\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e"
    "\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-"
    "\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-"
    "\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)


@dataclass(frozen=True)
class PreTokenizer:
    """One of llama.cpp's ways.

    Attributes:
        steps: expressions, each applied to the parts that those before it left.
        ignore_merges: a part that is a token as a whole is not taken apart.
        add_bos: llama.cpp begins texts with the begin token unless the file says otherwise.
    """

    steps: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_LLAMA3 = PreTokenizer((_CL100K,), ignore_merges=True, add_bos=True)
_SMOLLM = PreTokenizer((_DIGIT, _GPT2))
_QWEN2 = PreTokenizer((SPLIT_PATTERN,))
_O200K_STEPS = PreTokenizer((_O200K,))

# The first name that fits is the one written.
PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    "gpt-2": PreTokenizer((_GPT2,)),
    "phi-2": PreTokenizer((_GPT2,)),
    "olmo": PreTokenizer((_GPT2,)),
    "mpt": PreTokenizer((_GPT2,)),
    "jais": PreTokenizer((_GPT2,)),
    "exaone4": PreTokenizer((_GPT2,)),
    "trillion": PreTokenizer((_GPT2,)),
    "granite-docling": PreTokenizer((_GPT2,)),
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "falcon3": _LLAMA3,
    "pixtral": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "stablelm2": _QWEN2,
    "hunyuan": _QWEN2,
    "megrez": _QWEN2,
    "smollm": _SMOLLM,
    "starcoder": _SMOLLM,
    "refact": _SMOLLM,
    "command-r": _SMOLLM,
    "codeshell": _SMOLLM,
    "exaone": _SMOLLM,
    "minerva-7b": _SMOLLM,
    "dbrx": PreTokenizer((_CL100K,)),
    "smaug-bpe": PreTokenizer((_CL100K,)),
    "chatglm-bpe": PreTokenizer((_CL100K,)),
    "glm4": PreTokenizer((_CL100K,), ignore_merges=True),
    "tekken": PreTokenizer((_TEKKEN,), ignore_merges=True, add_bos=True),
    "gpt-4o": _O200K_STEPS,
    "llama4": _O200K_STEPS,
    "deepseek-llm": PreTokenizer(
        (
            r"[\r\n]",
            rf"\s?[{_CASED_LETTERS}]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            _CJK,
            _DIGITS,
        )
    ),
    "deepseek-coder": PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, _DIGIT)),
    "deepseek-v3": PreTokenizer(
        (
            r"\p{N}{1,3}",
            "[一-龥぀-ゟ゠-ヿ]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
            r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
        )
    ),
    "falcon": PreTokenizer((_PUNCTUATION, _GPT2, "[0-9][0-9][0-9]")),
    # What llama.cpp does for files from before there were names.
    "default": PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, _DIGITS, "[0-9][0-9][0-9]")),
}


def to_json(way: PreTokenizer) -> dict[str, Any]:
    """The ``pre_tokenizer`` of a tokenizer.json that parts text so and writes bytes as characters."""
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    steps: list[dict[str, Any]] = [{**split, "pattern": {"Regex": step}} for step in way.steps]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level]}


def find_name(pre_tokenizer: Mapping[str, Any] | None, *, ignore_merges: bool, joins_digits: bool) -> str:
    """llama.cpp's name for the ``pre_tokenizer`` of a tokenizer.json.

    Args:
        pre_tokenizer: as in the file.
        ignore_merges: of its BPE model.
        joins_digits: whether a token holds several digits; if none does, it is all one whether digits come
            one by one or together.

    Raises:
        InputError: llama.cpp has no such way.
    """
    steps = tuple(_steps(pre_tokenizer))
    same = {} if joins_digits else {_DIGITS: _DIGIT}
    wanted = [same.get(step, step) for step in steps]
    for name, way in PRE_TOKENIZERS.items():
        found = [same.get(step, step) for step in way.steps]
        if name != "default" and found == wanted and way.ignore_merges == ignore_merges:
            return name
    shown = shorten(" then ".join(steps) or "not at all", 200)
    raise InputError(
        f"llama.cpp does not part text as this tokenizer does: {shown}",
        where="tokenizer.json",
        remedy="without its way, the GGUF file would give other tokens",
    )


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Iterator[str]:
    """The expressions of a pre-tokenizer; what is not one is a step that no way has."""
    match pre_tokenizer or {}:
        case {"type": "Sequence", "pretokenizers": list(steps)}:
            for step in steps:
                yield from _steps(step)
        # Removed and inverted keeps the matches, which are everything where an expression matches all text.
        case {
            "type": "Split",
            "pattern": {"Regex": str(pattern)},
            "behavior": "Isolated",
            "invert": False,
        } | {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Removed", "invert": True}:
            # Some files hold line breaks as they are.
            pattern = pattern.replace("\r", r"\r").replace("\n", r"\n")
            yield _EQUAL.get(pattern, pattern)
        case {"type": "Digits", "individual_digits": True}:
            yield _DIGIT
        case {"type": "Digits"}:
            yield _DIGITS
        case {"type": "Punctuation", "behavior": "Contiguous"}:
            yield _PUNCTUATION
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": use_regex}:
            if use_regex:
                yield _GPT2
        case {"type": "ByteLevel", "add_prefix_space": False}:
            yield _GPT2
        case {"type": kind}:
            yield f"<{kind}>"
        case _:
            return


# Other spellings in use of the expressions above.
_EQUAL = {
    r"\p{N}{1}": _DIGIT,
    r"[0-9]{3}": "[0-9][0-9][0-9]",
}
