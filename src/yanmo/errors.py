"""Errors that a user can act on, each with the exit code that the command line gives it.

Every message is one line: what is wrong, where (file, line, field), and what to do.
Our own bugs stay ``AssertionError`` or whatever Python raises.
"""

from __future__ import annotations


class YanmoError(Exception):
    """Something failed that is not the user's doing (disk, memory, a damaged file)."""

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, remedy: str = "") -> None:
        """Join the parts into one line.

        Args:
            what: what is wrong.
            where: path, line or field it was found at.
            remedy: what the user can do about it.
        """
        self.what, self.where, self.remedy = what, where, remedy
        message = what if where is None else f"{where}: {what}"
        super().__init__(f"{message} ({remedy})" if remedy else message)


class InputError(YanmoError, ValueError):
    """Wrong use or bad input: exit code 2."""

    exit_code = 2


class TrainingDiverged(YanmoError):
    """Training stopped because the loss would not converge; the last good checkpoint is kept."""

    exit_code = 17


class Interrupted(YanmoError):
    """A signal asked the work to stop; what was done is saved and the same command resumes it."""

    def __init__(self, what: str, *, exit_code: int, where: object = None, remedy: str = "") -> None:
        """As the base class; ``exit_code`` is 130 (SIGINT) or 143 (SIGTERM)."""
        super().__init__(what, where=where, remedy=remedy)
        self.exit_code = exit_code
