"""Run the benchmarks: ``python -m benchmarks [NAME [ARGUMENTS]]``; all take about half an hour."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "kills",
    "tinyshakespeare",
    "throughput",
    "time_to_loss",
    "mutations",
    "llama_cpp",
    "sentence_embeddings",
)
ONLY_BY_NAME = (
    "scaling",
    "road",
    "held_out",
    "planner",
    "masked",
    "from_scratch",
    "corpus",
    "cleaning",
    "duplicates",
    "personal_data",
    "decontamination",
    "hostile_files",
    "languages",
    "quality",
    "tokenizers",
    "score_intervals",
    "task_files",
    "lm_eval",
    "cleaned_corpus",
    "finetuning",
    "finetuning_methods",
    "finetuning_speed",
    "translation",
    "quantization",
    "decoding",
    "page",
    "serving_load",
)


def main() -> None:
    """Run the named benchmarks, or all."""
    for name in sys.argv[1:2] or NAMES:
        if name not in (*NAMES, *ONLY_BY_NAME):
            sys.exit(f"no benchmark {name!r}; there are {', '.join((*NAMES, *ONLY_BY_NAME))}")
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
