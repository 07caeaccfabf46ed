"""transformers' Trainer as its users fine-tune with it, on the rows that ``task_data`` writes.

The head, the loss and the optimizer are the library's own: AutoModelFor..., AdamW, a rate that falls
linearly; of relations the marks of the entities are new tokens; of names a word's tag is read off its first
token. After each epoch the validation rows are scored, and the best epoch's model answers, as ours does.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.utils.data import Dataset

from benchmarks.task_data import Row, TaskData, model_folder, read_rows
from yanmo import metrics

MAX_SEQ_LEN = 256
_MARKS = ("<e1>", "</e1>", "<e2>", "</e2>")
_NO_TARGET = -100


@dataclass(frozen=True, kw_only=True)
class Peer:
    """How it is fine-tuned.

    Attributes:
        learning_rate: at the beginning.
        batch_size: rows of a step.
        bf16: autocast.
        grouped: rows of like length in a batch.
        pad_to: tokens that every row is padded to; None pads to the longest row of a batch.
    """

    learning_rate: float = 5e-5
    batch_size: int = 16
    bf16: bool = False
    grouped: bool = False
    pad_to: int | None = None


PEERS = {
    "defaults": Peer(),
    "best": Peer(bf16=True, grouped=True),
    "padded": Peer(pad_to=512),
}


def peer(name: str) -> Peer:
    """A peer by its name; ``best@1e-4`` has another learning rate."""
    base, _, rate = name.partition("@")
    return dataclasses.replace(PEERS[base], learning_rate=float(rate)) if rate else PEERS[base]


class Rows(Dataset[dict[str, Any]]):
    """A data set of encoded rows, as the Trainer takes it."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        """Keep the rows."""
        self.rows = rows

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One of them."""
        return self.rows[index]


class Fitted:
    """A task for transformers: tokenizer, labels, encoded rows, and what outputs mean."""

    def __init__(self, data: TaskData, train: Sequence[Row]) -> None:
        """Read the labels off the training rows."""
        from transformers import AutoTokenizer

        self.data = data
        self.tokenizer = AutoTokenizer.from_pretrained(model_folder())
        found = {label for row in train for label in _labels(row)}
        self.is_number = data.task == "pair-classification"
        self.labels = [] if self.is_number else sorted(found, key=str)
        self._numbers = {label: number for number, label in enumerate(self.labels)}
        if data.task == "relation-extraction":
            self.tokenizer.add_tokens(list(_MARKS))

    def model(self) -> Any:
        """With a new head."""
        from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

        kind: Any = AutoModelForSequenceClassification
        if self.data.task == "token-classification":
            kind = AutoModelForTokenClassification
        made = kind.from_pretrained(model_folder(), num_labels=max(1, len(self.labels)))
        made.resize_token_embeddings(len(self.tokenizer))
        return made

    def encode(self, rows: Sequence[Row], max_seq_len: int = MAX_SEQ_LEN) -> Rows:
        """Token ids and labels."""
        return Rows([self._encode(row, max_seq_len) for row in rows])

    def _encode(self, row: Row, max_seq_len: int) -> dict[str, Any]:
        cut: dict[str, Any] = {"truncation": True, "max_length": max_seq_len}
        if "tokens" in row:
            encoded = self.tokenizer(row["tokens"], is_split_into_words=True, **cut)
            words = encoded.word_ids()
            firsts = [
                word is not None and word != before
                for before, word in zip([None, *words], words, strict=False)
            ]
            labels = [
                self._numbers[row["tags"][word]] if first else _NO_TARGET
                for first, word in zip(firsts, words, strict=True)
            ]
            return {**encoded, "labels": labels}
        if self.is_number:
            encoded = self.tokenizer(row["sentence1"], row["sentence2"], **cut)
            return {**encoded, "labels": float(row["score"])}
        encoded = self.tokenizer(row["text"], **cut)
        # A label that was not there to learn from is never right.
        return {**encoded, "labels": self._numbers.get(_labels(row)[0], 0)}

    def collator(self, pad_to: int | None) -> Any:
        """Rows to a batch."""
        from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

        kind: Any = DataCollatorWithPadding
        if self.data.task == "token-classification":
            kind = DataCollatorForTokenClassification
        return kind(self.tokenizer, padding=True if pad_to is None else "max_length", max_length=pad_to)

    def score(self, rows: Sequence[Row], outputs: Any, labels: Any) -> float:
        """The score that counts, of outputs (rows, labels) or (rows, tokens, labels)."""
        gold, said = self._pairs(rows, outputs, labels)
        (scores, *_) = metrics.all_scores(self.data.scored_as, gold, said)
        return float(scores[self.data.score])

    def _pairs(self, rows: Sequence[Row], outputs: Any, labels: Any) -> tuple[list[Any], list[Any]]:
        if self.is_number:
            return [float(row["score"]) for row in rows], [float(value) for value in outputs.reshape(-1)]
        best = outputs.argmax(-1)
        if self.data.task != "token-classification":
            return [_labels(row)[0] for row in rows], [self.labels[number] for number in best]
        gold, said = [], []
        for row, numbers, known in zip(rows, best, labels, strict=True):
            tags = [self.labels[number] for number in numbers[known != _NO_TARGET]]
            gold.append(set(metrics.read_entities(row["tags"])))
            # Words that were cut off have no name.
            said.append(set(metrics.read_entities(tags + ["O"] * (len(row["tags"]) - len(tags)))))
        return gold, said


def _labels(row: Row) -> list[Any]:
    return row["tags"] if "tags" in row else [row[key] for key in ("label", "relation") if key in row]


def train_and_score(
    data: TaskData, files: Sequence[Path], name: str, epochs: float, seed: int
) -> dict[str, float]:
    """Fine-tune on the first file, choose the epoch by the second, score on the last.

    Returns:
        score, and wall_s of everything from the files to the score.
    """
    from transformers import Trainer, set_seed

    began_s = time.monotonic()
    how = peer(name)
    set_seed(seed)
    rows = [read_rows(file) for file in files]
    fitted = Fitted(data, rows[0])
    encoded = [fitted.encode(part) for part in rows]

    def compute(found: Any) -> dict[str, float]:
        return {data.score: fitted.score(rows[1], found.predictions, found.label_ids)}

    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=fitted.model(),
            args=arguments(folder, how, epochs=epochs, seed=seed, score=data.score),
            train_dataset=encoded[0],
            eval_dataset=encoded[1],
            processing_class=fitted.tokenizer,
            data_collator=fitted.collator(how.pad_to),
            compute_metrics=compute,
        )
        trainer.train()
        # The rows that are judged have their own scorer.
        trainer.compute_metrics = None
        found = trainer.predict(encoded[-1])
    score = fitted.score(rows[-1], found.predictions, found.label_ids)
    return {"score": score, "wall_s": time.monotonic() - began_s}


def arguments(folder: str, how: Peer, *, epochs: float, seed: int, score: str = "", kind: Any = None) -> Any:
    """The Trainer's settings, or of another kind; with a score it chooses the best epoch by it."""
    from transformers import TrainingArguments

    chosen: dict[str, Any] = {"save_strategy": "no"}
    if score:
        chosen = {
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "save_total_limit": 1,
            "save_only_model": True,
            "load_best_model_at_end": True,
            "metric_for_best_model": score,
        }
    return (kind or TrainingArguments)(
        folder,
        learning_rate=how.learning_rate,
        per_device_train_batch_size=how.batch_size,
        per_device_eval_batch_size=64,
        num_train_epochs=epochs,
        train_sampling_strategy="group_by_length" if how.grouped else "random",
        bf16=how.bf16,
        seed=seed,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **chosen,
    )
