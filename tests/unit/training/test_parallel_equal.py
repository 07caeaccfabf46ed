"""Runs on 1, 2 and 4 processes are one run, whatever each holds, and a checkpoint moves between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from parallel_made import BATCH_SIZE, Case, part_of, train, train_together
from safetensors.torch import save_file
from torch import Tensor

from yanmo.training.parallel import Alone
from yanmo.training.sharding import Parallelism

Results = dict[str, dict[str, Tensor]]
KINDS = [kind.value for kind in Parallelism]
MANY = [2, 4]


@pytest.fixture(scope="module")
def alone() -> dict[str, Tensor]:
    torch.set_num_threads(1)
    return train(Case(name="alone"), Alone())[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After 3 of the 6 steps, by one process."""
    path = tmp_path_factory.mktemp("alone") / "half.safetensors"
    save_file(train(Case(name="half", num_steps=3), Alone())[0], path)
    return path


@pytest.fixture(scope="module", params=MANY)
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkpoint: Path
) -> tuple[int, Path, Results]:
    cases = [Case(name=kind, parallelism=kind) for kind in KINDS]
    cases += [
        Case(
            name=f"{kind}-resumed",
            parallelism=kind,
            first_step=3,
            num_steps=3,
            resume_from=str(checkpoint),
            validate_first=True,
        )
        for kind in KINDS
    ]
    cases += [Case(name=f"{kind}-half", parallelism=kind, num_steps=3) for kind in KINDS]
    if request.param == 2:
        cases += [Case(name=f"{kind}-bf16", parallelism=kind, dtype="bfloat16") for kind in KINDS]
        cases += [
            Case(name=f"{kind}-two-stacks", parallelism=kind, shape="encoder-decoder") for kind in KINDS
        ]
    folder = tmp_path_factory.mktemp("together") / "run"
    return request.param, folder, train_together(folder, cases, request.param)


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for kind in ("weights", "state"):
        ours, theirs = part_of(one, kind), part_of(other, kind)
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-5, msg=name)


def test_replicated_runs_end_in_the_bits_of_one_process(
    alone: dict[str, Tensor], together: tuple[int, Path, Results]
) -> None:
    result = together[2]["replicated"]
    assert [name for name in alone if not torch.equal(result[name], alone[name])] == []


def test_sharded_runs_end_close_to_one_process(
    alone: dict[str, Tensor], together: tuple[int, Path, Results]
) -> None:
    result = together[2]["sharded"]
    for name in ("losses", "norms", "validation"):
        torch.testing.assert_close(result[name], alone[name], rtol=1e-5, atol=1e-5)
    assert_same_weights(result, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_processes_read_the_rows_that_one_process_reads(
    together: tuple[int, Path, Results], kind: str
) -> None:
    num_processes, _, results = together
    read = results[kind]["read"].view(num_processes, 6, -1)
    assert sorted(read.flatten().tolist()) == list(range(6 * BATCH_SIZE))
    for step in range(6):
        assert sorted(read[:, step].flatten().tolist()) == list(
            range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_one_process_goes_on_in_several(
    alone: dict[str, Tensor], together: tuple[int, Path, Results], kind: str
) -> None:
    result = together[2][f"{kind}-resumed"]
    torch.testing.assert_close(result["losses"], alone["losses"][3:], rtol=1e-5, atol=1e-5)
    assert_same_weights(result, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_several_processes_goes_on_in_one(
    alone: dict[str, Tensor], together: tuple[int, Path, Results], kind: str
) -> None:
    half = str(together[1] / f"{kind}-half.safetensors")
    result, _ = train(Case(name="on", first_step=3, num_steps=3, resume_from=half), Alone())
    torch.testing.assert_close(result["losses"], alone["losses"][3:], rtol=1e-5, atol=1e-5)
    assert_same_weights(result, alone)


@pytest.mark.parametrize("together", [2], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_bf16_runs_are_as_close_as_bf16_allows(together: tuple[int, Path, Results], kind: str) -> None:
    expected, _ = train(Case(name="bf16", dtype="bfloat16"), Alone())
    losses = together[2][f"{kind}-bf16"]["losses"]
    torch.testing.assert_close(losses, expected["losses"], rtol=5e-3, atol=5e-3)
    assert losses[-1] < losses[0] - 0.05


@pytest.mark.parametrize("together", [2], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_with_a_decoder_is_shared_as_well(together: tuple[int, Path, Results], kind: str) -> None:
    expected, _ = train(Case(name="two-stacks", shape="encoder-decoder"), Alone())
    result = together[2][f"{kind}-two-stacks"]
    torch.testing.assert_close(result["losses"], expected["losses"], rtol=1e-5, atol=1e-5)
    assert_same_weights(result, expected)
