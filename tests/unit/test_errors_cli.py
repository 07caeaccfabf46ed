"""What the command line says and returns when something goes wrong, and where its options come from."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from cyclopts import Parameter

from yanmo.cli import main
from yanmo.errors import InputError, Interrupted, TrainingDiverged, YanmoError

Calls = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("YANMO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand in for ``pretrain`` and ``evaluate``; what they are called with is kept here."""
    kept: Calls = []

    def pretrain(
        *source: Path,
        budget: str = "1m",
        num_layers: int = 2,
        top_p: float = 1.0,
        json: Annotated[bool, Parameter(negative="")] = False,
    ) -> None:
        kept.append({"source": source, "budget": budget, "num_layers": num_layers, "json": json})

    def evaluate(model: Path, data: Path | None = None, *, seed: int = 0) -> None:
        kept.append({"model": model, "data": data, "seed": seed})

    stand_in(monkeypatch, "pretrain", pretrain)
    stand_in(monkeypatch, "evaluate", evaluate)
    return kept


def stand_in(monkeypatch: pytest.MonkeyPatch, verb: str, function: Callable[..., None]) -> None:
    module = types.ModuleType(f"stand_in_{verb}")
    setattr(module, verb, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main.VERBS, verb, (f"{module.__name__}:{verb}", "A stand-in."))


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def pretrain() -> None:
        raise error

    stand_in(monkeypatch, "pretrain", pretrain)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("yanmo: ")
    return lines[0]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("bad", where="a.txt:3", remedy="mend it"), 2, "a.txt:3: bad (mend it)"),
        (YanmoError("the disk is full"), 1, "the disk is full"),
        (TrainingDiverged("loss is NaN"), 17, "loss is NaN"),
        (Interrupted("stopped at step 3", exit_code=143), 143, "stopped at step 3"),
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on from here"),
        (main.Terminated(), 143, "terminated; the same command goes on from here"),
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), 1, "out of memory"),
        (FileNotFoundError(2, "No such file or directory", "x"), 1, "x: No such file or directory"),
        (RuntimeError("two\nlines"), 1, "RuntimeError: two lines (a bug; YANMO_TRACEBACK=1 shows where)"),
        (InputError("two\nlines"), 2, "two lines"),
    ],
)
def test_every_failure_is_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    words: str,
) -> None:
    fails_with(monkeypatch, error)
    assert main.run(["pretrain"]) == code
    assert words in one_line(capsys)


def test_a_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, RuntimeError("odd"))
    monkeypatch.setenv("YANMO_TRACEBACK", "1")
    assert main.run(["pretrain"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pretian"], "no verb 'pretian' (did you mean pretrain?)"),
        (["xyzzy"], "no verb 'xyzzy' (yanmo --help lists them)"),
        (["--num-layers", "3"], "no verb '--num-layers'"),
        (["pretrain", "--num-layers", "many"], '--num-layers: unable to convert "many" into int'),
        (["pretrain", "--num-layer", "3"], "Did you mean --num-layers?"),
        (["pretrain", "--num-layers"], "--num-layers requires an argument"),
        (["evaluate"], "requires an argument"),
        (["evaluate", "m", "d", "e"], "Unused Tokens"),
        (["pretrain", "--config"], "--config needs a file"),
        (["pretrain", "--config="], "--config needs a file"),
        (["pretrain", "--config", "none.toml"], "none.toml: no such file"),
    ],
)
def test_wrong_use_is_one_line_and_two(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main.run(arguments) == 2
    assert words in one_line(capsys)
    assert calls == []


def test_every_verb_refuses_an_unknown_option_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, (target, _) in main.VERBS.items():
        path = Path(main.__file__).with_name(target.split(":")[0].rsplit(".", 1)[1] + ".py")
        if path.is_file():
            assert main.run([verb, "--no-such-option-anywhere"]) == 2
            assert "no-such-option-anywhere" in one_line(capsys)


def test_flags_win_over_environment_over_file(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[pretrain]\nbudget = "3m"\nnum-layers = 3\njson = true\n', encoding="utf-8")
    main.run(["pretrain", "text", "--config", str(file)])
    assert calls[-1] == {"source": (Path("text"),), "budget": "3m", "num_layers": 3, "json": True}

    monkeypatch.setenv("YANMO_BUDGET", "4m")
    main.run(["--config", str(file), "pretrain"])
    assert (calls[-1]["budget"], calls[-1]["num_layers"]) == ("4m", 3)

    monkeypatch.setenv("YANMO_PRETRAIN_BUDGET", "5m")
    main.run(["pretrain", f"--config={file}"])
    assert calls[-1]["budget"] == "5m"

    main.run(["pretrain", "--config", str(file), "--budget", "6m"])
    assert (calls[-1]["budget"], calls[-1]["num_layers"]) == ("6m", 3)


def test_the_file_can_be_named_by_the_environment(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text("[pretrain]\nnum_layers = 9\n", encoding="utf-8")
    monkeypatch.setenv("YANMO_CONFIG", str(tmp_path / "mine.toml"))
    main.run(["pretrain"])
    assert calls[-1]["num_layers"] == 9


def test_the_table_of_another_verb_changes_nothing(calls: Calls, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[evaluate]\nseed = 3\n", encoding="utf-8")
    assert main.run(["pretrain", "--config", str(tmp_path / "mine.toml")]) == 0
    assert main.run(["evaluate", "m", "--config", str(tmp_path / "mine.toml")]) == 0
    assert calls[-1]["seed"] == 3


def test_a_shared_variable_sets_options_and_never_what_is_worked_on(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YANMO_DATA", "elsewhere")
    monkeypatch.setenv("YANMO_SOURCE", "elsewhere")
    monkeypatch.setenv("YANMO_SEED", "7")
    main.run(["evaluate", "m"])
    assert calls[-1] == {"model": Path("m"), "data": None, "seed": 7}
    main.run(["pretrain"])
    assert calls[-1]["source"] == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[pretrain]\nbugdet = '3m'\n", 'Unknown option: "[bugdet]"'),
        ("[pretrain]\nnum_layers = 'x'\n", "num_layers"),
        ("[pretian]\nbudget = '3m'\n", "unknown setting 'pretian' (did you mean pretrain?)"),
        ("budget = '3m'\n", "unknown setting 'budget' (put it into the table of a verb: [pretrain])"),
        ("pretrain = 3\n", "'pretrain' must be a table of options (write [pretrain])"),
        ("[pretrain\n", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    calls: Calls, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    assert main.run(["pretrain", "--config", str(file)]) == 2
    line = one_line(capsys)
    assert words in line
    assert "mine.toml" in line
    assert calls == []


def test_a_wrong_variable_is_named(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("YANMO_NUM_LAYERS", "many")
    assert main.run(["pretrain"]) == 2
    assert "YANMO_NUM_LAYERS" in one_line(capsys)


def test_words_after_two_dashes_are_left_alone(calls: Calls) -> None:
    assert main.run(["pretrain", "--", "--config"]) == 0
    assert calls[-1]["source"] == (Path("--config"),)


def test_help_names_every_verb_and_imports_none() -> None:
    code = (
        "import sys\nfrom yanmo.cli import main\nassert main.run(['--help']) == 0\n"
        "heavy = {'torch', 'duckdb', 'numpy', 'fastapi', 'tokenizers'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb in main.VERBS:
        assert f" {verb} " in done.stdout


def test_sigterm_ends_a_command_with_143(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        "import time\n\n\ndef pretrain() -> None:\n    print('ready', flush=True)\n    time.sleep(30)\n",
        encoding="utf-8",
    )
    code = "from yanmo.cli import main\nmain.VERBS['pretrain'] = ('sleeper:pretrain', '')\nmain.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, "pretrain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(10) == 143
        assert process.stderr.read() == "yanmo: terminated; the same command goes on from here\n"


def test_output_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "talker.py").write_text(
        "def generate() -> None:\n    for _ in range(100_000):\n        print('x' * 80)\n", encoding="utf-8"
    )
    code = "from yanmo.cli import main\nmain.VERBS['generate'] = ('talker:generate', '')\nmain.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code, "generate"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == b""
