"""A GGUF file's tokenizer as the files of a Hugging Face tokenizer, and the other way round."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, parse_json, shorten
from yanmo.models.gguf import byte_level, sentencepiece
from yanmo.models.gguf.header import Value
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.vocabulary import Vocabulary, require_id
from yanmo.tokenizers.folder import CONFIG_FILE, TEMPLATE_FILE, TOKENIZER_FILE

_TEMPLATE = "tokenizer.chat_template"
# Whether the model was trained on conversations: yanmo's models have a template before they are.
_CHAT_TUNED = "yanmo.chat_tuned"
# Tokens that end a turn, which llama.cpp knows by their text.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """Ids of tokens with a role, None where there is none; ``ends`` all end an answer, the first a text."""

    bos: int | None
    ends: tuple[int, ...]
    pad: int | None
    unk: int | None

    @property
    def eos(self) -> int | None:
        """The id that ends a text."""
        return self.ends[0] if self.ends else None


def read_special_ids(metadata: Metadata, vocab_size: int) -> SpecialIds:
    """The ids of special tokens.

    Raises:
        InputError: one is no id.
    """
    is_spm = metadata.text("tokenizer.ggml.model", "") == sentencepiece.MODEL

    def find(role: str, default: int | None = None) -> int | None:
        return require_id(metadata, f"tokenizer.ggml.{role}_token_id", vocab_size, default)

    tokens = metadata.texts("tokenizer.ggml.tokens")
    named = [tokens.index(token) for token in _TURN_ENDS if token in tokens]
    ends = [find("eos", 2 if is_spm else None), find("eot"), find("eom"), *named]
    return SpecialIds(
        bos=find("bos", 1 if is_spm else None),
        ends=tuple(dict.fromkeys(end for end in ends if end is not None and end < vocab_size)),
        pad=find("padding"),
        unk=find("unknown", 0 if is_spm else None),
    )


def read_tokenizer(metadata: Metadata, vocab_size: int, max_len: int) -> dict[str, bytes]:
    """tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja.

    Args:
        metadata: of the file.
        vocab_size: rows of the token embedding.
        max_len: context of the model in tokens.

    Raises:
        InputError: the tokenizer is missing, damaged, or of a kind that is not read.
    """
    vocabulary = Vocabulary.read(metadata, vocab_size)
    ids = read_special_ids(metadata, vocab_size)
    match metadata.text("tokenizer.ggml.model"):
        case byte_level.MODEL:
            content = byte_level.read(metadata, vocabulary)
            adds_bos = byte_level.pre_tokenizer_of(metadata).add_bos
        case sentencepiece.MODEL:
            content = sentencepiece.read(metadata, vocabulary)
            adds_bos = True
        case other:
            raise InputError(
                f"tokenizers of the kind {shorten(other)} are not read",
                where=metadata.where,
                remedy=f"{byte_level.MODEL} and {sentencepiece.MODEL} are",
            )
    bos = vocabulary.token_of(ids.bos)
    eos = vocabulary.token_of(ids.eos)
    adds_bos = metadata.flag("tokenizer.ggml.add_bos_token", adds_bos) and bos is not None
    adds_eos = metadata.flag("tokenizer.ggml.add_eos_token", False) and eos is not None
    around = ([bos] if bos and adds_bos else [], [eos] if eos and adds_eos else [])
    content["post_processor"] = _template_processing(*around, content["model"]["vocab"])
    text = json.dumps(content, ensure_ascii=False)
    _require_sound(text, where=metadata.where)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "pad_token": vocabulary.token_of(ids.pad),
        "unk_token": vocabulary.token_of(ids.unk),
        "add_bos_token": adds_bos,
        "add_eos_token": adds_eos,
        "model_max_length": max_len,
        "clean_up_tokenization_spaces": False,
    }
    files = {TOKENIZER_FILE: text.encode()}
    template = metadata.text(_TEMPLATE, "")
    if template:
        files[TEMPLATE_FILE] = template.encode()
        config["yanmo_chat"] = metadata.flag(_CHAT_TUNED, True)
    files[CONFIG_FILE] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    return files


def write_tokenizer(
    tokenizer_json: str,
    tokenizer_config: Mapping[str, Any],
    chat_template: str | None,
    *,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
) -> dict[str, Value]:
    """The metadata of a tokenizer.

    Args:
        tokenizer_json: content of tokenizer.json.
        tokenizer_config: content of tokenizer_config.json.
        chat_template: Jinja template of conversations, or None.
        config: the model's config, for ids and the number of rows.
        generation_config: names all tokens that end an answer, where there is one.

    Raises:
        InputError: the file is damaged, or llama.cpp would give other tokens.
    """
    backend = _require_sound(tokenizer_json, where=TOKENIZER_FILE)
    content = parse_json(tokenizer_json.encode(), where=TOKENIZER_FILE)
    vocabulary = Vocabulary.from_tokenizer_json(content, config["vocab_size"]) if _is_bpe(content) else None
    if vocabulary is None:
        kind = shorten(content.get("model", {}).get("type"))
        raise InputError(f"a tokenizer of the kind {kind} cannot be written as GGUF", where=TOKENIZER_FILE)
    if content["model"].get("byte_fallback"):
        entries = sentencepiece.write(content, vocabulary)
    else:
        entries = byte_level.write(content, vocabulary)
    before, after = _added_around(backend)
    ids = _special_ids(vocabulary, tokenizer_config, config, generation_config, before)
    if ids.eos is None:
        raise InputError(
            "names no token that ends a text",
            where=CONFIG_FILE,
            remedy="llama.cpp would take an ordinary token for it; set eos_token",
        )
    for role, token_id in {
        "bos": ids.bos,
        "eos": ids.eos,
        "eot": ids.ends[1] if len(ids.ends) > 1 else None,
        "eom": ids.ends[2] if len(ids.ends) > 2 else None,
        "unknown": ids.unk,
        "padding": ids.pad,
    }.items():
        if token_id is not None:
            entries[f"tokenizer.ggml.{role}_token_id"] = token_id
    adds_bos = tokenizer_config.get("add_bos_token")
    adds_eos = tokenizer_config.get("add_eos_token")
    adds_bos = adds_bos if isinstance(adds_bos, bool) else bool(before)
    adds_eos = adds_eos if isinstance(adds_eos, bool) else bool(after)
    entries["tokenizer.ggml.add_bos_token"] = adds_bos and ids.bos is not None
    entries["tokenizer.ggml.add_eos_token"] = adds_eos and ids.eos is not None
    if chat_template:
        entries[_TEMPLATE] = chat_template
        if isinstance(tokenizer_config.get("yanmo_chat"), bool):
            entries[_CHAT_TUNED] = tokenizer_config["yanmo_chat"]
    return entries


def _is_bpe(content: Mapping[str, Any]) -> bool:
    return bool(content.get("model", {}).get("type") == "BPE")


def _require_sound(text: str, *, where: object) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        reason = shorten(" ".join(str(error).split()), 200)
        raise InputError(f"not a tokenizer: {reason}", where=where, remedy=DAMAGED) from None


def _added_around(backend: tokenizers.Tokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and behind a text.

    Raises:
        InputError: they are more than one on a side, which llama.cpp does not do.
    """
    plain = list(backend.encode("a", add_special_tokens=False).ids)
    whole = list(backend.encode("a", add_special_tokens=True).ids)
    for start in range(len(whole) - len(plain) + 1):
        before, after = whole[:start], whole[start + len(plain) :]
        if whole[start : start + len(plain)] == plain and max(len(before), len(after)) <= 1:
            return before, after
    raise InputError("llama.cpp adds at most one token before and behind a text", where=TOKENIZER_FILE)


def _special_ids(
    vocabulary: Vocabulary,
    tokenizer_config: Mapping[str, Any],
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
    before: Sequence[int],
) -> SpecialIds:
    """Ids as the tokenizer's config names them, else as the model's does."""
    size = len(vocabulary.tokens)

    def listed(key: str) -> list[int]:
        found: list[int] = []
        for source in (config, generation_config):
            value = source.get(key)
            values = value if isinstance(value, list) else [value]
            found += [item for item in values if type(item) is int and 0 <= item < size]
        return found

    def find(role: str) -> list[int]:
        named = vocabulary.id_of(tokenizer_config.get(f"{role}_token"))
        return [*([] if named is None else [named]), *listed(f"{role}_token_id")]

    return SpecialIds(
        bos=next(iter([*before, *find("bos")]), None),
        ends=tuple(dict.fromkeys(find("eos"))),
        pad=next(iter(find("pad")), None),
        unk=next(iter(find("unk")), None),
    )


def _template_processing(
    before: list[str], after: list[str], vocab: Mapping[str, int]
) -> dict[str, Any] | None:
    """The post-processor that puts special tokens around a text."""
    if not before and not after:
        return None

    def specials(tokens: list[str], type_id: int) -> list[dict[str, Any]]:
        return [{"SpecialToken": {"id": token, "type_id": type_id}} for token in tokens]

    def around(name: str, type_id: int) -> list[dict[str, Any]]:
        text = {"Sequence": {"id": name, "type_id": type_id}}
        return [*specials(before, type_id), text, *specials(after, type_id)]

    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in [*before, *after]
        },
    }
