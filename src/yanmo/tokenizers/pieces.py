"""Where a long text may be cut so that its pieces give, one after the other, exactly the same ids.

The library takes some 200 bytes of memory per byte of text. A text may be cut only where no token
crosses, and where neither the normalizer nor the pre-tokenizer looks across: that depends on both, and
where it is not known to hold the text is encoded whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tokenizers

from yanmo.tokenizers.backend import flat, part_of

# They change characters one by one, or a letter with its marks, and make no new space beside a letter.
_LOCAL_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase"}
# These may take a character away between two spaces, which matters only where spaces are kept.
_REMOVING_NORMALIZERS = {"StripAccents", "BertNormalizer"}
# They part a text at every space, and keep nothing of it.
_SPACE_SPLITTERS = {"BertPreTokenizer", "WhitespaceSplit", "Whitespace"}
# They part words further, character by character.
_LOCAL_SPLITTERS = {"Digits", "Punctuation"}

# No word holds a character with a space after it. Of the space between words, only the first character
# may be parted from what is before, since rules look ahead in it to the next word.
_AT_SPACE = r"(?<=\S)(?= )"
_AT_LINE = r"(?<=\S\n)(?=\S)"
# The expression of Qwen2 takes space up to its last line break as one token, and looks no further.
_AT_QWEN_LINE = r"(?<=\n)(?=[^\S\r\n]{0,8}\S)"
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Expressions that part a text, and where they always do. Llama 3's is Qwen2's with three digits together.
_PLACES = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": [_AT_SPACE, _AT_LINE],
    _QWEN: [_AT_SPACE, _AT_QWEN_LINE],
    _QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|"): [_AT_SPACE, _AT_QWEN_LINE],
}
_DIGITS = {r"\p{N}", r"\p{N}{1,3}"}


def cut_pattern(backend: tokenizers.Tokenizer) -> re.Pattern[str] | None:
    """An expression that finds the places where a text may be cut, or None where none is known."""
    steps = [step for step in flat(part_of(backend.pre_tokenizer)) if not _is_local(step)]
    drops_spaces = bool(steps) and steps[0].get("type") in _SPACE_SPLITTERS
    harmless = _LOCAL_NORMALIZERS | (_REMOVING_NORMALIZERS if drops_spaces else set())
    if not all(step.get("type") in harmless for step in flat(part_of(backend.normalizer))):
        return None
    for token in backend.get_added_tokens_decoder().values():
        has_space_inside = bool(token.content.strip()) and len(token.content.split()) > 1
        touches_space = token.content.strip() not in ("", token.content)
        if not token.special and (token.lstrip or token.rstrip or has_space_inside or touches_space):
            return None
    places = _places(steps)
    return re.compile("|".join(places)) if places else None


def pieces(text: str, pattern: re.Pattern[str] | None, size: int) -> Iterator[str]:
    """A text in pieces of ``size`` characters or more, cut where ``pattern`` allows it."""
    start = 0
    while pattern is not None and len(text) - start > 2 * size:
        found = pattern.search(text, start + size)
        if found is None or found.start() == len(text):
            break
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]


def _places(steps: list[Mapping[str, Any]]) -> Iterable[str]:
    """Expressions of the places where a pre-tokenizer of these steps always parts a text."""
    match steps:
        case [{"type": "ByteLevel", "use_regex": True, "add_prefix_space": has_prefix}]:
            # A piece that begins with a space gets no other; one that begins a line would.
            return [_AT_SPACE] if has_prefix else [_AT_SPACE, _AT_LINE]
        case [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False},
        ]:
            return _PLACES.get(regex, [])
        case [{"type": first}] if first in _SPACE_SPLITTERS:
            return [_AT_SPACE]
        case [
            {"type": "WhitespaceSplit"},
            {"type": "Metaspace", "prepend_scheme": "always" | "never"},
        ]:
            return [_AT_SPACE]
    return []


def _is_local(step: Mapping[str, Any]) -> bool:
    """Whether a step only parts words further, whatever stands around them."""
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    return step.get("type") in _LOCAL_SPLITTERS or expression in _DIGITS
