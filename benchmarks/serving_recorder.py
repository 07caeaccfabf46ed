"""``yanmo`` that notes when each piece of text leaves the engine.

``python -m benchmarks.serving_recorder FILE serve ...``. A line of FILE is a list of [seed of the request,
monotonic seconds], of pieces that have text.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from yanmo.cli.main import main
from yanmo.generation.batching import Batch, Request
from yanmo.generation.engine import Piece


def record(path: Path) -> None:
    """Note the pieces of all requests that a batch takes from now on, written twice a second."""
    noted: list[tuple[int, float]] = []
    add = Batch.add

    def add_noting(self: Batch, request: Request) -> None:
        seed, take = request.params.seed, request.on_piece

        def take_noting(index: int, piece: Piece) -> None:
            if piece.text:
                noted.append((seed or 0, time.monotonic()))
            take(index, piece)

        add(self, replace(request, on_piece=take_noting))

    def write() -> None:
        with path.open("w") as file:
            while True:
                time.sleep(0.5)
                count = len(noted)
                if count:
                    file.write(json.dumps(noted[:count]) + "\n")
                    file.flush()
                    del noted[:count]

    Batch.add = add_noting  # type: ignore[method-assign]
    threading.Thread(target=write, daemon=True).start()


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    sys.argv = ["yanmo", *sys.argv[2:]]
    sys.exit(main())
