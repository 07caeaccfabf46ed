"""A tokenizer.json opened with the ``tokenizers`` library, whatever the file holds.

The library is written in Rust: on some wrong files it panics, which Python sees as a BaseException, and
some files ask it for more time or memory than a tokenizer needs. What can be seen beforehand is refused
here; ``library_errors`` turns the rest into one line.

Oniguruma, which runs the expressions, gives up a match after ten million steps. An expression that stays
just below that at every character would still take minutes, so repeated groups that can match one text
in many ways are refused.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import math
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import tokenizers

from yanmo.errors import InputError

DAMAGED = "the file is damaged; make it again"
# The largest vocabularies of the field hold some 260,000 tokens.
MAX_IDS = 2**22
# WordPiece takes quadratic time in the length of a word; everybody's limit is 100 or 200.
_MAX_WORD_CHARS = 1000
_MAX_GROWTH = 256.0

_CHARSMAP = re.compile(r'"precompiled_charsmap"\s*:\s*"([^"]*)"')


@contextlib.contextmanager
def library_errors(what: str, *, where: object = None, remedy: str = "") -> Iterator[None]:
    """Turn what the library raises (bare Exceptions, panics) into an InputError that begins with ``what``."""
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if kind is not Exception and (kind.__module__, kind.__name__) != ("pyo3_runtime", "PanicException"):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: {reason}", where=where, remedy=remedy) from None


def open_backend(content: str, *, where: object = None) -> tokenizers.Tokenizer:
    """The library's tokenizer for the content of a tokenizer.json.

    Args:
        content: the file's content.
        where: the file, for messages.

    Raises:
        InputError: it is not a tokenizer, or one that would take time or memory out of all proportion.
    """
    for found in _CHARSMAP.finditer(content):
        _check_charsmap(found[1], where)
    with library_errors("not a tokenizer", where=where, remedy=DAMAGED):
        backend = tokenizers.Tokenizer.from_str(content)
    _check_parts(backend, where)
    if getattr(backend.model, "dropout", None):
        # The same text must always give the same ids.
        backend.model.dropout = None
    return backend


def part_of(component: Any) -> dict[str, Any] | None:
    """The settings of a normalizer, pre-tokenizer, post-processor or decoder, as in tokenizer.json."""
    if component is None:
        return None
    settings: dict[str, Any] = json.loads(component.__getstate__())
    return settings


def flat(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The steps of a part, in order: those of a Sequence one by one, however nested; none for None."""
    if part is None:
        return []
    for name in ("normalizers", "pretokenizers", "processors", "decoders"):
        if part.get("type") == "Sequence" and isinstance(part.get(name), list):
            return [step for inner in part[name] for step in flat(inner)]
    return [part]


def share_model(backend: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """A second tokenizer over the same model, which is not copied; without its post-processor.

    Raises:
        InputError: the added tokens would get other ids.
    """
    twin = tokenizers.Tokenizer(backend.model)
    twin.normalizer, twin.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    added = sorted(backend.get_added_tokens_decoder().items())
    twin.add_tokens([token for _, token in added])
    for token_id, token in added:
        if twin.token_to_id(token.content) != token_id:
            raise InputError(f"the ids of the added tokens have gaps at {token_id}", remedy=DAMAGED)
    return twin


def reachable_specials(backend: tokenizers.Tokenizer) -> set[int]:
    """Special ids that the model itself may give to a text that holds the token's string.

    Merging by rank never does; a Unigram model does, and whatever looks up a whole word.
    """
    if type(backend.model).__name__ == "BPE" and not backend.model.ignore_merges:
        return set()
    specials = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]
    unknown = getattr(backend.model, "unk_token", None)
    ids = {backend.model.token_to_id(text) for text in specials if text != unknown}
    if type(backend.model).__name__ == "Unigram":
        ids.discard(json.loads(backend.model.__getstate__())["unk_id"])
    return {token_id for token_id in ids if token_id is not None}


def hide_tokens(backend: tokenizers.Tokenizer, hidden: Collection[int]) -> tokenizers.Tokenizer:
    """The same tokenizer, whose model no longer knows the strings of some tokens; all ids stay."""
    described = json.loads(backend.to_str())
    vocab = described["model"]["vocab"]
    # No text can be written to hold a name that is drawn anew each time.
    prefix = secrets.token_hex(16)
    if isinstance(vocab, list):
        for token_id in hidden:
            vocab[token_id][0] = prefix + vocab[token_id][0]
    else:
        described["model"]["vocab"] = {
            prefix + token if token_id in hidden else token: token_id for token, token_id in vocab.items()
        }
    described["added_tokens"] = [token for token in described["added_tokens"] if token["id"] not in hidden]
    blind = tokenizers.Tokenizer.from_str(json.dumps(described))
    blind.encode_special_tokens = True
    return blind


def _check_parts(backend: tokenizers.Tokenizer, where: object) -> None:
    normalizers, decoders = flat(part_of(backend.normalizer)), flat(part_of(backend.decoder))
    for step in (*normalizers, *flat(part_of(backend.pre_tokenizer)), *decoders):
        _check_expression(step.get("pattern"), where)
    for step in flat(part_of(backend.post_processor)):
        _check_template(step, where)
    growth = math.prod(_growth(step) for step in normalizers)
    if growth > _MAX_GROWTH or getattr(backend.model, "max_input_chars_per_word", 0) > _MAX_WORD_CHARS:
        what = "it would take time or memory out of all proportion"
        raise InputError(f"not a tokenizer: {what}", where=where, remedy=DAMAGED)
    last_id = max(backend.get_vocab(with_added_tokens=True).values(), default=None)
    if last_id is None or last_id >= MAX_IDS:
        what = "its vocabulary is empty" if last_id is None else f"its ids go beyond {MAX_IDS}"
        raise InputError(f"not a tokenizer: {what}", where=where, remedy=DAMAGED)


def _growth(step: Mapping[str, Any]) -> float:
    """How many times longer a text can become."""
    if step.get("type") == "Replace":
        return max(1.0, len(step["content"]) / max(1, len(step["pattern"].get("String", ""))))
    return max(1.0, len(step["prepend"]) / 16) if step.get("type") == "Prepend" else 1.0


def _check_charsmap(text: str, where: object) -> None:
    """SentencePiece's map of characters: the size of a trie (4 bytes), the trie, and strings."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) < 8 or int.from_bytes(raw[:4], "little") > len(raw) - 4:
        raise InputError("not a tokenizer: its map of characters is cut short", where=where, remedy=DAMAGED)


def _check_template(step: Mapping[str, Any], where: object) -> None:
    if step.get("type") != "TemplateProcessing":
        return
    for name, allowed in (("single", {"A"}), ("pair", {"A", "B"})):
        for piece in step[name]:
            token, sequence = piece.get("SpecialToken"), piece.get("Sequence")
            known = token["id"] in step["special_tokens"] if token else sequence["id"] in allowed
            if not known:
                what = f"its template for {name} texts names the unknown {(token or sequence)['id']!r}"
                raise InputError(f"not a tokenizer: {what}", where=where, remedy=DAMAGED)


def _check_expression(pattern: object, where: object) -> None:
    expression = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    if isinstance(expression, str) and is_explosive(expression):
        what = f"the expression {expression[:60]!r} could take minutes on a line of text"
        raise InputError(f"not a tokenizer: {what}", where=where, remedy="use a tokenizer without it")


_TOKEN_OF_EXPRESSION = re.compile(
    r"\\.|\(\?(?:[:=!>]|<[=!]|[imx-]+:)?|[()\[\]|]|[*+]|\{\d*,?\d*\}|.", re.DOTALL
)


def is_explosive(expression: str) -> bool:
    """Whether an expression repeats a group that holds a choice or a repetition of its own.

    That is how an expression comes to match one text in exponentially many ways.
    """
    tokens = _TOKEN_OF_EXPRESSION.findall(expression)
    # For each open group: whether it holds something that can match in more than one way.
    open_groups, depth_of_class = [False], 0
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        if token == "[":
            depth_of_class += 1
        elif token == "]":
            depth_of_class = max(0, depth_of_class - 1)
        elif depth_of_class:
            continue
        elif token.startswith("("):
            open_groups.append(False)
        elif token == ")" and len(open_groups) > 1:
            is_ambiguous = open_groups.pop()
            is_repeated = following in ("*", "+") or following.startswith("{")
            if is_ambiguous and is_repeated:
                return True
            open_groups[-1] = open_groups[-1] or is_ambiguous
        elif token in ("*", "+", "|"):
            open_groups[-1] = True
        elif len(token) > 2 and token.startswith("{"):
            open_groups[-1] = open_groups[-1] or "," in token
    return False
