"""``yanmo serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.models import Dtype, Model, torch_dtype
from yanmo.cli.output import Json, emit
from yanmo.errors import InputError

Port = Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")]
Host = Annotated[str, Parameter(help="Address to listen on; other than loopback needs a key.")]
KeyFile = Annotated[Path | None, Parameter(help="File with the key that requests must bring.")]
RunsDir = Annotated[Path, Parameter(help="Folder of the training runs that the page shows.")]

Memory = Annotated[
    str | None,
    Parameter(
        help="What the models in memory and their answers' keys and values may need together, such as "
        "4G; the model that was asked longest ago goes first. Most of what is free if not given."
    ),
]
LogPrompts = Annotated[bool, Parameter(negative="", help="Write what is asked to the log, in full.")]
Streams = Annotated[int, Parameter(help="Answers that go on together, a token each in every step.")]


def serve(
    *models: Model,
    port: Port = 8000,
    host: Host = "127.0.0.1",
    api_key_file: KeyFile = None,
    runs_dir: RunsDir = Path("runs"),
    dtype: Dtype = "float32",
    memory: Memory = None,
    streams: Streams = 16,
    log_prompts: LogPrompts = False,
    json: Json = False,
) -> None:
    """Serve models to OpenAI's clients, and to people as a web page, until Ctrl-C."""
    from yanmo.config import parse_size_bytes
    from yanmo.serving import app
    from yanmo.serving.limits import Limits

    if streams < 1:
        raise InputError(f"--streams cannot be {streams}", remedy="choose 1 or more")
    app.serve(
        models,
        port=port,
        host=host,
        api_key_file=api_key_file,
        runs_dir=runs_dir,
        dtype=torch_dtype(dtype),
        limits=Limits(max_streams=streams),
        memory_bytes=None if memory is None else parse_size_bytes(memory),
        log_prompts=log_prompts,
        on_ready=(lambda url: emit({"url": url}, url, as_json=True)) if json else None,
    )
