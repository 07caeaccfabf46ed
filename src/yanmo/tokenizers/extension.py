"""New tokens for a tokenizer that is there: those that save the most on a corpus, behind all old ids.

Tokens are learned by further merges from those that the tokenizer gives today (``merges``). BPE gets the
merges at the end of its list, so they are tried only when no old one fits, and text in which none of them
occurs keeps its tokens. WordPiece and Unigram get the pieces, of which the most gainful are kept (a piece
that longer new ones have swallowed saves nothing); Unigram gives each the logarithm of its share, at
least a little more than its parts have together. For fast vocabulary transfer of the model's rows see Gee
et al. 2022 (arXiv 2402.09977) and ``models.extension``.

Byte tokens of SentencePiece (``<0xE4>``) and the unknown token are never merged, so characters that such a
vocabulary lacks stay as they are.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yanmo.errors import InputError
from yanmo.tokenizers.backend import flat
from yanmo.tokenizers.byte_level import byte_level_to_bytes
from yanmo.tokenizers.folder import TOKENIZER_FILE, TokenizerFolder
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.merges import Merge, is_whole, learn_merges
from yanmo.tokenizers.wordpiece_vocab import VOCAB_FILE
from yanmo.tokenizers.words import word_characters

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_WORD_BEGINS = "\u2581"
_BATCH = 256
# Longest stretch of tokens that is looked at as one, and longest new token.
_MAX_WORD_TOKENS, _MAX_TOKEN_CHARS = 64, 64
# A new Unigram piece is so much likelier, in nats, than its parts together, at least.
_LEAD = 0.01


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token that was added.

    Attributes:
        text: as the vocabulary writes it.
        pieces: old ids that stood in its place.
        num_saved: tokens that it saved on the text it was learned from.
    """

    text: str
    pieces: tuple[int, ...]
    num_saved: int


@dataclass(frozen=True, kw_only=True)
class ExtendedTokenizer:
    """A tokenizer with new tokens: ``new[n]`` has the id ``first_id + n``."""

    tokenizer: Tokenizer
    first_id: int
    new: tuple[NewToken, ...]


def extend_tokenizer(
    tokenizer: Tokenizer, source: TokenizerFolder, texts: Iterable[str], num_new: int
) -> ExtendedTokenizer:
    """Add the tokens that save the most on texts.

    Args:
        tokenizer: of any kind that cuts words into pieces.
        source: the folder that it was read from.
        texts: to learn from; a few megabytes tell enough.
        num_new: tokens to add at most; fewer where no more pairs of neighbours occur twice.

    Returns:
        The tokenizer; every old token has its old id.

    Raises:
        InputError: the tokenizer is of a kind that cannot be extended, the number is out of range, or the
            text holds nothing to be gained.
    """
    if num_new < 1:
        raise InputError(f"{num_new} new tokens cannot be added", remedy="give 1 or more")
    content = json.loads(tokenizer.content)
    kind = content["model"].get("type")
    if kind not in _EDITS:
        raise InputError(f"a {kind} tokenizer cannot be extended", where=source.path)
    first_id = tokenizer.vocab_size
    words = _count_words(tokenizer, texts)
    join = _joiner(content, tokenizer, first_id)
    total = sum(len(word) * count for word, count in words.items())
    # Where pieces need no merges on the way, more are learned and the best of them kept.
    num_learned = num_new if kind == "BPE" else 2 * num_new
    merges = list(itertools.islice(learn_merges(words, first_id, join), num_learned))
    if not merges:
        raise InputError(
            "the text holds no pair of tokens that a new one could stand for",
            remedy="give more text of the kind that the tokens are for",
        )
    _place_added_tokens(content)
    new = _EDITS[kind](content["model"], merges, first_id, num_new, total)
    made = _reopen(source, json.dumps(content, ensure_ascii=False, indent=2))
    return ExtendedTokenizer(tokenizer=made, first_id=first_id, new=tuple(new))


def check_unchanged(before: Tokenizer, after: ExtendedTokenizer, texts: Sequence[str]) -> None:
    """Refuse an extension that changes what it should not.

    Raises:
        InputError: an old id has another token, or a text without new tokens has other ids than before, or a
            text no longer decodes to what it did.
    """
    for token_id, token in enumerate(before.tokens_by_id):
        if after.tokenizer.tokens_by_id[token_id] != token:
            raise InputError(f"this tokenizer cannot be extended: id {token_id} would be another token")
    pairs = zip(before.encode_batch(texts), after.tokenizer.encode_batch(texts), strict=True)
    for text, (old, new) in zip(texts, pairs, strict=True):
        is_old = not (new >= after.first_id).any()
        if (is_old and not np.array_equal(old, new)) or after.tokenizer.decode(new) != before.decode(old):
            raise InputError(f"this tokenizer cannot be extended: it would write {text[:40]!r} differently")


def _count_words(tokenizer: Tokenizer, texts: Iterable[str]) -> Counter[tuple[int, ...]]:
    """How often each stretch of tokens occurs, within what the pre-tokenizer keeps together."""
    content = json.loads(tokenizer.content)
    is_byte_level = _is_byte_level(content)
    begins = {
        token_id
        for token_id, token in enumerate(tokenizer.tokens_by_id)
        if token is not None and not is_byte_level and token.startswith(_WORD_BEGINS)
    }
    words: Counter[tuple[int, ...]] = Counter()
    pending = iter(texts)
    while batch := list(itertools.islice(pending, _BATCH)):
        for encoding in tokenizer.encoder.encodings(batch):
            word: list[int] = []
            last: int | None = None
            for token_id, word_id in zip(encoding.ids, encoding.word_ids, strict=True):
                if word_id != last or token_id in begins or len(word) == _MAX_WORD_TOKENS:
                    words[tuple(word)] += 1
                    word = []
                word.append(token_id)
                last = word_id
            words[tuple(word)] += 1
    return Counter({word: count for word, count in words.items() if len(word) > 1})


def _is_byte_level(content: dict[str, Any]) -> bool:
    return any(step.get("type") == "ByteLevel" for step in flat(content.get("decoder")))


def _joiner(content: dict[str, Any], tokenizer: Tokenizer, first_id: int) -> Callable[[int, int], str | None]:
    """The text of the token that two become; remembers those it has given, for the merges above them."""
    model = content["model"]
    is_byte_level = _is_byte_level(content)
    prefix = model.get("continuing_subword_prefix") or ""
    texts: dict[int, str] = {
        token_id: token
        for token_id, token in enumerate(tokenizer.tokens_by_id)
        if token is not None and token_id != tokenizer.unk_id and not _BYTE_TOKEN.fullmatch(token)
    }
    taken = {token for token in tokenizer.tokens_by_id if token is not None} | set(tokenizer.special_ids)
    next_ids = itertools.count(first_id)

    def join(left: int, right: int) -> str | None:
        if left not in texts or right not in texts:
            return None
        if prefix and not texts[right].startswith(prefix):
            return None
        text = texts[left] + texts[right].removeprefix(prefix)
        if text in taken or len(text) > _MAX_TOKEN_CHARS:
            return None
        if not (is_whole(byte_level_to_bytes(text)) if is_byte_level else _is_plain(text)):
            return None
        taken.add(text)
        texts[next(next_ids)] = text
        return text

    return join


def _is_plain(text: str) -> bool:
    """Whether a text is all word or all sign: where nothing parts the two, new tokens do not tie them."""
    in_word = word_characters(text.lstrip(_WORD_BEGINS))
    return bool(in_word.all() or not in_word.any())


def _new_tokens(merges: Sequence[Merge], first_id: int) -> list[NewToken]:
    """What the merges made, with what each saves beside the others."""
    pieces: dict[int, tuple[int, ...]] = {}
    left_over: dict[int, int] = {}
    for token_id, merge in enumerate(merges, start=first_id):
        parts = [pieces.get(part, (part,)) for part in (merge.left, merge.right)]
        pieces[token_id] = parts[0] + parts[1]
        left_over[token_id] = merge.count
        for part in (merge.left, merge.right):
            if part in left_over:
                left_over[part] -= merge.count
    return [
        NewToken(text=merge.text, pieces=parts, num_saved=max(0, left_over[token_id]) * (len(parts) - 1))
        for (token_id, parts), merge in zip(pieces.items(), merges, strict=True)
    ]


def _extend_bpe(
    model: dict[str, Any], merges: Sequence[Merge], first_id: int, num_new: int, total: int
) -> list[NewToken]:
    names = {token_id: token for token, token_id in model["vocab"].items()}
    listed = model["merges"]
    as_strings = bool(listed) and isinstance(listed[0], str)
    for token_id, merge in enumerate(merges, start=first_id):
        pair = [names[merge.left], names[merge.right]]
        listed.append(" ".join(pair) if as_strings else pair)
        model["vocab"][merge.text] = token_id
        names[token_id] = merge.text
    return _new_tokens(merges, first_id)


def _best(merges: Sequence[Merge], first_id: int, num_new: int) -> list[NewToken]:
    found = [token for token in _new_tokens(merges, first_id) if token.num_saved]
    return sorted(found, key=lambda token: (-token.num_saved, token.text))[:num_new]


def _extend_wordpiece(
    model: dict[str, Any], merges: Sequence[Merge], first_id: int, num_new: int, total: int
) -> list[NewToken]:
    new = _best(merges, first_id, num_new)
    model["vocab"] |= {token.text: token_id for token_id, token in enumerate(new, start=first_id)}
    return new


def _extend_unigram(
    model: dict[str, Any], merges: Sequence[Merge], first_id: int, num_new: int, total: int
) -> list[NewToken]:
    new = _best(merges, first_id, num_new)
    vocab = model["vocab"]
    for token in new:
        parts = sum(vocab[piece][1] for piece in token.pieces)
        share = token.num_saved / (len(token.pieces) - 1) / total
        vocab.append([token.text, max(math.log(share), parts + _LEAD)])
    return new


_EDITS: dict[str, Callable[[dict[str, Any], Sequence[Merge], int, int, int], list[NewToken]]] = {
    "BPE": _extend_bpe,
    "WordPiece": _extend_wordpiece,
    "Unigram": _extend_unigram,
}


def _place_added_tokens(content: dict[str, Any]) -> None:
    """Give the added tokens their places in the model's own vocabulary too.

    Those that are not there are numbered when a file is opened, from the size of the vocabulary on: new
    ordinary tokens would push them on.
    """
    vocab = content["model"]["vocab"]
    added = sorted(content.get("added_tokens") or [], key=lambda token: int(token["id"]))
    if isinstance(vocab, dict):
        vocab |= {token["content"]: token["id"] for token in added if token["content"] not in vocab}
        return
    lowest = min((score for _, score in vocab), default=0.0)
    known = {token for token, _ in vocab}
    for token in added:
        if token["content"] not in known:
            if token["id"] != len(vocab):
                raise InputError(f"this tokenizer cannot be extended: its ids have a gap at {len(vocab)}")
            vocab.append([token["content"], lowest])


def _reopen(source: TokenizerFolder, content: str) -> Tokenizer:
    files = {name: raw for name, raw in source.files.items() if name != VOCAB_FILE}
    files[TOKENIZER_FILE] = content.encode()
    changed = dataclasses.replace(source, content=content, files=files)
    return Tokenizer(
        content,
        template=source.template,
        chat_tuned=source.is_chat_tuned,
        where=source.path,
        source=changed,
    )
