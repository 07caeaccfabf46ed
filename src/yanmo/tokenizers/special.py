"""Special tokens by role: which string a folder's files give to which role.

The rules are those of transformers 5: tokenizer_config.json names the tokens; special_tokens_map.json
of an older folder goes before it unless the config lists its added tokens too; added_tokens.json gives
tokens that were added later. Folders from 2019 and 2020 name nothing: then the strings themselves tell,
as each family has its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken

from yanmo.errors import InputError

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ALBERT = _BERT | {"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "<unk>", "pad_token": "<pad>"}
_ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
# Special tokens that tell a family, and the roles it gives; the first that fits holds.
_CONVENTIONS = (
    ({"[CLS]", "[SEP]", "[UNK]"}, _BERT),
    ({"[CLS]", "[SEP]", "<unk>"}, _ALBERT),
    ({"<s>", "</s>", "<mask>"}, _ROBERTA),
    ({"</s>", "<unk>", "<extra_id_0>"}, _T5),
)


def token_text(value: object) -> str | None:
    """A special token in a config: a string, or a table with its content."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) and value else None


def merged_config(config: Mapping[str, Any], special_tokens_map: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the special tokens of an older folder's special_tokens_map.json."""
    return dict(config) if "added_tokens_decoder" in config else {**config, **special_tokens_map}


def names_by_role(config: Mapping[str, Any], specials: Collection[str]) -> dict[str, str | None]:
    """The string of each role's token, None where there is none.

    Args:
        config: tokenizer_config.json, merged with special_tokens_map.json.
        specials: strings of the special tokens of tokenizer.json.
    """
    names = {role: token_text(config.get(role)) for role in ROLES}
    if any(names.values()):
        return names
    if set(specials) == {"<|endoftext|>"}:
        return names | _GPT2
    for tokens, roles in _CONVENTIONS:
        if tokens <= set(specials):
            return {role: name if (name := roles.get(role)) in specials else None for role in ROLES}
    return names


def tokens_to_add(
    config: Mapping[str, Any],
    added_later: Mapping[str, Any],
    known: Collection[str],
    *,
    where: object = None,
) -> list[AddedToken]:
    """Tokens that a folder's configs have beyond its tokenizer.json, in the order of their ids.

    Args:
        config: tokenizer_config.json, merged with special_tokens_map.json.
        added_later: added_tokens.json: string to id.
        known: strings of the added tokens of tokenizer.json.
        where: the config's path, for messages.

    Raises:
        InputError: a table of tokens has another form.
    """
    named = _named(config)
    listed = config.get("added_tokens_decoder")
    try:
        if listed is not None:
            tokens = [_token(value) for _, value in sorted(listed.items(), key=lambda item: int(item[0]))]
        else:
            contents = {token_text(value) for value in named}
            later = sorted(added_later.items(), key=lambda item: int(item[1]))
            tokens = [
                AddedToken(text, special=text in contents, normalized=text not in contents)
                for text, _ in later
                if text not in known
            ]
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"its added tokens are no table of tokens: {error}", where=where) from None
    seen = {*known, *(token.content for token in tokens)}
    for value in named:
        text = token_text(value)
        if text is not None and text not in seen:
            seen.add(text)
            tokens.append(_token(value) if isinstance(value, Mapping) else AddedToken(text, special=True))
            tokens[-1].special = True
    return tokens


def _named(config: Mapping[str, Any]) -> list[object]:
    """All special tokens that a config names: those of the roles, a model's own, and the extra ones."""
    own = [value for name, value in config.items() if name.endswith("_token") and name not in ROLES]
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or ()
    if isinstance(extra, Mapping):
        extra = list(extra.values())
    elif not isinstance(extra, Sequence) or isinstance(extra, str):
        extra = ()
    return [*(config.get(role) for role in ROLES), *own, *extra]


def _token(value: object) -> AddedToken:
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        raise TypeError(f"{value!r:.60} is no token")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(value["content"], **{flag: bool(value[flag]) for flag in flags if flag in value})
