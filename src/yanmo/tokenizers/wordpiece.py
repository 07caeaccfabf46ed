"""WordPiece in BERT's manner: words parted at spaces and punctuation, each Chinese character apart.

Schuster and Nakajima 2012; Devlin et al. 2019 (arXiv 1810.04805); pieces that continue a word are written
with ``##``, and a word is covered from the left by the longest pieces. Their trainer was never published:
as in every open one, pieces are learned as the merges of byte pairs (Sennrich et al. 2016, arXiv
1508.07909) over the counts of words, not by likelihood. The library's trainer numbers the pieces of one
character in the order of a hash table, and breaks ties by these numbers; given all of them beforehand, in
order, it learns the same pieces at every run.

Lossy: white space, control characters and words with a character that the vocabulary lacks do not come
back. Case is kept, so that what is lost is as little as may be.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from yanmo.tokenizers.characters import by_frequency, count_characters, covering_characters
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import SPECIALS, Purpose
from yanmo.tokenizers.sizes import settle_vocab_size

_CONTINUES = "##"
# BERT's own limit; a longer word is unknown.
_MAX_WORD_CHARS = 100
_MAX_PIECE_CHARS = 100_000
# Of the places, so many at most go to single characters: in a small vocabulary of Chinese and English the
# rarest thousand Chinese characters would leave none for English words.
_ALPHABET_SHARE = 0.75


def fit_wordpiece(
    texts: Iterable[str], vocab_size: int | None = None, purpose: Purpose = Purpose.CAUSAL
) -> Tokenizer:
    """Learn a WordPiece tokenizer; arguments, result and errors as of ``bpe.fit_bpe``.

    The special tokens have one more where the purpose names none for what is unknown.
    """
    if iter(texts) is texts:
        texts = list(texts)
    counts = count_characters(texts)
    specials = SPECIALS[purpose].with_unknown()
    places = settle_vocab_size(counts, vocab_size, purpose) - len(specials.tokens)
    alphabet = _alphabet(counts, places)
    vocab = _learn(texts, counts, alphabet, places)
    backend = tokenizers.Tokenizer(
        models.WordPiece(
            {token: token_id for token_id, token in enumerate([*vocab, *specials.tokens])},
            unk_token=specials.roles["unk_token"],
            max_input_chars_per_word=_MAX_WORD_CHARS,
        )
    )
    backend.normalizer, backend.pre_tokenizer = _normalizer(), pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=_CONTINUES)
    specials.add_to(backend)
    return Tokenizer(backend.to_str(pretty=True), **specials.settings())


def _normalizer() -> normalizers.Normalizer:
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )


def _alphabet(counts: Counter[str], places: int) -> list[str]:
    """Pieces of one character: all at the head of a word first, then those that continue one.

    Characters that always stand apart (Chinese, punctuation) have one form, letters and digits two.
    """
    normalizer, splitter = _normalizer(), pre_tokenizers.BertPreTokenizer()
    forms: dict[str, int] = {}
    kept = Counter[str]()
    for character, count in by_frequency(counts):
        parts = splitter.pre_tokenize_str(normalizer.normalize_str(f"a{character}a"))
        words = [word for word, _ in parts]
        if words in ([f"a{character}a"], ["a", character, "a"]):
            forms[character] = 2 if len(words) == 1 else 1
            kept[character] = count
    most = max(1, int(places * _ALPHABET_SHARE))
    covering = covering_characters(kept, most)
    num_places = itertools.accumulate(forms[character] for character in covering)
    chosen = sorted(itertools.compress(covering, (taken <= most for taken in num_places)))
    return [*chosen, *(_CONTINUES + character for character in chosen if forms[character] == 2)]


def _learn(texts: Iterable[str], counts: Counter[str], alphabet: list[str], places: int) -> list[str]:
    """The vocabulary in the order of its ids: the alphabet, then pieces, the most frequent first."""
    heads = [piece for piece in alphabet if len(piece) == 1]
    # A rare character parts the word that it stands in, as if it were a space.
    rare = {ord(character): " " for character in counts if character not in set(heads)}
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token=""))
    backend.normalizer = _normalizer()
    longest = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_MAX_WORD_CHARS}}}"), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), longest])
    trainer = trainers.WordPieceTrainer(
        vocab_size=places,
        min_frequency=2,
        show_progress=False,
        special_tokens=alphabet,
        initial_alphabet=heads,
        limit_alphabet=len(heads),
        continuing_subword_prefix=_CONTINUES,
    )
    parts = (
        text[start : start + _MAX_PIECE_CHARS]
        for text in texts
        for start in range(0, len(text), _MAX_PIECE_CHARS)
    )
    backend.train_from_iterator((part.translate(rare) for part in parts), trainer)
    vocab: dict[str, int] = json.loads(backend.to_str())["model"]["vocab"]
    return sorted(vocab, key=vocab.__getitem__)[:places]
