"""How well each language fits a text: py3langid's model (Lui and Baldwin 2011, 2012), many texts at once.

langid.py's naive Bayes over byte n-grams that were chosen to tell languages apart and not subjects
("Cross-domain Feature Selection for Language Identification", IJCNLP 2011; "langid.py", ACL 2012), as
py3langid trained it anew. The n-grams are found by an automaton. Its state after a byte depends on the
few bytes before it alone, no more than the longest n-gram has, so that the states after all bytes of all
texts are found together, in as many steps as that n-gram has bytes, instead of byte after byte; the
scores are py3langid's own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

NO_LANGUAGE = "zxx"
"""ISO 639-2 for what is in no language, such as program code; the model knows it."""

# Labels of the model for what is here one language. Bosnian is no label: no model of n-grams tells
# it from Croatian.
_SAME = {"nn": "no", "wuu": "zh", "yue": "zh"}
_NOT_TOLD = {"bs"}


@dataclass(frozen=True)
class LanguageModel:
    """Scores of texts; the tables are shared by all that ask."""

    labels: tuple[str, ...]
    """A language a column, ISO 639-1; some have two columns."""

    next_state: NDArray[np.uint32]
    row_of_state: NDArray[np.uint32]
    feature_of_state: NDArray[np.int32]
    weights: NDArray[np.float32]
    prior: NDArray[np.float32]
    depth: int
    """Bytes of the longest n-gram."""

    def scores(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each label fits each text: log-probabilities up to a constant, over the root of the bytes.

        The division keeps probabilities made of them meaningful for every length.

        Returns:
            An array of shape (num_texts, num_labels).
        """
        raw = [_prepared(text) for text in texts]
        lengths = np.array([len(one) for one in raw])
        if not lengths.sum():
            return np.tile(self.prior, (len(texts), 1))
        features, owner = self._features(b"".join(raw), lengths)
        num_features = len(self.weights)
        keys, counts = np.unique(owner * num_features + features, return_counts=True)
        rows, columns = np.divmod(keys, num_features)
        sums = self._weigh(np.log1p(counts.astype(np.float32)), rows, columns, len(texts))
        scaled = (sums + self.prior) / np.sqrt(np.maximum(lengths, 1))[:, None]
        return scaled.astype(np.float32)

    def _weigh(
        self,
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        features: NDArray[np.int64],
        num_rows: int,
    ) -> NDArray[np.float32]:
        """Each row's values times the weights of their features, summed."""
        if num_rows == 1:
            return (values @ self.weights[features])[None]
        # scipy takes a tenth of a second to import, which a corpus in Chinese alone never needs.
        from scipy.sparse import csr_matrix

        matrix = csr_matrix((values, (rows, features)), shape=(num_rows, len(self.weights)))
        return matrix @ self.weights

    def _features(
        self, joined: bytes, lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The n-grams that end at some byte, and the text that each is in."""
        data = np.frombuffer(joined, np.uint8)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(len(data)) - (np.cumsum(lengths) - lengths)[owner] if len(lengths) > 1 else None
        state = np.zeros(len(data), np.uint32)
        for back in range(min(self.depth, len(data)) - 1, -1, -1):
            # Bytes before the text's first do not count: there the automaton is still at its start.
            moved = self.next_state[self.row_of_state[state[back:]], data[: len(data) - back]]
            state[back:] = moved if place is None else np.where(place[back:] >= back, moved, 0)
        features = self.feature_of_state[state]
        found = features >= 0
        return features[found].astype(np.int64), owner[found]


@cache
def load_language_model() -> LanguageModel:
    """The model that py3langid carries (some 100 MB of tables, read once a process)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    stored = LanguageIdentifier.from_model_file(MODEL_FILE)
    names = [_SAME.get(label, label) for label in stored.nb_classes]
    kept = [
        column
        for column, name in enumerate(names)
        if (len(name) == 2 and name not in _NOT_TOLD) or name == NO_LANGUAGE
    ]
    next_state = np.array(stored.tk_nextmove, np.uint32).reshape(-1, 256)
    row_of_state = np.array(stored.tk_row, np.uint32)
    return LanguageModel(
        labels=tuple(names[column] for column in kept),
        next_state=next_state,
        row_of_state=row_of_state,
        feature_of_state=np.array(stored.tk_output, np.int32),
        weights=np.ascontiguousarray(stored.nb_ptc[:, kept], dtype=np.float32),
        prior=np.asarray(stored.nb_pc[kept], dtype=np.float32),
        depth=_depth(next_state, row_of_state),
    )


def _depth(next_state: NDArray[np.uint32], row_of_state: NDArray[np.uint32]) -> int:
    """Steps from the start to the state farthest from it."""
    seen = np.zeros(len(row_of_state), bool)
    seen[0], newest, depth = True, np.zeros(1, np.int64), -1
    while len(newest):
        reached = np.zeros(len(row_of_state), bool)
        reached[next_state[np.unique(row_of_state[newest])].ravel()] = True
        newest = np.flatnonzero(reached & ~seen)
        seen |= reached
        depth += 1
    return depth


def _prepared(text: str) -> bytes:
    """As the model was trained: composed, and shouted text in small letters."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode(
        "utf-8", "surrogatepass"
    )
