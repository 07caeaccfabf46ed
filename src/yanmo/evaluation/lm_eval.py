"""EleutherAI's lm-evaluation-harness on models of ours, by its own command line (Gao et al. 2021).

    python -m yanmo.evaluation.lm_eval run --model yanmo --model_args pretrained=MODEL --tasks arc_easy

What stands behind ``--model_args``: ``pretrained`` (a folder, a run, a .gguf file, a cached name), ``dtype``
(float32 or bfloat16) and ``max_length``. ``--batch_size`` and ``--device`` are taken and not needed: batches
are filled by tokens. From Python, ``model_class()`` is the class to hand to ``lm_eval.simple_evaluate``.

Texts are parted into tokens and cut as lm-eval's own ``hf`` does it, so that scores are the same; a context
that several answers share is read once. Nothing here imports lm-eval before it is asked for
(``pip install yanmo[lm-eval]``).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from yanmo.errors import InputError
from yanmo.evaluation.continuations import Cost, Request, continuation_costs
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.registry import LoadedModel, load
from yanmo.reporting.progress import Progress

Ints = NDArray[np.int64]
Pair = tuple[list[int], list[int]]

NAME = "yanmo"
_MOST_NEW_TOKENS = 256
_TOKEN_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_SAMPLING = ("top_k", "top_p", "min_p", "repetition_penalty")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Instance(Protocol):
    """What lm-eval asks, as far as it is read here."""

    args: tuple[Any, ...]


class YanmoLM:
    """What lm-eval's ``LM`` must be able to do, over any ``LanguageModel``; ``model_class`` joins the two."""

    cache_hook: Any

    def __init__(
        self,
        pretrained: str | Path | LoadedModel,
        dtype: Literal["float32", "bfloat16"] = "float32",
        max_length: int | None = None,
        **ignored: Any,
    ) -> None:
        """Load a model.

        Args:
            pretrained: the model, or where it is.
            dtype: type of the weights in memory.
            max_length: longest context in tokens, where less than the model's is wanted.
            ignored: what lm-eval hands to every model (batch size, device).

        Raises:
            InputError: there is no such model, or type.
        """
        super().__init__()
        if dtype not in _DTYPES:
            raise InputError(f"no type is named {dtype!r}", remedy=f"there are {', '.join(_DTYPES)}")
        self._loaded = (
            pretrained if isinstance(pretrained, LoadedModel) else load(pretrained, dtype=_DTYPES[dtype])
        )
        own = self._loaded.model.max_seq_len
        self._max_length = min((one for one in (own, max_length) if one is not None), default=None)

    def loglikelihood(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Of (context, continuation) each: log p of the continuation, and whether it is the greedy one."""
        pairs = [self._pair(*request.args) for request in requests]
        costs = self._costs(pairs, "loglikelihood")
        found = [(-cost.loss_nats, cost.is_likeliest) for cost in costs]
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, answer)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts, each token once; windows are lm-eval's."""
        utils = _lm_eval("lm_eval.utils")
        pairs: list[Pair] = []
        text_of_pair: list[int] = []
        for number, request in enumerate(requests):
            ids = self._encode(request.args[0])
            windows = utils.get_rolling_token_windows(
                token_list=ids,
                prefix_token=self._prefix_id,
                max_seq_len=self._max_length or len(ids) + 1,
                context_len=1,
            )
            for context, continuation in map(utils.make_disjoint_window, windows):
                pairs.append((context, continuation))
                text_of_pair.append(number)
        sums = np.zeros(len(requests))
        for number, cost in zip(text_of_pair, self._costs(pairs, "loglikelihood_rolling"), strict=True):
            sums[number] -= cost.loss_nats
        found: list[float] = sums.tolist()
        for request, answer in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return found

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Of (context, settings) each: what the model says until one of the stop strings."""
        engine = Engine(self._loaded.model, self._loaded.tokenizer, self._loaded.generation)
        found = []
        with Progress("generate_until", total=len(requests), unit="requests") as progress:
            for request in requests:
                context, settings = request.args
                params = _sampling(settings, self._end_text)
                ids = self._encode(context)
                if self._max_length is not None and params.max_tokens is not None:
                    room = self._max_length - params.max_tokens
                    if room < 1:
                        raise InputError(
                            f"{params.max_tokens} new tokens do not fit a context of {self._max_length}",
                            remedy="set max_gen_toks lower",
                        )
                    ids = ids[-room:]
                found.append(engine.generate(ids, params).text)
                self.cache_hook.add_partial("generate_until", request.args, found[-1])
                progress.advance()
        return found

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the chat template writes it; without a prompt its last message goes on."""
        text = self._loaded.tokenizer.render_chat(chat_history, add_generation_prompt=add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"]
        return text[: text.rindex(last) + len(last)]

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template, for lm-eval's record of what was done."""
        return self._loaded.tokenizer.chat_template if chat_template else None

    @property
    def tokenizer_name(self) -> str:
        """Names the tokenizer in the keys of lm-eval's caches."""
        return self._loaded.tokenizer.sha256

    def get_model_info(self) -> dict[str, Any]:
        """For lm-eval's record of what was done."""
        return {
            "model_num_parameters": self._loaded.num_parameters,
            "model_architecture": self._loaded.architecture,
        }

    @property
    def _prefix_id(self) -> int:
        """What stands before an empty context: the beginning of a text, or else its end."""
        tokenizer = self._loaded.tokenizer
        named = tokenizer.named_ids.get("bos_token")
        return tokenizer.eos_id if named is None else named

    @property
    def _end_text(self) -> str:
        tokenizer = self._loaded.tokenizer
        eos_id = tokenizer.named_ids.get("eos_token")
        return "" if eos_id is None else tokenizer.decode([eos_id], skip_special_tokens=False)

    def _encode(self, text: str, *, begins: bool = True) -> list[int]:
        """Token ids; strings of special tokens are these tokens, as chat templates write them."""
        tokenizer = self._loaded.tokenizer
        ids = tokenizer.encoder.ids_finding_specials(text)
        bos_id = tokenizer.bos_id
        if not begins or bos_id is None or ids[:1] == [bos_id]:
            return ids
        return [bos_id, *ids]

    def _pair(self, context: str, continuation: str) -> Pair:
        if not context:
            ids = self._encode(continuation, begins=False)
            return (ids[:1], ids[1:]) if ids[:1] == [self._prefix_id] else ([self._prefix_id], ids)
        # Spaces at the end belong to the word that follows.
        text = context.rstrip()
        whole, before = self._encode(context + continuation), self._encode(text)
        return before, whole[len(before) :]

    def _costs(self, pairs: Sequence[Pair], what: str) -> list[Cost]:
        """Costs of the second of each pair, each context read once."""
        continuations: dict[tuple[int, ...], list[list[int]]] = {}
        places: list[tuple[tuple[int, ...], int]] = []
        for context, ids in pairs:
            if not ids:
                raise InputError("an answer has no token of its own", remedy="look at the task's wording")
            room = len(context) if self._max_length is None else self._max_length + 1 - len(ids)
            key = tuple(context[-room:]) if room > 0 else ()
            if not key:
                raise InputError(f"an answer of {len(ids)} tokens does not fit the model's context")
            known = continuations.setdefault(key, [])
            places.append((key, len(known)))
            known.append(ids)
        requests = [
            Request(
                context=np.array(key, np.int64),
                continuations=tuple(np.array(ids, np.int64) for ids in several),
            )
            for key, several in continuations.items()
        ]
        with Progress(what, total=len(requests), unit="contexts") as progress:
            costs = continuation_costs(self._loaded.model, requests, on_progress=progress.advance)
        of_context = dict(zip(continuations, costs.of_requests, strict=True))
        return [of_context[key][place] for key, place in places]


def _sampling(given: Mapping[str, Any], end_text: str) -> SamplingParams:
    """What lm-eval's settings of a generation say here."""
    until = given.get("until") or []
    stops = [until] if isinstance(until, str) else list(until)
    limit = next(
        (int(given[name]) for name in _TOKEN_LIMITS if given.get(name) is not None), _MOST_NEW_TOKENS
    )
    temperature = float(given.get("temperature") or 0.0) if given.get("do_sample") is not False else 0.0
    return SamplingParams(
        max_tokens=limit,
        temperature=temperature,
        stop=tuple(dict.fromkeys(text for text in (*stops, end_text) if text)),
        **{name: given[name] for name in _SAMPLING if given.get(name) is not None and temperature > 0},
    )


@lru_cache(maxsize=1)
def model_class() -> type[YanmoLM]:
    """The class that lm-eval takes, registered there as ``yanmo``.

    Raises:
        InputError: lm-eval is not installed.
    """
    base = _lm_eval("lm_eval.api.model").LM
    made = type("YanmoHarnessLM", (YanmoLM, base), {"__doc__": YanmoLM.__doc__})
    _lm_eval("lm_eval.api.registry").register_model(NAME)(made)
    return made


def _lm_eval(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "lm_eval":
            raise
        raise InputError("lm-eval is not installed", remedy="pip install yanmo[lm-eval]") from None


def main() -> None:
    """lm-eval's own command line, to which ``--model yanmo`` is known."""
    model_class()
    _lm_eval("lm_eval.__main__").cli_evaluate()


if __name__ == "__main__":
    main()
