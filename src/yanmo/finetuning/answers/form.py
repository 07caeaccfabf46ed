"""How a model answers: with an encoder or without, where its answers begin and end, how they are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from yanmo.errors import InputError
from yanmo.finetuning.encoding import InputEncoder
from yanmo.generation.search import SearchParams
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.generation_settings import read_generation_settings
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer

_KEY = "answers"


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """What answers need to know of a model, beside its weights; config.json keeps it of a fine-tuned one.

    Attributes:
        has_source: whether it is an encoder-decoder.
        first_ids: what its answers begin after, where it is one.
        end_ids: each ends an answer.
        barred_ids: never said.
        uses_template: whether a decoder is given conversations by its chat template, else as plain text.
        num_beams: of the search.
        length_penalty: of the search.
        longest: tokens of the longest answer that was learned.
    """

    has_source: bool
    first_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    barred_ids: tuple[int, ...] = ()
    uses_template: bool = False
    num_beams: int = 1
    length_penalty: float = 1.0
    longest: int = 256

    @classmethod
    def of(cls, network: Transformer, checkpoint: Checkpoint, *, is_chat: bool) -> AnswerForm:
        """Of a model that is to learn a task.

        Args:
            network: of the checkpoint.
            checkpoint: the model.
            is_chat: whether conversations are learned: then a chat template counts even where the model was
                not trained with it.

        Raises:
            InputError: the model continues no text, or squeezes its scores, which no objective does.
        """
        if network.language_head.config.softcap is not None:
            raise InputError("has an output that is not fine-tuned", where=checkpoint.path)
        has_source = network.config.shape == "encoder-decoder"
        settings = read_generation_settings(
            checkpoint.generation_config,
            checkpoint.config,
            vocab_size=network.vocab_size,
            has_source=has_source,
            where=checkpoint.path,
        )
        tokenizer = checkpoint.tokenizer
        template = tokenizer.chat_template is not None and (is_chat or tokenizer.chat_tuned)
        return cls(
            has_source=has_source,
            first_ids=settings.first_ids,
            end_ids=tuple(dict.fromkeys((*settings.end_ids, *tokenizer.end_ids))),
            barred_ids=settings.suppressed_ids,
            uses_template=template and not has_source,
        )

    @classmethod
    def read(cls, config: Mapping[str, Any], *, where: object = None) -> AnswerForm:
        """Of a fine-tuned model, from its config.json.

        Raises:
            InputError: it says nothing, or something else.
        """
        said = config.get(_KEY)
        try:
            read = dict(said) if isinstance(said, Mapping) else {}
            lists = {key: tuple(value) for key, value in read.items() if isinstance(value, list)}
            return cls(**(read | lists))
        except TypeError:
            raise InputError(f"config.json does not say how it answers ({_KEY})", where=where) from None

    def settings(self) -> dict[str, Any]:
        """For config.json."""
        return {_KEY: {key: _plain(value) for key, value in asdict(self).items()}}

    def search(
        self, tokenizer: Tokenizer, model: Transformer, *, num_beams: int | None = None
    ) -> SearchParams:
        """How answers are looked for; ``num_beams`` instead of the form's own."""
        return SearchParams(
            num_beams=num_beams or self.num_beams,
            length_penalty=self.length_penalty,
            end_ids=frozenset(self.end_ids),
            barred_ids=self.barred_ids,
            vocab_size=min(tokenizer.vocab_size, model.vocab_size),
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def encode_sources(texts: Sequence[str], encoder: InputEncoder) -> tuple[list[list[int]], int]:
    """Sources with their special tokens, and how many of them were cut.

    Raises:
        InputError: a text is not valid Unicode.
    """
    whole = encoder.tokenizer.encode_batch_with_specials(texts)
    too_long = [row for row, encoding in enumerate(whole) if len(encoding.ids) > encoder.max_seq_len]
    ids = [encoding.ids for encoding in whole]
    for row in too_long:
        ids[row] = encoder.encode([(texts[row],)])[0].ids
    return ids, len(too_long)
