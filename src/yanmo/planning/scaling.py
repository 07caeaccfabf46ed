"""What loss to expect: a scaling law with a term for repeated data, relative to an n-gram.

    bits_per_byte = ngram * (floor + a * N^-alpha + b * D^-beta)

N is the number of parameters outside the tables, D the tokens seen, where text seen again counts
less: D = U * (1 + r * (1 - exp(-(epochs - 1) / r))) (Hoffmann et al. 2022, arXiv 2203.15556, equation 10;
Muennighoff et al. 2023, arXiv 2305.16264, equation 5). ``ngram`` is what ``quick_baseline`` reaches on
the same corpus: it tells how hard the text is, in the seconds before training. The constants are
fitted on runs of this project (``benchmarks/scaling.py`` repeats the fit from its data).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """Constants of the law, and how far runs scatter around it."""

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    repeat: float
    spread: float
    """Half-width of the 90% interval, as a share of the prediction: how far off the law is on a corpus that
    it was not fitted on."""

    def predict(self, *, ngram: float, num_parameters: float, num_tokens: float, epochs: float) -> float:
        """Bits per byte on held-out text.

        Args:
            ngram: bits per byte of the character n-gram on the same corpus.
            num_parameters: in the blocks, without the embedding.
            num_tokens: of distinct training text.
            epochs: passes over it.
        """
        effective = num_tokens * effective_epochs(epochs, self.repeat)
        relative = self.floor + self.a * num_parameters**-self.alpha + self.b * effective**-self.beta
        return ngram * relative

    def interval(self, predicted: float) -> tuple[float, float]:
        """Where nine runs of ten end."""
        return predicted * (1 - self.spread), predicted * (1 + self.spread)


def effective_epochs(epochs: float, repeat: float) -> float:
    """What ``epochs`` passes over a text are worth in passes over fresh text."""
    if epochs <= 1:
        return epochs
    return 1 + repeat * (1 - math.exp(-(epochs - 1) / repeat))


LAW = ScalingLaw(floor=0.6884, a=4.38, alpha=0.2835, b=475.1, beta=0.5536, repeat=10.78, spread=0.0432)
