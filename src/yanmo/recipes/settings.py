"""What decides a pretraining run, and how a run's folder remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from yanmo.config import to_mapping
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models.checkpoint import sha256_of_model
from yanmo.models.files.hf_folder import find_model
from yanmo.planning.candidate import Wishes
from yanmo.planning.shapes import ShapeName

ObjectiveName = Literal["causal", "masked", "denoising"]

OBJECTIVE_OF: Mapping[ShapeName, ObjectiveName] = {
    "decoder": "causal",
    "lstm": "causal",
    "encoder": "masked",
    "encoder-decoder": "denoising",
}
# Settings that change how a run goes on a machine and not what comes of it.
_NOT_RECORDED = ("checkpoint_every_s", "device", "parallelism", "tensorboard", "profile")


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """What decides a pretraining run."""

    budget_s: float | None = None
    """Wall time of the whole command."""
    shape: ShapeName | None = None
    """None is that of ``model``, or else a decoder."""
    objective: ObjectiveName | None = None
    """None is the one of the shape: causal, masked, denoising."""
    mask_share: float | None = None
    """Share of the tokens that the masked and the denoising objective hide; None is the objective's own."""
    whole_words: bool = False
    """Hide whole words (masked)."""
    denoisers: Literal["spans", "ul2"] = "spans"
    """What is taken out of a text (denoising): short spans, or the mixture of UL2."""
    next_sentence: bool = False
    """Predict too whether one text follows on another (masked)."""
    model: Path | None = None
    """A model to go on from; its tokenizer and sizes are kept."""
    replay: Path | None = None
    """A corpus of text that the model has seen, mixed in against forgetting."""
    replay_share: float = 0.1
    """Share of the rows of each step that come from ``replay``."""
    vocab_size: int | None = None
    tokenizer: Path | None = None
    """A tokenizer folder to use instead of training one."""
    seed: int = 0
    micro_batch_size: int | None = None
    """Rows whose gradients are computed at once; those of a step are summed. All of them where None."""
    checkpoint_every_s: float = 30.0
    device: str = "auto"
    """As of ``choose_device``."""
    parallelism: Literal["replicated", "sharded"] = "replicated"
    """What each of several processes holds of the model: all of it, or a part."""
    tensorboard: bool = False
    """Write TensorBoard events too."""
    profile: bool = False
    """Say before training where the time of a step goes."""
    wishes: Wishes = field(default_factory=Wishes)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        shape = self.shape or ("decoder" if self.model is None else None)
        if shape is not None:
            require_pair(shape, self.objective)
            self.require_objective(OBJECTIVE_OF[shape])
        if self.mask_share is not None and not 0.0 < self.mask_share < 1.0:
            raise InputError(f"--mask-share must be above 0 and below 1, not {self.mask_share:g}")
        if not 0.0 < self.replay_share < 1.0:
            raise InputError(f"--replay-share must be above 0 and below 1, not {self.replay_share:g}")
        if self.replay is not None and self.model is None:
            raise InputError(
                "--replay is against forgetting and needs a --model that has learned something",
                remedy="give --model START, or leave --replay out",
            )
        if self.model is not None and self.parallelism == "sharded":
            raise InputError(
                "--parallelism sharded cannot go on from a --model",
                remedy="leave --parallelism out: each process then holds the whole model",
            )
        self._require_ranges()
        self._require_fresh_sizes()

    def require_objective(self, objective: ObjectiveName) -> None:
        """Refuse settings that say nothing to an objective.

        Raises:
            InputError: there are some.
        """
        flags = {
            "--mask-share": self.mask_share is not None and objective == "causal",
            "--denoisers": self.denoisers != "spans" and objective != "denoising",
            "--split-share": self.wishes.split_share is not None and objective != "causal",
            "--whole-words": self.whole_words and objective != "masked",
            "--next-sentence": self.next_sentence and objective != "masked",
        }
        if wrong := [flag for flag, is_wrong in flags.items() if is_wrong]:
            raise InputError(
                f"{', '.join(wrong)} is not for the {objective} objective", remedy="leave it out"
            )

    def _require_ranges(self) -> None:
        wishes = self.wishes
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")
        for name in ("dropout", "split_share"):
            share = getattr(wishes, name)
            if share is not None and not 0.0 <= share < 1.0:
                raise InputError(f"--{name.replace('_', '-')} must be at least 0 and below 1, not {share:g}")

    def _require_fresh_sizes(self) -> None:
        if self.model is None:
            return
        fixed = {
            "--num-layers": self.wishes.num_layers,
            "--d-model": self.wishes.d_model,
            "--vocab-size": self.vocab_size,
            "--tokenizer": self.tokenizer,
        }
        if given := [flag for flag, value in fixed.items() if value is not None]:
            raise InputError(
                f"{', '.join(given)} cannot be chosen with --model", remedy="the model's own is kept"
            )


def require_pair(shape: ShapeName, objective: ObjectiveName | None) -> None:
    """Refuse an objective that is not for a shape.

    Raises:
        InputError: it is not.
    """
    if objective not in (None, OBJECTIVE_OF[shape]):
        shapes = " and ".join(name for name, own in OBJECTIVE_OF.items() if own == objective)
        raise InputError(
            f"the {objective} objective is not for shape {shape}",
            remedy=f"{shape} goes with {OBJECTIVE_OF[shape]}; {objective} with {shapes}",
        )


def recorded(corpus: Corpus, settings: PretrainSettings) -> dict[str, Any]:
    """What run.toml says: everything that decides the result, as plain values."""
    plain = to_mapping(settings)
    for name in _NOT_RECORDED:
        del plain[name]
    plain |= _named(settings)
    if settings.model is not None:
        path = find_model(settings.model)
        plain |= {"model": str(path.resolve()), "model_sha256": sha256_of_model(path)}
    if settings.replay is None:
        del plain["replay_share"]
    else:
        old = Corpus.open(settings.replay)
        plain |= {"replay": str(old.path.resolve()), "replay_sha256": old.sha256}
    return {
        "command": "pretrain",
        "corpus": str(corpus.path.resolve()),
        "corpus_sha256": corpus.sha256,
        **plain,
    }


def recorded_before() -> dict[str, Any]:
    """What a run.toml means that names no shape: there was one of it, and of objectives."""
    defaults = PretrainSettings()
    plain = to_mapping(defaults) | _named(defaults)
    return {name: plain[name] for name in ("shape", "objective", "denoisers", "whole_words", "next_sentence")}


def _named(settings: PretrainSettings) -> dict[str, str]:
    shape = settings.shape or ("decoder" if settings.model is None else None)
    own = "the model's"
    return {
        "shape": shape or own,
        "objective": settings.objective or (own if shape is None else OBJECTIVE_OF[shape]),
    }
