"""``yanmo generate``: continue a prompt, or answer a source text."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.models import Dtype, Model, open_model
from yanmo.cli.output import Json, emit


def generate(
    model: Model,
    *,
    prompt: Annotated[
        str,
        Parameter(
            help="Text to continue, or for an encoder-decoder to answer; empty begins a document.",
            allow_leading_hyphen=True,
        ),
    ],
    max_tokens: Annotated[int, Parameter(help="Most tokens to generate.")] = 256,
    temperature: Annotated[float, Parameter(help="0 always takes the likeliest token.")] = 0.8,
    top_k: Annotated[int, Parameter(help="Draw among this many likeliest tokens; 0 is off.")] = 0,
    top_p: Annotated[
        float, Parameter(help="Draw among the likeliest tokens that reach this; 1 is off.")
    ] = 1.0,
    min_p: Annotated[float, Parameter(help="Leave out tokens below this share of the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, Parameter(help="Above 1 makes repetition rarer.")] = 1.0,
    stop: Annotated[
        tuple[str, ...],
        Parameter(
            help="String that ends the text; may be given again.", negative="", allow_leading_hyphen=True
        ),
    ] = (),
    num_samples: Annotated[int, Parameter(help="How many continuations.")] = 1,
    seed: Annotated[int | None, Parameter(help="Seed of the sampling; without it each run differs.")] = None,
    dtype: Dtype = "float32",
    json: Json = False,
) -> None:
    """Continue a prompt with a model; an encoder-decoder answers it."""
    import yanmo
    from yanmo.config import to_mapping

    streams = not json and num_samples == 1
    answers = yanmo.generate(
        open_model(model, dtype),
        prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        stop=stop,
        seed=seed,
        num_samples=num_samples,
        on_text=(lambda text: print(text, end="", flush=True)) if streams else None,
    )
    samples = [to_mapping(answer) for answer in answers]
    result = samples[0] if num_samples == 1 else {**samples[0], "samples": samples}
    separator = "\n" + "-" * 20 + "\n"
    emit(result, "" if streams else separator.join(answer.text for answer in answers), as_json=json)
