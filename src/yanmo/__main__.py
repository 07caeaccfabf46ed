"""``python -m yanmo``, and ``torchrun -m yanmo``: the command line."""

from __future__ import annotations

from yanmo.cli.main import main

if __name__ == "__main__":
    main()
