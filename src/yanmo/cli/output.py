"""What every verb prints: data to stdout, messages to stderr, one JSON object with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from yanmo.runtime import is_first_process

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout.")]
Seed = Annotated[int, Parameter(name="--seed", validator=Number(gte=0), help="Seed of everything random.")]
Force = Annotated[bool, Parameter(name="--force", negative="", help="Replace what is there.")]
DryRun = Annotated[bool, Parameter(name="--dry-run", negative="", help="Say what would be done, and stop.")]


def emit(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a verb's result: the JSON object on one line, or the text for people; once, if several work."""
    if not is_first_process():
        return
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str))
    else:
        print(text)
    sys.stdout.flush()
