"""Answers that share steps, under clients that leave, floods, little memory, and a model that breaks."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from answers_made import decoder
from requests_made import begin, end, served, until

from yanmo.models.rows import TransformerRows
from yanmo.serving.catalog import Catalog, ServedModel
from yanmo.serving.limits import Limits
from yanmo.serving.opening import describe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return describe(decoder(tmp_path_factory.mktemp("model")).path)


def is_at_rest(batches: Any, catalog: Catalog) -> bool:
    """Nobody has a place, waits, or holds on to a model."""
    idle = not batches.batch.has_work and not batches._joined
    return idle and all(place.num_users == 0 for place in catalog._places.values())


def together(clients: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=client) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_clients_that_come_and_go_in_little_memory_leave_nothing_behind(model: ServedModel) -> None:
    limits = Limits(max_streams=4, max_waiting=100)
    found: list[tuple[int, int, str]] = []
    catalog = Catalog([model], key_value_bytes=60_000)
    with served(catalog, limits) as (address, batches):

        def client(number: int) -> None:
            draw = random.Random(number)
            for _ in range(4):
                length, leaves = draw.randrange(1, 60), draw.random() < 0.5
                prompt = [1 + place % 40 for place in range(length)]
                connection = begin(address, prompt=prompt, stream=leaves, seed=2, max_tokens=30)
                if not leaves:
                    status, content = end(connection)
                    found.append((status, length, content["choices"][0]["text"]))
                elif draw.random() < 0.5:
                    connection.close()
                else:
                    connection.getresponse().read(draw.randrange(1, 500))
                    connection.close()

        together([lambda number=number: client(number) for number in range(10)])
        assert until(lambda: is_at_rest(batches, catalog))
        memory = batches.batch.memory
        assert memory.used_bytes <= memory.budget_bytes and not memory._living
        assert batches.batch.counts.prefix_hits > 0
        # The same prompt has the same answer, whatever happened beside it.
        assert {status for status, _, _ in found} == {200}
        assert len({(length, text) for _, length, text in found}) == len({length for _, length, _ in found})
        assert end(begin(address))[0] == 200


def test_a_flood_is_refused_and_whoever_was_let_in_is_answered(model: ServedModel) -> None:
    limits, statuses = Limits(max_streams=2, max_waiting=2), list[int]()
    catalog = Catalog([model])
    with served(catalog, limits) as (address, batches):
        together([lambda: statuses.append(end(begin(address, n=2))[0])] * 30)
        assert set(statuses) <= {200, 429} and statuses.count(200) >= 4
        assert until(lambda: is_at_rest(batches, catalog))
        assert end(begin(address))[0] == 200


@pytest.mark.parametrize("method", ["step", "take_in", "start"])
def test_a_model_that_breaks_is_a_500_and_the_next_is_answered(
    model: ServedModel, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = threading.Event()
    works = getattr(TransformerRows, method)

    def breaking(*arguments: Any) -> torch.Tensor:
        if is_broken.is_set() and threading.current_thread().name == "yanmo-batch":
            raise RuntimeError("planned")
        return works(*arguments)

    monkeypatch.setattr(TransformerRows, method, breaking)
    catalog = Catalog([model])
    with served(catalog) as (address, batches):
        is_broken.set()
        for _ in range(2):
            status, content = end(begin(address))
            assert (status, content["error"]["code"]) == (500, "internal_error")
            assert "planned" not in content["error"]["message"]
        is_broken.clear()
        assert end(begin(address))[0] == 200
        assert until(lambda: is_at_rest(batches, catalog))
