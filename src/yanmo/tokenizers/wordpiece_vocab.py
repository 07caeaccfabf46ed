"""BERT's tokenizer from its vocab.txt alone, which is all that many older folders hold.

WordPiece (Schuster and Nakajima 2012; Devlin et al. 2019, arXiv 1810.04805): text is cleaned, lowercased
unless the config says otherwise, parted at spaces, punctuation and around each Chinese character, and
each word is covered from the left by the longest tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from yanmo.tokenizers.special import token_text

VOCAB_FILE = "vocab.txt"
# Classes and model types whose vocab.txt is read by exactly these rules.
_NAMES = {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "bert", "distilbert", "electra"}
_DEFAULTS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def build_wordpiece(vocab_txt: str, config: Mapping[str, Any], *, names: Collection[object]) -> str | None:
    """The tokenizer.json of a BERT vocabulary.

    Args:
        vocab_txt: one token a line; the line's number is its id.
        config: tokenizer_config.json.
        names: what the folder calls its tokenizer's class and its model's type.

    Returns:
        The content, or None where the folder is not BERT's or the special tokens are not in the list.
    """
    told = [str(name).removesuffix("Fast") for name in names if name]
    if not told or told[0] not in _NAMES:
        return None
    lines = vocab_txt.removesuffix("\n").split("\n")
    vocab = {token.rstrip(): token_id for token_id, token in enumerate(lines)}
    special = {role: token_text(config.get(role)) or name for role, name in _DEFAULTS.items()}
    if not vocab.keys() >= set(special.values()):
        return None
    cls, sep = special["cls_token"], special["sep_token"]
    backend = Tokenizer(models.WordPiece(vocab, unk_token=special["unk_token"]))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=config.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    backend.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in special.values()]
    )
    return backend.to_str()
