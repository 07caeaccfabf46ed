"""``yanmo finetune``: learn a task from labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from yanmo.cli.output import Force, Json, Seed, emit

Columns = Annotated[str | None, Parameter(help="What columns are: text=review,label=stars.")]
LabelKindFlag = Annotated[
    Literal["one", "several", "number"] | None,
    Parameter(name="--label-kind", help="What labels are: one class, several, or a number."),
]


def finetune(
    task: Annotated[
        str,
        Parameter(
            help="text-classification, pair-classification, token-classification, question-answering ..."
        ),
    ],
    data: Annotated[Path, Parameter(help="File or folder of examples: CSV, JSONL, Excel, Parquet ...")],
    *more: Path,
    model: Annotated[Path, Parameter(help="Model to begin with: a folder, a run, a cached name.")],
    out: Annotated[Path, Parameter(help="Folder of the run.")],
    valid: Annotated[
        Path | None, Parameter(help="Rows that choose the best step; drawn if not given.")
    ] = None,
    test: Annotated[
        Path | None, Parameter(help="Rows that judge, once, at the end; else some are drawn.")
    ] = None,
    budget: Annotated[str | None, Parameter(help="Longest time in all: 90s, 10m, 2h.")] = None,
    columns: Columns = None,
    label_kind: LabelKindFlag = None,
    lora: Annotated[bool, Parameter(help="Learn low-rank adapters instead of the weights.")] = False,
    lora_rank: Annotated[int, Parameter(help="Rank of the adapters.")] = 16,
    dora: Annotated[bool, Parameter(help="Adapters that learn lengths apart from directions.")] = False,
    last_blocks: Annotated[
        int | None, Parameter(help="Blocks that learn, counted from the top; 0: the head alone.")
    ] = None,
    gradual: Annotated[
        float, Parameter(help="Share of the run by which all blocks have begun to learn.")
    ] = 0.0,
    layer_decay: Annotated[
        float, Parameter(help="Learning rate of a block over that of the one above.")
    ] = 1.0,
    adversarial: Annotated[
        Literal["fgm", "freelb"] | None, Parameter(help="Disturb the vectors of tokens while learning.")
    ] = None,
    r_drop: Annotated[
        float, Parameter(help="How much two passes with dropout have to agree; 0: one pass.")
    ] = 0.0,
    epochs: Annotated[float | None, Parameter(help="Passes over the examples.")] = None,
    batch_size: Annotated[int | None, Parameter(help="Examples of a step.")] = None,
    micro_batch_size: Annotated[int | None, Parameter(help="Examples at once; gradients are summed.")] = None,
    learning_rate: Annotated[float | None, Parameter(help="AdamW's, at its peak.")] = None,
    dropout: Annotated[float | None, Parameter(help="Share of each block's output that is dropped.")] = None,
    max_seq_len: Annotated[int | None, Parameter(help="Longest text in tokens; what is more is cut.")] = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Learn a task from labelled examples; the same command goes on after a stop.

    Validation and test rows are drawn from DATA where neither flags nor the names of files give them.

    Args:
        more: Further files and folders.
    """
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.config import parse_duration_s
    from yanmo.finetuning.freezing import FreezingConfig
    from yanmo.finetuning.lora import LoraConfig
    from yanmo.recipes import finetune as recipe

    settings = recipe.FinetuneSettings(
        task=task,
        model=model,
        valid=valid,
        test=test,
        budget_s=None if budget is None else parse_duration_s(budget),
        lora=LoraConfig(rank=lora_rank, alpha=2.0 * lora_rank, dora=dora) if lora or dora else None,
        freezing=FreezingConfig(last_blocks=last_blocks, gradual_until=gradual, layer_decay=layer_decay),
        adversarial=adversarial,
        r_drop=r_drop,
        columns=columns_of(columns),
        label_kind=label_kind,
        epochs=epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        max_seq_len=max_seq_len,
        seed=seed,
    )
    result = recipe.finetune([data, *more], out, settings=settings, force=force)
    emit(result, _table(result), as_json=json)


def columns_of(given: str | None) -> dict[str, str]:
    """From ``text=review,label=stars`` to what the reader takes.

    Raises:
        InputError: a part is not of that form.
    """
    from yanmo.errors import InputError

    columns = {}
    for pair in given.split(",") if given else ():
        role, _, name = pair.partition("=")
        if not role or not name:
            raise InputError(f"--columns {pair!r}", remedy="write it as text=NAME,label=NAME")
        columns[role] = name
    return columns


def _table(result: dict[str, Any]) -> str:
    from yanmo.config import format_duration

    lines = [
        f"model    {result['model']}",
        f"learned  {result['num_train_examples']:,} rows in {format_duration(result['wall_s'])}",
        f"scores   of {result['num_examples']:,} {result['split']} rows",
    ]
    for name, score in result["metrics"].items():
        low, high = score["interval"]
        lines.append(f"  {name:<20} {score['value']:.4f}  ({low:.4f} to {high:.4f})")
    lines.append(f'next     yanmo predict {result["model"]} --text "..."')
    return "\n".join(lines)
