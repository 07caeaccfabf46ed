"""Models that need no weights, one a view of the page, and runs for its curves; what they say is fixed."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.generation.engine import Piece, TokenLogprob
from yanmo.generation.sampling import SamplingParams
from yanmo.serving import server
from yanmo.serving.app import create_app
from yanmo.serving.catalog import Card, Catalog, OpenModel, ServedModel

Prediction = dict[str, Any]
Say = Callable[[tuple[str, ...]], Prediction]

CHAT = (
    "Ink is soot and glue. Pine or oil is burned under a cover, the soot is gathered, kneaded with warm "
    "glue, pressed into a stick and dried for months.\n\n研墨时加清水，慢慢磨，墨色才匀。"
)
STORY = (
    " and the old man poured a little water on the stone. He ground the ink slowly, in circles, until it "
    "was black as a winter night. 纸铺开了，他提笔写下第一个字。"
)
TEXTS = {
    "classify": "The paper takes the ink beautifully and the brush never sheds. 非常满意！",
    "tag": "王羲之 wrote the Orchid Pavilion preface at 会稽 in 353; Tang Taizong is said to have "
    "taken it to his grave near Xi'an. The British Museum keeps a rubbing.",
    "question": "Who is said to have taken the preface to his grave?",
    "context": "The Orchid Pavilion preface was written by 王羲之 in 353. It is said that Tang Taizong took "
    "it to his grave. Only copies are left.",
    "translate": "Grinding ink is slow. That is why one does it: by the time the ink is black, the mind is "
    "quiet.",
    "similarity": "a cat sleeps on the mat\na kitten naps on the rug\n一只猫在垫子上睡觉\nstocks fell on "
    "Monday\nthe market lost ground",
}
TEXTS["summarize"] = " ".join([TEXTS["context"], TEXTS["translate"], CHAT.split("\n")[0]])


class Words:
    """Tokens are words with the blank before them, or single signs."""

    def __init__(self, tokens: Iterable[str]) -> None:
        """Take the vocabulary; the last id ends a text."""
        self.tokens = [*dict.fromkeys(tokens), "<|endoftext|>"]
        self._number = {token: number for number, token in enumerate(self.tokens)}

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Token ids; unknown words are the last."""
        return [self._number.get(token, self.vocab_size - 1) for token in parted(text)]

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Ids of all that was said."""
        return [number for message in messages for number in self.encode(str(message["content"]))] or [0]

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of ids."""
        return "".join(self.tokens[number] for number in token_ids)

    def token_bytes(self, token_id: int) -> bytes:
        """Bytes of a token."""
        return self.tokens[token_id].encode()


def parted(text: str) -> list[str]:
    """Words with the blank before them, or single signs."""
    return re.findall(r" ?[A-Za-z]+|.", text, re.DOTALL)


class Speaker:
    """An engine that always writes the same tokens, each with other likely ones."""

    def __init__(self, tokens: Sequence[str], vocabulary: Words) -> None:
        """Take what it says."""
        self._ids = [vocabulary.tokens.index(token) for token in tokens]
        self._vocabulary = vocabulary

    def encode(self, text: str) -> list[int]:
        """Ids of a prompt."""
        return self._vocabulary.encode(text) or [0]

    def stream_samples(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        num_samples: int,
        cancelled: Callable[[], bool],
    ) -> Iterator[tuple[int, Piece]]:
        """One answer, token by token."""
        for place, number in enumerate(self._ids):
            logprobs = ()
            if params.num_logprobs is not None:
                # Made up, but the same each time: from sure to unlikely.
                share = 0.97 - 0.9 * ((place * 7) % 10) / 10
                others = [
                    (self._ids[(place + step) % len(self._ids)], (1 - share) / 2**step) for step in (1, 3, 4)
                ]
                top = sorted([(number, share), *others], key=lambda one: -one[1])
                logprobs = (
                    TokenLogprob(
                        token_id=number,
                        logprob=math.log(share),
                        top=tuple((token, math.log(p)) for token, p in top),
                    ),
                )
            text = self._vocabulary.tokens[number]
            yield 0, Piece(text=text, token_ids=(number,), logprobs=logprobs)
        yield 0, Piece(text="", finish_reason="stop")


class Task:
    """Answers each text by a function of it."""

    def __init__(self, say: Say) -> None:
        """Take the function."""
        self._say = say

    def predict(
        self, texts: Sequence[tuple[str, ...]], *, on_progress: Callable[[int], None] | None = None
    ) -> list[Prediction]:
        """What it says of each."""
        return [self._say(text) for text in texts]


class Letters:
    """Vectors of texts: how often each pair of letters stands in them."""

    dim, max_seq_len = 64, 512

    def num_tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[int]:
        """Characters."""
        return [len(text) for text in texts]

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Counts of length one."""
        found = np.full((len(texts), self.dim), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for first, second in itertools.pairwise(text):
                found[row, (ord(first) * 31 + ord(second)) % self.dim] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def similarity(self, a_BE: Any, b_BE: Any) -> Any:
        """Cosines."""
        return a_BE @ b_BE.T


def speaker(name: str, tokens: Sequence[str], **card: Any) -> ServedModel:
    """A model that writes these tokens."""
    words = Words(tokens)
    opened = OpenModel(tokenizer=words, engine=Speaker(tokens, words), vectors=Letters)
    fields = {
        "routes": ("completions", "chat/completions"),
        "max_seq_len": 4096,
        "architecture": "Qwen3ForCausalLM",
    }
    return _model(name, opened, fields | {"num_parameters": 134_515_008, "num_bytes": 538 << 20} | card)


def tasked(name: str, route: str, say: Say, *, task: str | None, **card: Any) -> ServedModel:
    """A model fine-tuned for a task."""
    opened = OpenModel(tokenizer=Words("abc"), task=Task(say))
    fields = {
        "routes": (route,),
        "task": task,
        "max_seq_len": 512,
        "architecture": "BertForSequenceClassification",
    }
    return _model(name, opened, fields | {"num_parameters": 22_713_216, "num_bytes": 91 << 20} | card)


def _model(name: str, opened: OpenModel, card: dict[str, Any]) -> ServedModel:
    return ServedModel(card=Card(name=name, **card), open=lambda: opened)


def spans(text: str, found: Mapping[str, str]) -> list[Prediction]:
    """Entities where these strings stand."""
    return [
        {"text": part, "label": label, "start": text.index(part), "end": text.index(part) + len(part)}
        | {"score": 0.99 - len(part) / 100}
        for part, label in found.items()
        if part in text
    ]


def _label(text: tuple[str, ...]) -> Prediction:
    bad = any(word in text[-1].lower() for word in ("not", "sheds badly", "worst", "糟", "差"))
    share = {"positive": 0.934, "neutral": 0.049, "negative": 0.017}
    if bad:
        share = {"positive": 0.021, "neutral": 0.118, "negative": 0.861}
    return {"label": max(share, key=lambda name: share[name]), "probabilities": share}


def _topics(_: tuple[str, ...]) -> Prediction:
    names = [
        "arts",
        "crafts",
        "history",
        "travel",
        "food",
        "science",
        "markets",
        "politics",
        "sport",
        "weather",
        "书法",
        "music",
    ]
    shares = [0.91, 0.83, 0.62, 0.31, 0.22, 0.14, 0.08, 0.05, 0.03, 0.02, 0.77, 0.004]
    of = dict(zip(names, shares, strict=True))
    return {"labels": [name for name in names if of[name] > 0.5], "probabilities": of}


def _names(text: tuple[str, ...]) -> Prediction:
    kinds = {"王羲之": "PER", "Tang Taizong": "PER", "会稽": "LOC", "Xi'an": "LOC", "353": "DATE"}
    more = {"British Museum": "ORG", "Orchid Pavilion": "WORK"}
    return {"tags": [], "entities": spans(text[0], kinds | more)}


def _parts(text: tuple[str, ...]) -> Prediction:
    words = re.findall(r"\w+|[^\w\s]", text[0])
    kinds = ("DET", "NOUN", "VERB", "ADP", "PUNCT")
    return {"tags": [kinds[len(word) % 5 - 1] for word in words], "words": words}


def _answer(text: tuple[str, ...]) -> Prediction:
    question, context = text
    start = context.find("Tang Taizong") if "who" in question.lower() else -1
    if start < 0:
        return {"answer": "", "start": 0, "end": 0, "score": -2.31}
    return {"answer": "Tang Taizong", "start": start, "end": start + 12, "score": 6.42}


def models() -> list[ServedModel]:
    """One a view, and one a form of answer."""
    vectors = OpenModel(tokenizer=Words("abc"), vectors=Letters)
    encoder = {
        "routes": ("embeddings", "similarity"),
        "architecture": "BertModel",
        "num_parameters": 22_713_216,
    }
    both = ("completions", "chat/completions", "embeddings", "similarity")
    say = TEXTS | {"zh": "研墨很慢。这正是人们研墨的原因：等墨黑了，心也静了。"}
    return [
        speaker("smollm2", parted(CHAT), chat=True, routes=both),
        speaker("novels", parted(STORY)),
        tasked("sentiment", "classify", _label, task="text-classification"),
        tasked("topics", "classify", _topics, task="text-classification"),
        tasked("rating", "classify", lambda _: {"score": 4.3271}, task="text-classification"),
        tasked("paraphrase", "classify", _label, task="pair-classification"),
        tasked("names", "tag", _names, task="token-classification"),
        tasked("parts-of-speech", "tag", _parts, task="token-classification"),
        tasked("passages", "answer", _answer, task="question-answering"),
        tasked("en-zh", "translate", lambda _: {"text": say["zh"]}, task="translation"),
        tasked("news", "summarize", lambda text: {"text": text[0][:58] + "."}, task="summarization"),
        _model("minilm", vectors, {**encoder, "num_bytes": 91 << 20, "max_seq_len": 512}),
    ]


def write_runs(folder: Path, names: Sequence[str] = ("novels", "novels-wide")) -> None:
    """Runs with curves, a plan and samples."""
    for number, name in enumerate(names):
        run = folder / name
        run.mkdir(parents=True)
        rows = []
        for step in range(1, 121):
            place = {"step": step, "tokens": step * 4096, "elapsed_s": step * 1.5}
            loss = (2.1 + number / 8) + 4 / (step + 2) ** 0.6
            more = {
                "lr_factor": min(1, step / 10) * (1 - step / 130),
                "grad_norm": 0.4 + 2 / step,
                "tokens_per_s": 2700,
            }
            rows.append({"kind": "train", **place, "loss_nats": loss, "bits_per_byte": loss / 1.2, **more})
            if step % 10 == 0:
                rows.append(
                    {"kind": "valid", **place, "loss_nats": loss + 0.05, "bits_per_byte": loss / 1.2 + 0.04}
                )
        rows.append({"kind": "sample", "step": 120, "text": "The ink was black 而纸很白。"})
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (run / "run.toml").write_text(
            f"seed = {number}\n[model]\nd_model = {256 << number}\n", encoding="utf-8"
        )
        result = {"bits_per_byte": 1.98 + number / 10, "baseline_bits_per_byte": 2.41, "steps": 120}
        (run / "result.json").write_text(json.dumps(result), encoding="utf-8")


@contextlib.contextmanager
def served(models: Sequence[ServedModel], runs_dir: Path) -> Iterator[str]:
    """Serve them on a free port; yields the URL without a slash at its end."""
    app = create_app(Catalog(models, memory_bytes=4 << 30), runs_dir=runs_dir)
    with contextlib.closing(server.listen("127.0.0.1", 0)) as listener, server.in_background(app, listener):
        yield server.url("127.0.0.1", listener).rstrip("/")
