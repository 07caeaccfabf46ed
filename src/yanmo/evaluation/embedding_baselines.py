"""The cheap models that stand beside vectors of texts: words in common, as search engines count them.

TF-IDF: cosines of weighted counts of terms. BM25: Robertson and Zaragoza 2009, "The Probabilistic Relevance
Framework", equation 3.15, with k1 = 1.2 and b = 0.75; the first text of a pair asks, the second is found.
Terms are words of English and pairs of characters of Chinese; how rare they are is counted among the texts
that are compared, as a search engine knows its collection.

Shapes: T distinct texts, V terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from yanmo.finetuning.embeddings import judge_pairs
from yanmo.finetuning.skill import Prediction
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.terms import BagOfWords, TermConfig, TfIdf, TfIdfConfig
from yanmo.tasks.examples import SimilarityExample

_SATURATION, _LENGTH_SHARE = 1.2, 0.75


class TermCosine:
    """TF-IDF."""

    name = "TF-IDF cosine"

    def predict(self, examples: Sequence[SimilarityExample]) -> list[Prediction]:
        """Scores of pairs, and ranks where they have no scores of their own."""
        texts = _distinct(examples)
        config = TfIdfConfig(analyser=Analyser.BIGRAMS, sublinear=True)
        rows_TV = TfIdf(config).fit(texts).transform(texts)
        return _judged(examples, texts, rows_TV, rows_TV)


class Bm25:
    """BM25."""

    name = "BM25"

    def predict(self, examples: Sequence[SimilarityExample]) -> list[Prediction]:
        """Scores of pairs, and ranks where they have no scores of their own."""
        texts = _distinct(examples)
        counts_TV = BagOfWords(TermConfig(analyser=Analyser.BIGRAMS)).fit(texts).transform(texts)
        return _judged(examples, texts, counts_TV, bm25_weights(counts_TV))


def bm25_weights(counts_TV: csr_matrix) -> csr_matrix:
    """What each term of each text adds to the text's score for a question that has it once.

    Args:
        counts_TV: how often each term is in each text.
    """
    found = csr_matrix(counts_TV, dtype=np.float64, copy=True)
    num_texts, lengths_T = found.shape[0], np.asarray(found.sum(1)).ravel()
    having_V = np.bincount(found.indices, minlength=found.shape[1])
    rarity_V = np.log1p((num_texts - having_V + 0.5) / (having_V + 0.5))
    relative_T = 1 - _LENGTH_SHARE + _LENGTH_SHARE * lengths_T / max(lengths_T.mean(), 1e-9)
    damping = _SATURATION * np.repeat(relative_T, np.diff(found.indptr))
    found.data *= (_SATURATION + 1) / (found.data + damping)
    return csr_matrix(found @ diags(rarity_V))


def _distinct(examples: Sequence[SimilarityExample]) -> list[str]:
    return list(dict.fromkeys(text for example in examples for text in example.inputs()))


def _judged(
    examples: Sequence[SimilarityExample], texts: Sequence[str], asked: csr_matrix, found: csr_matrix
) -> list[Prediction]:
    place = {text: number for number, text in enumerate(texts)}

    def likeness(firsts: Sequence[str], others: Sequence[str]) -> NDArray[np.float64]:
        product = asked[[place[text] for text in firsts]] @ found[[place[text] for text in others]].T
        return np.asarray(product.toarray(), np.float64)

    return judge_pairs(examples, likeness)
