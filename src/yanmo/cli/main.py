"""The command line: one module a verb, imported only when its verb is called.

Exit codes: 0 done; 1 failed; 2 wrong use or bad input; 17 training would not converge;
130 interrupted; 143 terminated.
"""

from __future__ import annotations

import os
import signal
import sys

import cyclopts

from yanmo.errors import YanmoError

VERBS = {
    "doctor": ("yanmo.cli.doctor:doctor", "What this machine can do, what is missing, how to mend it."),
    "demo": ("yanmo.cli.demo:demo", "The whole road on text that is already on the machine."),
    "train": ("yanmo.cli.train:train", "From a folder of text to a model, in one command."),
    "corpus": ("yanmo.cli.corpus:corpus", "Files to clean documents, split without leaks."),
    "tokenizer": ("yanmo.cli.tokenizer:tokenizer", "Train a tokenizer on a corpus."),
    "plan": ("yanmo.cli.plan:plan", "Choose sizes for a time budget; predict time, memory and loss."),
    "pretrain": ("yanmo.cli.pretrain:pretrain", "Train a model on a corpus within a budget."),
    "evaluate": ("yanmo.cli.evaluate:evaluate", "Bits per byte and perplexity beside a baseline."),
    "score": ("yanmo.cli.score:score", "Loss of a text under a model."),
    "generate": ("yanmo.cli.generate:generate", "Continue a prompt."),
    "chat": ("yanmo.cli.chat:chat", "Talk to a model in the terminal."),
    "serve": ("yanmo.cli.serve:serve", "An OpenAI-compatible API and a web page."),
    "runs": ("yanmo.cli.runs:runs", "List and compare runs."),
}


def build_app() -> cyclopts.App:
    """The command-line parser; verbs are named but not imported."""
    app = cyclopts.App(
        name="yanmo",
        help="yanmo 研墨: the whole life of a language model, on your text and your machine.",
        version=_version,
        result_action="return_value",
    )
    for verb, (target, summary) in VERBS.items():
        app.command(target, name=verb, help=summary)
    return app


def main() -> None:
    """Run the command line and exit with the documented code."""
    # SIGPIPE: `yanmo generate ... | head` ends quietly, as other Unix tools do.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line.

    Returns:
        The exit code.
    """
    try:
        build_app()(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        return _fail(" ".join(str(error).split()) + " (see yanmo --help)", 2)
    except YanmoError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on from here", 130)
    except MemoryError:
        return _fail("out of memory (close other programs, or choose a smaller size)", 1)
    except OSError as error:
        if os.environ.get("YANMO_TRACEBACK"):
            raise
        return _fail(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"yanmo: {message}", file=sys.stderr)
    return code


def _version() -> str:
    from importlib.metadata import version

    return version("yanmo")
