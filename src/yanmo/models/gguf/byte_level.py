"""Byte-level BPE (Radford et al. 2019, GPT-2) between a tokenizer.json and GGUF, which calls it "gpt2".

What GGUF cannot say is lost: a normalizer (Qwen's tokenizers compose characters first, llama.cpp takes text
as it is), and whether an added token takes the spaces beside it along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.gguf.header import Value
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.pretokenizers import PRE_TOKENIZERS, PreTokenizer, find_name, to_json
from yanmo.models.gguf.vocabulary import Vocabulary
from yanmo.tokenizers.byte_level import byte_level_to_bytes

MODEL = "gpt2"
_NORMALIZERS = (None, {"type": "NFC"})


def read(metadata: Metadata, vocabulary: Vocabulary) -> dict[str, Any]:
    """A tokenizer.json without its post-processor.

    Raises:
        InputError: the file parts text in a way that is not known here, or its merges are damaged.
    """
    way = pre_tokenizer_of(metadata)
    vocab = vocabulary.used()
    merges = [merge.split(" ") for merge in metadata.texts("tokenizer.ggml.merges")]
    for merge in merges:
        if len(merge) != 2 or not {merge[0], merge[1], "".join(merge)} <= vocab.keys():
            what = f"the merge {shorten(' '.join(merge))} is not of two tokens into a third"
            raise InputError(what, where=metadata.where, remedy=DAMAGED)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": None,
        "pre_tokenizer": to_json(way),
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": way.ignore_merges,
            "vocab": vocab,
            "merges": merges,
        },
    }


def write(tokenizer: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Value]:
    """The metadata of a byte-level tokenizer.json.

    Raises:
        InputError: llama.cpp would give other tokens.
    """
    model = tokenizer["model"]
    if tokenizer.get("normalizer") not in _NORMALIZERS:
        found = shorten(tokenizer["normalizer"])
        raise InputError(f"llama.cpp does not normalise text as {found} does", where="tokenizer.json")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise InputError("llama.cpp does not mark the parts of words", where="tokenizer.json")
    name = find_name(
        tokenizer.get("pre_tokenizer"),
        ignore_merges=bool(model.get("ignore_merges")),
        joins_digits=any(map(_is_digits, model["vocab"])),
    )
    # Older files have each merge in one string.
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    if not merges:
        raise InputError("llama.cpp wants at least one merge in a tokenizer", where="tokenizer.json")
    return {
        "tokenizer.ggml.model": MODEL,
        "tokenizer.ggml.pre": name,
        "tokenizer.ggml.tokens": list(vocabulary.tokens),
        "tokenizer.ggml.token_type": [int(kind) for kind in vocabulary.kinds],
        "tokenizer.ggml.merges": merges,
    }


def _is_digits(token: str) -> bool:
    """Whether a token is several digits, or other numbers, and nothing else."""
    text = byte_level_to_bytes(token).decode("utf-8", "replace")
    return len(text) > 1 and text.isnumeric()


def pre_tokenizer_of(metadata: Metadata) -> PreTokenizer:
    """How the file's text is parted.

    Raises:
        InputError: the way is not known here.
    """
    name = metadata.text("tokenizer.ggml.pre", "default")
    if name not in PRE_TOKENIZERS:
        raise InputError(
            f"llama.cpp's way {shorten(name)} of parting text is not known",
            where=metadata.where,
            remedy=f"these are: {', '.join(PRE_TOKENIZERS)}",
        )
    return PRE_TOKENIZERS[name]
