"""A model for a vocabulary with new tokens: each new row begins as the mean of the rows of its pieces.

Fast vocabulary transfer: Gee, Zugarini, Rigutini and Torroni 2022 (arXiv 2402.09977, section 3), for the
embedding, and for the output matrix and its bias where these are the model's own. A new token's score is
then the mean of its pieces' scores, which is never above the highest of them: text without new tokens is
read as before, and the likeliest next token is the one that it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo.artifact import claim, new_folder, write_json
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models import lstm
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import answer, merged_config, probe_tokens, stored_dtype
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.heads import HeadConfig
from yanmo.models.ngram import model as ngram
from yanmo.models.registry import check_vocabularies
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.comparison import held_out_texts
from yanmo.tokenizers.extension import ExtendedTokenizer, check_unchanged, extend_tokenizer
from yanmo.tokenizers.folder import SLOW_FILES, TokenizerFolder, read_folder
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.train import TrainingTexts, bytes_per_token

# Pairs of neighbouring tokens are counted in memory.
_MAX_TRAINING_BYTES = 8 * 2**20
_STALE_FILES = (*SLOW_FILES, "merges.txt")


@dataclass(frozen=True, kw_only=True)
class ExtensionSummary:
    """What an extension gave.

    Attributes:
        path: the tokenizer or model folder.
        num_added: new tokens.
        vocab_size: ids in all.
        bytes_per_token: UTF-8 bytes of held-out text per token.
        bytes_per_token_before: the same of the tokenizer that was extended.
        model: whether a model was extended too.
    """

    path: Path
    num_added: int
    vocab_size: int
    bytes_per_token: float
    bytes_per_token_before: float
    model: bool


def extend(
    corpus: Corpus | Path, out: Path, source: str, *, num_new: int, force: bool = False
) -> ExtensionSummary:
    """Extend a tokenizer, and the model beside it where there is one, by tokens that a corpus needs.

    Args:
        corpus: new tokens are learned from its training split.
        out: folder to write; the same command again finds it done.
        source: a tokenizer folder, or a model as everywhere.
        num_new: tokens to add at most.
        force: replace whatever is at ``out``.

    Raises:
        InputError: the tokenizer or the model is of a kind that cannot be extended, the corpus holds nothing
            to be gained, or something else is at ``out``.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    checkpoint, folder, before = _open(source)
    kind, details = _details(corpus, checkpoint, before, num_new)
    if not claim(out, kind=kind, details=details, force=force):
        made = extend_tokenizer(before, folder, TrainingTexts(corpus, _MAX_TRAINING_BYTES), num_new)
        check_unchanged(before, made, held_out_texts(corpus)[1])
        if checkpoint is None:
            with new_folder(out, kind=kind, details=details) as temporary:
                made.tokenizer.save(temporary)
        else:
            _write_model(checkpoint, before, made, out, details)
    after = Tokenizer.load(out)
    texts = held_out_texts(corpus)[1]
    return ExtensionSummary(
        path=out,
        num_added=after.vocab_size - before.vocab_size,
        vocab_size=after.vocab_size,
        bytes_per_token=bytes_per_token(after, texts),
        bytes_per_token_before=bytes_per_token(before, texts),
        model=checkpoint is not None,
    )


def survey_extension(
    corpus: Corpus | Path, out: Path, source: str, *, num_new: int, force: bool = False
) -> dict[str, Any]:
    """What ``extend`` would do with the same arguments; writes nothing.

    Returns:
        ``is_done`` (the same extension is there already), ``vocab_size`` of the source, ``model`` (whether
        one would be extended too) and ``path``.

    Raises:
        InputError: as ``extend``, as far as it shows without reading the corpus.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    checkpoint, _, before = _open(source)
    kind, details = _details(corpus, checkpoint, before, num_new)
    is_done = claim(out, kind=kind, details=details, force=force)
    is_model = checkpoint is not None
    return {"is_done": is_done, "vocab_size": before.vocab_size, "model": is_model, "path": str(out)}


def extend_weights(
    model: Transformer, pieces: Sequence[Sequence[int]], first_id: int
) -> tuple[TransformerConfig, dict[str, Tensor]]:
    """The config and the weights of a model with rows for new tokens.

    Args:
        model: its rows from ``first_id`` on, which many models have to spare, are written over.
        pieces: old ids of each new token, in the order of their new ids.
        first_id: id of the first.

    Returns:
        The config, and all weights by our names; only those with a row a token are new tensors.
    """
    size = model.vocab_size
    num_rows = max(size, first_id + len(pieces))
    heads = [head for head in model.config.heads if _gives_tokens(head, size)]
    names = {"embedding.weight"}
    names |= {f"heads.{head.kind.value}.{name}" for head in heads for name in ("output.weight", "bias")}
    weights = {
        name: _with_rows(weight.data, pieces, first_id, num_rows) if name in names else weight.data
        for name, weight in model.named_parameters()
    }
    resized = tuple(
        dataclasses.replace(head, num_outputs=num_rows) if head in heads else head
        for head in model.config.heads
    )
    return dataclasses.replace(model.config, vocab_size=num_rows, heads=resized), weights


def _with_rows(old_VX: Tensor, pieces: Sequence[Sequence[int]], first_id: int, num_rows: int) -> Tensor:
    """The rows, and for each new token the mean of its pieces'; a row between the two is the mean of all."""
    known = old_VX[:first_id].float()
    new_VX = old_VX.new_empty((num_rows, *old_VX.shape[1:]))
    new_VX[: len(old_VX)] = old_VX
    new_VX[len(old_VX) :] = known.mean(0).to(old_VX.dtype)
    for token_id, parts in enumerate(pieces, start=first_id):
        new_VX[token_id] = known[list(parts)].mean(0).to(old_VX.dtype)
    return new_VX


def _gives_tokens(head: HeadConfig, vocab_size: int) -> bool:
    return head.tied or (head.kind.value.endswith("_lm") and head.num_outputs == vocab_size)


def _open(source: str) -> tuple[Checkpoint | None, TokenizerFolder, Tokenizer]:
    folder = Path(source)
    is_model = not folder.is_dir() or (folder / CONFIG_FILE).is_file() or (folder / "model").is_dir()
    if not is_model:
        return None, read_folder(folder), Tokenizer.load(folder)
    checkpoint = Checkpoint.open(source)
    if checkpoint.model_type in (ngram.MODEL_TYPE, lstm.MODEL_TYPE):
        what = f"a {checkpoint.model_type} cannot be extended"
        raise InputError(what, where=checkpoint.path, remedy="train it anew with the extended tokenizer")
    return checkpoint, checkpoint.tokenizer_folder, checkpoint.tokenizer


def _details(
    corpus: Corpus, checkpoint: Checkpoint | None, before: Tokenizer, num_new: int
) -> tuple[str, dict[str, Any]]:
    details = {"corpus": corpus.sha256, "extended_from": before.sha256, "num_new": num_new}
    return ("tokenizer", details) if checkpoint is None else ("model", details | {"of": checkpoint.name})


def _write_model(
    checkpoint: Checkpoint, before: Tokenizer, made: ExtendedTokenizer, out: Path, details: dict[str, Any]
) -> None:
    """Write the model folder, read it back, and compare what it says to old tokens.

    Raises:
        InputError: the answers differ, or an old id has no row.
    """
    if out.exists() and out.resolve() == checkpoint.path.resolve():
        raise InputError("is the source itself", where=out, remedy="choose another --out")
    model = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
    check_vocabularies(before, model, where=checkpoint.path)
    pieces = [token.pieces for token in made.new]
    config, weights = extend_weights(model, pieces, made.first_id)
    with torch.device("meta"):
        larger = Transformer(config, draw=False)
    stored = stored_dtype(checkpoint)
    named = {"dtype": str(stored).removeprefix("torch.")}
    with new_folder(out, kind="model", details=details) as temporary:
        rows = CheckpointWeights(larger, checkpoint.model_type, dtype=stored, weights=weights)
        write_safetensors(temporary, rows)
        write_json(temporary / CONFIG_FILE, merged_config(checkpoint, larger) | named)
        checkpoint.copy_side_files(temporary)
        # They hold the old vocabulary, which some readers prefer to tokenizer.json.
        for path in (*(temporary / name for name in _STALE_FILES), *temporary.glob("*.spm")):
            path.unlink(missing_ok=True)
        made.tokenizer.save(temporary)
        _compare(model, temporary, made.first_id)


@torch.inference_mode()
def _compare(before: Transformer, folder: Path, first_id: int) -> None:
    written = Checkpoint.open(folder)
    after = load_transformer(written.config, written.source(), where=written.config_path)
    tokens_BT = probe_tokens(min(first_id, before.vocab_size), before.max_seq_len)
    old, new = answer(before, tokens_BT), answer(after, tokens_BT)
    if before.config.heads:
        old, new = old[..., :first_id], new[..., :first_id]
    # Rows of another number may be multiplied in another order.
    if not torch.allclose(old, new, rtol=1e-3, atol=1e-4):
        difference = float((old - new).abs().max())
        raise InputError(f"the extended model answers differently, by {difference:.3g}", where=folder)
