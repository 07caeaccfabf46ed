"""``yanmo finetune``: learn a task from labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit

Columns = Annotated[str | None, Parameter(help="What columns are: text=review,label=stars.")]
HeaderFlag = Annotated[
    bool | None, Parameter(help="Whether the first row of a table names its columns; guessed if not given.")
]
_SPLITS = {"folds": "rows, each by the model of the other folds"}
_SHOWN_TRIALS = 10
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
    data: Annotated[
        list[Path], Parameter(help="Files and folders of examples: CSV, JSONL, Excel, Parquet ...")
    ],
    *,
    model: Annotated[Path, Parameter(help="Model to begin with: a folder, a run, a cached name; scratch.")],
    out: Annotated[Path, Parameter(help="Folder of the run.")],
    corpus: Annotated[
        Path | None, Parameter(help="Texts that a fresh encoder (--model scratch) reads before it learns.")
    ] = None,
    valid: Annotated[
        Path | None, Parameter(help="Rows that choose the best step; drawn if not given.")
    ] = None,
    test: Annotated[
        Path | None, Parameter(help="Rows that judge, once, at the end; else some are drawn.")
    ] = None,
    budget: Annotated[str | None, Parameter(help="Longest time in all: 90s, 10m, 2h.")] = None,
    columns: Columns = None,
    header: HeaderFlag = None,
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
    class_weights: Annotated[
        Literal["balanced", "none"], Parameter(help="Whether rare classes count as much as frequent ones.")
    ] = "none",
    decide_by: Annotated[
        Literal["f1", "probability"] | None,
        Parameter(help="Tune thresholds by F1 (usual of several classes), or leave them."),
    ] = None,
    blend: Annotated[
        bool, Parameter(help="Let a linear model of words speak too, where validation rows say it helps.")
    ] = True,
    reward: Annotated[
        bool, Parameter(negative="", help="Of preferences: a model that gives each answer a number.")
    ] = False,
    epochs: Annotated[float | None, Parameter(help="Passes over the examples.")] = None,
    batch_size: Annotated[int | None, Parameter(help="Examples of a step.")] = None,
    micro_batch_size: Annotated[int | None, Parameter(help="Examples at once; gradients are summed.")] = None,
    learning_rate: Annotated[float | None, Parameter(help="AdamW's, at its peak.")] = None,
    dropout: Annotated[float | None, Parameter(help="Share of each block's output that is dropped.")] = None,
    hide_words: Annotated[
        float | None, Parameter(help="Share of the tokens that are hidden while it learns.")
    ] = None,
    max_seq_len: Annotated[int | None, Parameter(help="Longest text in tokens; what is more is cut.")] = None,
    folds: Annotated[
        int | None, Parameter(help="Parts of the rows, each judged once by a model of the others.")
    ] = None,
    seeds: Annotated[
        int | None, Parameter(help="Trainings with other random numbers; the first is kept.")
    ] = None,
    tune: Annotated[
        str | None, Parameter(help="Search what is not given: a number of trials (20), or a time (1h).")
    ] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Learn a task from labelled examples; the same command goes on after a stop.

    Validation and test rows are drawn from DATA where neither flags nor the names of files give them.
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
        corpus=corpus,
        valid=valid,
        test=test,
        budget_s=None if budget is None else parse_duration_s(budget),
        lora=LoraConfig(rank=lora_rank, alpha=2.0 * lora_rank, dora=dora) if lora or dora else None,
        freezing=FreezingConfig(last_blocks=last_blocks, gradual_until=gradual, layer_decay=layer_decay),
        adversarial=adversarial,
        r_drop=r_drop,
        class_weights=None if class_weights == "none" else class_weights,
        decide_by=decide_by,
        blend=blend,
        reward=reward,
        columns=columns_of(columns),
        header=header,
        label_kind=label_kind,
        epochs=epochs,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        learning_rate=learning_rate,
        dropout=dropout,
        hide_words=hide_words,
        max_seq_len=max_seq_len,
        folds=folds,
        seeds=seeds,
        tune=tune,
        seed=seed,
    )
    if dry_run:
        from yanmo.recipes.rehearsal import rehearse

        rehearsal = rehearse(data, settings=settings)
        emit(rehearsal, _rehearsal_table(rehearsal), as_json=json)
        return
    result = recipe.finetune(data, out, settings=settings, force=force)
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
        *_words_line(result.get("blend")),
        *_trials_table(result.get("tune")),
        *_runs_table(result.get("repeats")),
        f"scores   of {result['num_examples']:,} {_SPLITS.get(result['split'], result['split'] + ' rows')}",
    ]
    for name, score in result["metrics"].items():
        low, high = score["interval"]
        lines.append(f"  {name:<20} {score['value']:.4f}  ({low:.4f} to {high:.4f})")
    if "report" in result:
        lines.append(f"report   {result['report']}")
    lines.append(f'next     yanmo predict {result["model"]} --text "..."')
    return "\n".join(lines)


def _words_line(blend: dict[str, Any] | None) -> list[str]:
    if blend is None:
        return []
    before, after = blend["valid_loss_nats_alone"], blend["valid_loss_nats"]
    return [f"words    {blend['words']} beside the network: validation loss {before:.4f} -> {after:.4f} nats"]


def _rehearsal_table(rehearsal: dict[str, Any]) -> str:
    """Rows, what is odd in them, and how they would be learned."""
    from yanmo.config import format_duration

    rows, recipe = rehearsal["rows"], rehearsal["recipe"]
    counts = ", ".join(f"{count:,} {name}" for name, count in rows["num_rows"].items())
    lines = [
        *(f"columns  {note}" for note in rehearsal["notes"]),
        f"rows     {counts} ({rows['how']})",
        f"broken   {rows['num_broken']:,}",
        *(f"         {row}" for row in rehearsal["broken"]),
    ]
    for found in rows["findings"]:
        lines.append(f"{found['severity']:<8} {found['what']['en']} ({found['proposal']['en']})")
    if recipe is not None:
        said = (f"{name} {value:g}" for name, value in recipe.items() if type(value) in (int, float))
        lines.append(f"recipe   {', '.join(said)}")
    if rehearsal["steps"] is not None:
        lines.append(f"steps    {rehearsal['steps']:,}")
    if rehearsal["training_s"] is not None:
        lines.append(f"time     {format_duration(rehearsal['training_s'])} ({rehearsal['how_timed']})")
    else:
        lines.append(f"time     {rehearsal['how_timed']}")
    return "\n".join([*lines, "next     the same without --dry-run"])


def _runs_table(repeats: dict[str, Any] | None) -> list[str]:
    """The score of each repetition, and their means; nothing where there are none."""
    if repeats is None:
        return []
    names = list(repeats["metrics"])
    rows = [[run["name"], *(f"{run['metrics'][name]:.4f}" for name in names)] for run in repeats["runs"]]
    for label, found in (("mean", repeats["metrics"]), ("cheap model", repeats["baseline"])):
        rows.append([label, *(f"{found[name]['mean']:.4f}" if name in found else "-" for name in names)])
    intervals = [f"{told['low']:.4f} to {told['high']:.4f}" for told in repeats["metrics"].values()]
    rows.insert(-1, ["95%", *intervals])
    kept = f"{repeats['kind']:<8} {repeats['count']}; kept is the model {repeats['kept']}"
    return [kept, *_aligned([["", *names], *rows])]


def _trials_table(tune: dict[str, Any] | None) -> list[str]:
    """The best trials of a search; nothing where there was none."""
    if tune is None:
        return []
    names, shown = list(tune["space"]), tune["trials"][:_SHOWN_TRIALS]
    rows = [["trial", tune["decides"], *names, ""]]
    for trial in shown:
        score = "-" if trial["score"] is None else f"{trial['score']:.4f}"
        values = [f"{trial['settings'][name]:.3g}" for name in names]
        rows.append([str(trial["number"]), score, *values, trial["state"]])
    num_trials = len(tune["trials"])
    best = f"the best {len(shown)} of {num_trials}" if num_trials > len(shown) else str(num_trials)
    return [f"trials   {best}, by the validation rows; all in tune.html", *_aligned(rows)]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
