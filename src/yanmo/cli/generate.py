"""``yanmo generate``: continue a prompt, or answer a source text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yanmo.cli.generate_flags import Beams, Drafting, Drawing, Form
from yanmo.cli.models import Dtype, Model, open_model
from yanmo.cli.output import Json, emit
from yanmo.errors import InputError
from yanmo.reporting.progress import say

if TYPE_CHECKING:
    from yanmo.generation.run import Generation


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
    stop: Annotated[
        tuple[str, ...],
        Parameter(
            help="String that ends the text; may be given again.", negative="", allow_leading_hyphen=True
        ),
    ] = (),
    num_samples: Annotated[int, Parameter(help="How many continuations; of beams, how many best.")] = 1,
    drawing: Drawing = Drawing(),
    beams: Beams = Beams(),
    form: Form = Form(),
    drafting: Drafting = Drafting(),
    dtype: Dtype = "float32",
    json: Json = False,
) -> None:
    """Continue a prompt with a model; an encoder-decoder answers it."""
    import yanmo
    from yanmo.config import to_mapping

    streams = not json and num_samples == 1 and not beams.is_wanted
    wanted_form = form.form()
    if beams.is_wanted:
        if drawing != Drawing() or drafting != Drafting() or wanted_form is not None or stop:
            raise InputError(
                "beams take no flags of drawing, forms, drafts or stop strings", remedy="leave one out"
            )
        answers = _search(model, prompt, beams, max_tokens=max_tokens, num_best=num_samples, dtype=dtype)
    else:
        answers = yanmo.generate(
            open_model(model, dtype),
            prompt,
            max_tokens=max_tokens,
            stop=stop,
            form=wanted_form,
            **drawing.settings(),
            speculation=drafting.speculation(dtype),
            num_samples=num_samples,
            on_text=(lambda text: print(text, end="", flush=True)) if streams else None,
        )
    samples = [to_mapping(answer) for answer in answers]
    result = samples[0] if num_samples == 1 else {**samples[0], "samples": samples}
    separator = "\n" + "-" * 20 + "\n"
    emit(result, "" if streams else separator.join(answer.text for answer in answers), as_json=json)
    if wanted_form is not None and any(answer.finish_reason == "length" for answer in answers):
        say(f"An answer was cut off and is not of the form asked for: --max-tokens is {max_tokens}.")


def _search(
    model: Model, prompt: str, beams: Beams, *, max_tokens: int, num_best: int, dtype: str
) -> list[Generation]:
    from yanmo.generation.engine import Engine

    loaded = open_model(model, dtype)
    engine = Engine(loaded.model, loaded.tokenizer, loaded.generation)
    return engine.search(engine.encode(prompt), max_tokens=max_tokens, num_best=num_best, **beams.settings())
