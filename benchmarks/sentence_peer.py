"""sentence-transformers' trainer on pairs with scores, as its users fine-tune with it: CoSENT, AdamW.

After each epoch the validation pairs are scored, and the best epoch's model answers, as ours does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.task_data import Row, model_folder, read_rows
from benchmarks.trainer_peer import arguments, peer

_SCORE = "valid_spearman_cosine"


def train_and_score(files: Sequence[Path], name: str, epochs: float, seed: int) -> dict[str, float]:
    """Fine-tune on the first file, choose the epoch by the second, score on the last.

    Returns:
        score (Spearman's, of cosines), and wall_s of everything from the files to the score.
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import CoSENTLoss
    from transformers import set_seed

    began_s = time.monotonic()
    set_seed(seed)
    rows = [read_rows(file) for file in files]
    model = SentenceTransformer(str(model_folder()), device="cpu")
    with TemporaryDirectory() as folder:
        SentenceTransformerTrainer(
            model=model,
            args=arguments(
                folder,
                peer(name),
                epochs=epochs,
                seed=seed,
                score=_SCORE,
                kind=SentenceTransformerTrainingArguments,
            ),
            train_dataset=Dataset.from_list(rows[0]),
            loss=CoSENTLoss(model),
            evaluator=_judge(rows[1]),
        ).train()
    found = _judge(rows[-1])(model)
    return {"score": float(found[_SCORE]), "wall_s": time.monotonic() - began_s}


def _judge(rows: Sequence[Row]) -> Any:
    from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator

    firsts, seconds, scores = ([row[key] for row in rows] for key in ("sentence1", "sentence2", "score"))
    return EmbeddingSimilarityEvaluator(firsts, seconds, scores, name="valid", write_csv=False)
