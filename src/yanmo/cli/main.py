"""The command line: one module a verb, imported only when its verb is called.

Exit codes: 0 done; 1 failed; 2 wrong use or bad input; 17 training would not converge; 130 interrupted;
141 nobody read the output; 143 terminated. What goes wrong is said in one line on stderr.

Options come from the flags, else from the environment (``YANMO_PRETRAIN_BUDGET`` for one verb,
``YANMO_BUDGET`` for all), else from the table of the verb in the file given with ``--config``.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import cyclopts
from cyclopts.config import Dict, Env

from yanmo.config import read_toml
from yanmo.errors import InputError, YanmoError

VERBS = {
    "doctor": ("yanmo.cli.doctor:doctor", "What this machine can do, what is missing, how to mend it."),
    "demo": ("yanmo.cli.demo:demo", "The whole road on text that is already on the machine."),
    "train": ("yanmo.cli.train:train", "From a folder of text to a model, in one command."),
    "corpus": ("yanmo.cli.corpus:app", "Files to clean documents, split without leaks."),
    "tokenizer": ("yanmo.cli.tokenizer:tokenizer", "Train a tokenizer on a corpus; compare; extend."),
    "features": ("yanmo.cli.features:features", "Words, parts of speech, counts, TF-IDF of a corpus."),
    "plan": ("yanmo.cli.plan:plan", "Choose sizes for a time budget; predict time, memory and loss."),
    "pretrain": ("yanmo.cli.pretrain:pretrain", "Train a model on a corpus within a budget."),
    "finetune": ("yanmo.cli.finetune:finetune", "Learn a task from labelled examples."),
    "predict": ("yanmo.cli.predict:predict", "What a fine-tuned model says of texts."),
    "extract": ("yanmo.cli.extract:extract", "Names and their relations in texts, as a graph."),
    "evaluate": (
        "yanmo.cli.evaluate:evaluate",
        "Bits per byte, or the scores of a task or suite, beside a baseline.",
    ),
    "score": ("yanmo.cli.score:score", "Loss of a text under a model."),
    "generate": ("yanmo.cli.generate:generate", "Continue a prompt."),
    "embed": ("yanmo.cli.embed:embed", "Vectors of texts, close where their meanings are."),
    "chat": ("yanmo.cli.chat:chat", "Talk to a model in the terminal."),
    "convert": ("yanmo.cli.convert:convert", "A model as a Hugging Face folder, a GGUF or an ONNX file."),
    "quantize": ("yanmo.cli.quantize:quantize", "Weights of 8 or 4 bits, and what that costs."),
    "inspect": ("yanmo.cli.inspect:inspect", "What a model is: sizes, memory, tokenizer, hashes."),
    "serve": ("yanmo.cli.serve:serve", "An OpenAI-compatible API and a web page."),
    "runs": ("yanmo.cli.runs:runs", "List and compare runs."),
}

_RESUMABLE = {"demo", "train", "corpus", "tokenizer", "pretrain", "finetune"}
_TRACEBACK = "YANMO_TRACEBACK"
_VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)")
_EPILOGUE = (
    "Every verb takes --help, and --config FILE.toml with its options in a table named as the verb. "
    "Flags win over the environment (YANMO_BUDGET, YANMO_PRETRAIN_BUDGET), which wins over the file."
)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; whatever handles Ctrl-C handles it too."""


def build_app(settings: Mapping[str, Any] | None = None, *, source: str = "") -> cyclopts.App:
    """The command-line parser; verbs are named but not imported.

    Args:
        settings: a table of options for each verb, from the file named ``source``.
        source: for messages.
    """
    app = cyclopts.App(
        name="yanmo",
        help="yanmo 研墨: the whole life of a language model, on your text and your machine.",
        help_epilogue=_EPILOGUE,
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        config=[Env("YANMO_", show=False), _shared_environment, _File(settings or {}, source)],
    )
    for verb, (target, summary) in VERBS.items():
        app.command(target, name=verb, help=summary)
    return app


def main() -> None:
    """Run the command line and exit with the documented code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit code.
    """
    try:
        return _dispatch(arguments)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get(_TRACEBACK) and not isinstance(error, BrokenPipeError):
            import traceback

            traceback.print_exc()
        return _explain(error, arguments)


def _dispatch(arguments: Sequence[str]) -> int:
    rest, file = _take_config(arguments)
    settings = _read_settings(file) if file else {}
    if rest and rest[0] not in {*VERBS, "--help", "-h", "--version"}:
        raise InputError(f"there is no verb {rest[0]!r}", remedy=_nearest(rest[0]))
    build_app(settings, source=file)(rest, exit_on_error=False, print_error=False)
    sys.stdout.flush()
    return 0


def _explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Say in one line what went wrong, and return the exit code that tells it."""
    verb = next((word for word in arguments if word in VERBS), "")
    match error:
        case cyclopts.CycloptsError():
            return _fail(f"{error} (see yanmo {verb} --help)".replace("  ", " "), 2)
        case YanmoError():
            return _fail(str(error), error.exit_code)
        case KeyboardInterrupt():
            stopped, code = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)
            return _fail(stopped + ("; the same command goes on from here" * (verb in _RESUMABLE)), code)
        case BrokenPipeError():
            # `yanmo generate ... | head` ends quietly, as other Unix tools do. The signal itself stays
            # ignored: taking it would end a server whenever a client hangs up.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        case OSError():
            return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return _fail("out of memory (close other programs, or choose a smaller size)", 1)
    return _fail(f"{type(error).__name__}: {error} (a bug; {_TRACEBACK}=1 shows where)", 1)


def _fail(message: str, code: int) -> int:
    print("yanmo:", " ".join(message.split()), file=sys.stderr, flush=True)
    return code


def _take_config(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The arguments without ``--config FILE``, and the file (or ``YANMO_CONFIG``, or empty)."""
    rest: list[str] = []
    file = os.environ.get("YANMO_CONFIG", "")
    words = iter(arguments)
    for word in words:
        if word == "--":
            return [*rest, word, *words], file
        if word == "--config":
            file = next(words, "")
        elif word.startswith("--config="):
            file = word.removeprefix("--config=")
        else:
            rest.append(word)
            continue
        if not file:
            raise InputError("--config needs a file", remedy="--config FILE.toml")
    return rest, file


def _read_settings(file: str) -> dict[str, Any]:
    settings = read_toml(Path(file))
    for verb, table in settings.items():
        if verb not in VERBS:
            remedy = (
                _nearest(verb) if isinstance(table, dict) else "put it into the table of a verb: [pretrain]"
            )
            raise InputError(f"unknown setting {verb!r}", where=file, remedy=remedy)
        if not isinstance(table, dict):
            raise InputError(f"{verb!r} must be a table of options", where=file, remedy=f"write [{verb}]")
    return settings


def _shared_environment(
    app: cyclopts.App, commands: tuple[str, ...], arguments: cyclopts.ArgumentCollection
) -> None:
    # Options only: what a verb works on is never taken from a variable that holds for all verbs.
    options = [argument for argument in arguments if argument.field_info.kind.name == "KEYWORD_ONLY"]
    Env("YANMO_", command=False, show=False)(app, commands, cyclopts.ArgumentCollection(options))


class _File:
    """Options of the file, ``$NAME`` at their beginning taken from the environment.

    An option that was said already is left out first: what is not used needs no variable.
    """

    def __init__(self, settings: Mapping[str, Any], source: str) -> None:
        self._settings, self._source = settings, source

    def __call__(
        self, app: cyclopts.App, commands: tuple[str, ...], arguments: cyclopts.ArgumentCollection
    ) -> None:
        said = {_plain(name) for argument in arguments if argument.tokens for name in argument.names}
        wanted = {
            verb: {
                name: self._expanded(value, name) for name, value in table.items() if _plain(name) not in said
            }
            for verb, table in self._settings.items()
            if verb in commands[:1]
        }
        Dict(wanted, source=self._source)(app, commands, arguments)

    def _expanded(self, value: Any, option: str) -> Any:
        if isinstance(value, list):
            return [self._expanded(part, option) for part in value]
        if isinstance(value, dict):
            return {name: self._expanded(part, option) for name, part in value.items()}
        found = _VARIABLE.match(value) if isinstance(value, str) else None
        if found is None:
            return value
        if not (folder := os.environ.get(found[1])):
            raise InputError(
                f"{option} begins with ${found[1]}, which is not set",
                where=self._source,
                remedy=f"export {found[1]}=FOLDER, or give --{_plain(option)}",
            )
        return folder + value[found.end() :]


def _plain(option: str) -> str:
    return option.lstrip("-").replace("_", "-")


def _nearest(word: str) -> str:
    near = difflib.get_close_matches(word, VERBS, n=1)
    return f"did you mean {near[0]}?" if near else "yanmo --help lists them"


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def _version() -> str:
    from importlib.metadata import version

    return version("yanmo")
