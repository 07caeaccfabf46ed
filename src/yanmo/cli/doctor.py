"""``yanmo doctor``: what this machine can do, what is missing, how to mend it."""

from __future__ import annotations

from yanmo.cli.output import Json, emit


def doctor(*, json: Json = False) -> None:
    """Say what this machine can do, what is missing, and how to mend it."""
    from yanmo.planning.doctor import doctor as diagnose

    diagnosis = diagnose()
    emit(diagnosis.to_json(), diagnosis.to_text(), as_json=json)
