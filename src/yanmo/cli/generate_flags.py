"""Flags of ``yanmo generate``, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from yanmo.errors import InputError

if TYPE_CHECKING:
    from yanmo.generation.constraint import OutputForm
    from yanmo.generation.speculation import Speculation

_DRAWING = Group("How tokens are drawn", sort_key=1)
_BEAMS = Group("Search for the likeliest answers instead", sort_key=2)
_FORM = Group("What the answer must look like", sort_key=3)
_DRAFT = Group("Several tokens a step, with the same outcome", sort_key=4)


@Parameter(name="*", group=_DRAWING)
@dataclass(frozen=True, kw_only=True)
class Drawing:
    """From the model's probabilities to a token."""

    temperature: Annotated[float, Parameter(help="0 always takes the likeliest token.")] = 0.8
    top_k: Annotated[int, Parameter(help="Draw among this many likeliest tokens; 0 is off.")] = 0
    top_p: Annotated[float, Parameter(help="Draw among the likeliest tokens that reach this; 1 is off.")] = (
        1.0
    )
    min_p: Annotated[float, Parameter(help="Leave out tokens below this share of the likeliest.")] = 0.0
    typical_p: Annotated[
        float, Parameter(help="Draw among tokens of usual surprise that reach this; 1 is off.")
    ] = 1.0
    repetition_penalty: Annotated[float, Parameter(help="Above 1 makes repetition rarer.")] = 1.0
    presence_penalty: Annotated[
        float, Parameter(help="Taken from the score of a token that the answer holds.")
    ] = 0.0
    frequency_penalty: Annotated[
        float, Parameter(help="The same, for each time that the answer holds it.")
    ] = 0.0
    no_repeat_ngram: Annotated[int, Parameter(help="No so many tokens in a row twice; 0 is off.")] = 0
    logit_bias: Annotated[
        tuple[str, ...],
        Parameter(
            help="ID=NUMBER, added to a token's score; -inf never takes it. May be given again.", negative=""
        ),
    ] = ()
    seed: Annotated[int | None, Parameter(help="Seed of the sampling; without it each run differs.")] = None

    def settings(self) -> dict[str, Any]:
        """By the names of ``SamplingParams``.

        Raises:
            InputError: a bias is not of that form.
        """
        return {**vars(self), "logit_bias": dict(map(_bias, self.logit_bias))}


def _bias(text: str) -> tuple[int, float]:
    name, _, value = text.partition("=")
    try:
        return int(name), float(value)
    except ValueError:
        raise InputError(
            f"--logit-bias {text} is not ID=NUMBER", remedy="such as 198=-5 or 198=-inf"
        ) from None


@Parameter(name="*", group=_BEAMS)
@dataclass(frozen=True, kw_only=True)
class Beams:
    """Beam search."""

    beams: Annotated[int, Parameter(help="Answers kept beside each other; 1 is off.")] = 1
    beam_groups: Annotated[int, Parameter(help="Groups of beams that shun each other's tokens.")] = 1
    diversity: Annotated[float, Parameter(help="How much they shun them, in nats.")] = 0.0
    length_penalty: Annotated[float, Parameter(help="Above 0 favours longer answers.")] = 1.0

    @property
    def is_wanted(self) -> bool:
        """Whether any of these was given."""
        return self != Beams()

    def settings(self) -> dict[str, Any]:
        """By the names of ``Engine.search``."""
        return {
            "num_beams": self.beams,
            "num_groups": self.beam_groups,
            "diversity": self.diversity,
            "length_penalty": self.length_penalty,
        }


@Parameter(name="*", group=_FORM)
@dataclass(frozen=True, kw_only=True)
class Form:
    """Constrained answers."""

    json_schema: Annotated[Path | None, Parameter(help="File of a JSON schema that the answer keeps.")] = None
    regex: Annotated[
        str | None, Parameter(help="Expression that the whole answer matches.", allow_leading_hyphen=True)
    ] = None
    grammar: Annotated[Path | None, Parameter(help="File of a grammar, Lark's or llama.cpp's GBNF.")] = None

    def form(self) -> OutputForm | None:
        """The one that was given, or None.

        Raises:
            InputError: there are two, or a file cannot be read.
        """
        from yanmo.generation.constraint import FormKind, OutputForm

        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) > 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{flags} cannot be kept at once", remedy="give one")
        if self.regex is not None:
            return OutputForm(kind=FormKind.REGEX, text=self.regex)
        if self.json_schema is not None:
            return OutputForm(kind=FormKind.JSON_SCHEMA, text=_read(self.json_schema))
        if self.grammar is not None:
            return OutputForm(kind=FormKind.GRAMMAR, text=_read(self.grammar))
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", where=path) from None


@Parameter(name="*", group=_DRAFT)
@dataclass(frozen=True, kw_only=True)
class Drafting:
    """Speculative decoding."""

    draft: Annotated[
        Path | None, Parameter(help="A smaller model with the same tokenizer that proposes tokens.")
    ] = None
    look_up: Annotated[
        bool, Parameter(negative="", help="Propose what stood in prompt or answer before.")
    ] = False
    draft_tokens: Annotated[int, Parameter(help="Most tokens proposed at once.")] = 5

    def speculation(self, dtype: str) -> Speculation | None:
        """What was asked for, or None.

        Raises:
            InputError: both ways were given, or the draft cannot be loaded.
        """
        from yanmo.cli.models import open_model
        from yanmo.generation.speculation import Speculation

        if self.draft is not None and self.look_up:
            raise InputError("--draft and --look-up both propose tokens", remedy="give one")
        if self.draft is None and not self.look_up:
            return None
        draft = None if self.draft is None else open_model(self.draft, dtype)
        return Speculation(draft=draft, num_tokens=self.draft_tokens)
