"""SentencePiece's BPE (Kudo and Richardson 2018, arXiv 1808.06226) between a tokenizer.json and GGUF.

GGUF calls it "llama".

GGUF has a score for each token: of the pairs that join to a token, that of the highest score joins first.
A tokenizer.json has merges in their order. Both say the same where every way of cutting a token into two
tokens is a merge, and the merges are ordered by the scores of what they make: how such files are made, and
what is checked before one is written. (Where two ways of cutting one token meet in a text, they
may differ: scores take the leftmost pair, merges the one listed first.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from gguf.constants import TokenType

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED
from yanmo.models.gguf.header import Value
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.vocabulary import Vocabulary

MODEL = "llama"
SPACE = "▁"

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# Longer tokens are not cut: none in use is, and cutting takes the square of the length.
_MAX_TOKEN_CHARS = 128
# Below every score that counts.
_NO_SCORE = -1e6

_TO_MARKS = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
_TO_SPACES = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
_NO_SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}


def read(metadata: Metadata, vocabulary: Vocabulary) -> dict[str, Any]:
    """A tokenizer.json without its post-processor.

    Raises:
        InputError: the scores are damaged.
    """
    scores = metadata.numbers("tokenizer.ggml.scores")
    if len(scores) != len(vocabulary.tokens):
        raise InputError("the scores are not as many as the tokens", where=metadata.where, remedy=DAMAGED)
    ordinary = {
        token: score
        for token, kind, score in zip(vocabulary.tokens, vocabulary.kinds, scores, strict=True)
        if kind is TokenType.NORMAL
    }
    prefixed = metadata.flag("tokenizer.ggml.add_space_prefix", True)
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefixed else []
    unknown = [
        token
        for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True)
        if kind is TokenType.UNKNOWN
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary.added_tokens(),
        # Before each piece of text between special tokens, as llama.cpp does it.
        "normalizer": {"type": "Sequence", "normalizers": [_PREPEND, _TO_MARKS]} if prefixed else _TO_MARKS,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [_TO_SPACES, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": unknown[0] if unknown else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary.used(),
            "merges": merges_of(ordinary),
        },
    }


def write(tokenizer: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Value]:
    """The metadata of a tokenizer.json that was made from a SentencePiece model.

    Raises:
        InputError: llama.cpp would give other tokens.
    """
    prefixed = _adds_prefix(tokenizer)
    model = tokenizer["model"]
    tokens, kinds = list(vocabulary.tokens), list(vocabulary.kinds)
    for added in tokenizer.get("added_tokens") or []:
        # Text is compared with these before its spaces become marks.
        if added["normalized"] and not added["special"] and added["id"] < len(tokens):
            tokens[added["id"]] = added["content"].replace(SPACE, " ")
    for index, token in enumerate(tokens):
        if token == model.get("unk_token"):
            kinds[index] = TokenType.UNKNOWN
        elif kinds[index] is TokenType.NORMAL and _BYTE.fullmatch(token):
            kinds[index] = TokenType.BYTE
    if TokenType.UNKNOWN not in kinds or kinds.count(TokenType.BYTE) != 256:
        raise InputError(
            "llama.cpp wants an unknown token and one for each byte in a SentencePiece vocabulary",
            where="tokenizer.json",
        )
    ordinary = {token for token, kind in zip(tokens, kinds, strict=True) if kind is TokenType.NORMAL}
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    rank = _ranks([(left, right) for left, right in merges if left + right in ordinary])
    scores = [float(-rank[token]) if token in rank else _NO_SCORE for token in tokens]
    implied = merges_of({token: -rank.get(token, len(rank)) for token in ordinary})
    if {tuple(merge) for merge in implied} != {merge for merge in merges if "".join(merge) in ordinary}:
        raise InputError("the merges are not those of a SentencePiece vocabulary", where="tokenizer.json")
    return {
        "tokenizer.ggml.model": MODEL,
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [int(kind) for kind in kinds],
        "tokenizer.ggml.add_space_prefix": prefixed,
    }


def merges_of(scores: Mapping[str, float]) -> list[list[str]]:
    """The merges that scores imply: each way of cutting a token into two, those of the best token first.

    Args:
        scores: of the ordinary tokens.
    """
    found = [
        (score, cut, token)
        for token, score in scores.items()
        if len(token) <= _MAX_TOKEN_CHARS
        for cut in range(1, len(token))
        if token[:cut] in scores and token[cut:] in scores
    ]
    return [[token[:cut], token[cut:]] for _, cut, token in sorted(found, reverse=True)]


def _ranks(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The place of each token in the order in which merges make them.

    Raises:
        InputError: merges that make one token are not beside each other, so that no score says when.
    """
    made = [token for token, _ in groupby(left + right for left, right in merges)]
    ranks = {token: rank for rank, token in enumerate(made)}
    if len(ranks) != len(made):
        raise InputError(
            "the merges are not in the order of a SentencePiece vocabulary", where="tokenizer.json"
        )
    return ranks


def _adds_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a text begins with a mark for a space, in the three forms that such files have.

    Raises:
        InputError: text is changed in another way before it is parted.
    """
    match tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer"):
        case {"type": "Sequence", "normalizers": [prepend, replace]}, None if (
            prepend == _PREPEND and replace == _TO_MARKS
        ):
            return True
        case normalizer, split if normalizer == _TO_MARKS and split in (None, _NO_SPLIT):
            return False
        case None, {"type": "Metaspace", "replacement": "▁", "split": False, "prepend_scheme": scheme}:
            return bool(scheme != "never")
    raise InputError(
        "llama.cpp does not prepare text as this tokenizer does",
        where="tokenizer.json",
        remedy="only spaces may be replaced, by " + SPACE,
    )
