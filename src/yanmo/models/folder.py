"""Transformers in the Hugging Face layout: read from any source of named weights, written as a model folder.

Loading never holds the file and the model at once: the model is laid out without memory, every weight is
found and compared in shape, and only then is memory taken and each weight copied into its place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.models.families import FAMILIES, Family, any_architecture, family_of
from yanmo.models.families.mapping import InterleavedHeads, Layout, Resolver, Same, Weight
from yanmo.models.files.foreign_files import DAMAGED
from yanmo.models.files.quantized import QuantizedWeights
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.files.weights import TensorInfo, WeightSource, equal, fill, require_memory
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.nn.coded_weight import hold_as_codes, make_room
from yanmo.nn.kernels import library
from yanmo.nn.quantization import QuantizedMatrix
from yanmo.reporting.progress import say_once
from yanmo.tokenizers.load import Tokenizer

_MAX_NAMED = 4
# Where the weights of heads have their places in a model.
_HEADS = "heads."
# Layouts that move whole rows alone, which codes of rows follow.
_BY_ROWS = (Same, InterleavedHeads)


def load_transformer(
    config: Mapping[str, Any],
    source: WeightSource,
    *,
    where: Path,
    dtype: torch.dtype = torch.float32,
    bare: bool = False,
    in_codes: bool = False,
) -> Transformer:
    """Build the model that a config.json asks for, with the weights of a source.

    Args:
        config: content of config.json.
        source: the weights by the names of the family's checkpoints.
        where: file that the config came from, for messages.
        dtype: type of the weights in memory.
        bare: leave the heads out, whichever the file names and whether or not their weights are there.
        in_codes: hold what a quantised folder has as codes as nothing else, to be read and not written; the
            rest is float32, whatever ``dtype`` says. Without kernels they are numbers all the same.

    Raises:
        InputError: the family is unknown, the weights are missing, damaged or do not fit, or memory is short.
            An encoder whose head's weights are missing is loaded without that head, and one line says so.
    """
    config = any_architecture(config) if bare else config
    family = family_of(config, where=where)
    ours = family.read_config(config, where=where)
    ours = ours if bare else _tied_as_the_file_is(family, ours, source)
    # A bare encoder is often published under the name of a class with a head.
    known, headless = _find_weights(family, ours, source, heads_may_miss=bare or ours.decoder is None)
    kept = () if bare else tuple(head for head in ours.heads if head.kind not in headless)
    if not bare:
        _say_headless(headless, source)
    ours = dataclasses.replace(ours, heads=kept)
    kinds = [None, *(head.kind for head in kept)]
    found = [(weight, names) for weight, names in known if _head_of(weight) in kinds]
    coded = _coded(found, source) if in_codes else {}
    model = _lay_out(ours, where).to(torch.float32 if coded else dtype)
    _check_shapes(model, found, source)
    _require_memory(model, coded, found, source)
    make_room(model, coded)
    for weight, names in found:
        if weight.ours in coded:
            hold_as_codes(model, weight.ours, coded[weight.ours]())
            source.release()
            continue
        if not names:
            assert weight.default is not None
            model.get_parameter(weight.ours).data.fill_(weight.default)
            continue
        for part, target in enumerate(_targets(model, weight, len(names))):
            tensor = weight.layout_of(part).ours(source.read(names[part]))
            fill(target, tensor.view(target.shape), source)
    _say_unused(family, known, source)
    return model.eval()


class CheckpointWeights:
    """A model's weights under the names, and in the layout, of a family's checkpoints; a ``WeightSource``."""

    def __init__(
        self,
        model: Transformer,
        model_type: str,
        *,
        dtype: torch.dtype,
        weights: Mapping[str, Tensor] | None = None,
        path: Path | None = None,
    ) -> None:
        """Nothing is computed yet.

        Args:
            model: gives the config, and the weights where no others are given.
            model_type: of config.json.
            dtype: type that the weights are given in.
            weights: by our names, any float type.
            path: where the model came from, for messages.
        """
        self.path = path or Path()
        self._model, self._dtype = model, dtype
        self._ours = dict(model.named_parameters()) if weights is None else weights
        self._places: dict[str, tuple[Weight, int]] = {}
        for weight in FAMILIES[model_type].weights(model.config):
            places = {name: (weight, part) for part, name in enumerate(weight.theirs)}
            self._places |= places | dict.fromkeys(weight.copies, (weight, 0))

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by the names of the family's checkpoints."""
        return {name: self._info(name) for name in self._places}

    def read(self, name: str) -> Tensor:
        """One tensor."""
        weight, part = self._places[name]
        ours = self._ours[weight.ours].detach()
        piece = _split(self._model, weight, len(weight.theirs), ours)[part]
        tensor = weight.layout_of(part).theirs(piece).to(self._dtype).contiguous()
        if self._dtype is torch.float16 and tensor.isinf().any() and not piece.isinf().any():
            raise InputError(
                f"weight {name} is beyond the range of float16",
                where=self.path,
                remedy="store it as bf16 or f32",
            )
        # A file leaves out what is the same memory as another tensor, and a copy is wanted.
        return tensor.clone() if name in weight.copies else tensor

    def ours(self, name: str) -> str:
        """Our name of the weight that a tensor is, or is a part of."""
        return self._places[name][0].ours

    def release(self) -> None:
        """Nothing is held."""

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors, one at a time."""
        return ((name, self.read(name)) for name in self._places)

    def _info(self, name: str) -> TensorInfo:
        weight, part = self._places[name]
        ours = torch.empty_like(self._ours[weight.ours], device="meta")
        piece = _split(self._model, weight, len(weight.theirs), ours)[part]
        piece = weight.layout_of(part).theirs(piece)
        return TensorInfo(tuple(piece.shape), self._dtype, piece.numel() * self._dtype.itemsize)


def save_model(
    folder: Path,
    model: Transformer,
    weights: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype,
    details: Mapping[str, Any],
    card: str,
    model_type: str = "qwen3",
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a language model of ours as a folder, whole, replacing one that is there.

    Args:
        folder: where to.
        model: gives the sizes.
        weights: by our names, any float type.
        tokenizer: saved beside the weights.
        dtype: type of the weights in the file.
        details: what made the model, for the manifest.
        card: the model card, Markdown.
        model_type: family that it is written as.
        settings: what config.json says beside the sizes, by the family's names.
    """
    end_ids = [tokenizer.eos_id, *([tokenizer.im_end_id] if tokenizer.im_end_id is not None else [])]
    ids = {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
    }
    if model.config.shape == "encoder-decoder":
        ids["decoder_start_token_id"] = tokenizer.pad_id
    theirs = FAMILIES[model_type].write_config(model.config, model_type=model_type)
    first_and_last = {"cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    ids |= {name: token_id for name, token_id in first_and_last.items() if name in theirs}
    dtype_name = str(dtype).removeprefix("torch.")
    generation = {**ids, "eos_token_id": end_ids, "do_sample": True, "temperature": 0.8, "top_p": 0.95}
    with artifact.new_folder(folder, kind="model", details=details) as temporary:
        write_safetensors(temporary, CheckpointWeights(model, model_type, weights=weights, dtype=dtype))
        artifact.write_json(temporary / "config.json", {**theirs, **ids, **settings, "dtype": dtype_name})
        if model.config.decoder is not None:
            artifact.write_json(temporary / "generation_config.json", generation)
        token_types = model.config.last_stack.input.num_token_types > 0
        tokenizer.save(temporary, max_seq_len=model.config.max_seq_len, token_types=token_types)
        artifact.write_bytes(temporary / "README.md", card.encode())


Found = list[tuple[Weight, tuple[str, ...]]]


def _find_weights(
    family: Family, config: TransformerConfig, source: WeightSource, *, heads_may_miss: bool
) -> tuple[Found, dict[str, str]]:
    """Names of all weights in the file, before anything is built: a config may claim any size.

    Returns:
        What was found, and the heads of which a weight is missing, with its name.
    """
    resolver = Resolver(source.tensors, family.PREFIX)
    found: Found = []
    headless: dict[str, str] = {}
    for weight in family.weights(config):
        names, head = resolver.find(weight), _head_of(weight)
        if names is not None or weight.default is not None:
            found.append((weight, names or ()))
            continue
        missing = ", ".join(weight.theirs[:_MAX_NAMED])
        if head is None or not heads_may_miss:
            raise InputError(f"weight {missing} is missing", where=source.path, remedy=DAMAGED)
        headless.setdefault(head, missing)
    return found, headless


def _head_of(weight: Weight) -> str | None:
    """The kind of the head that a weight belongs to, or None."""
    return weight.ours.split(".")[1] if weight.ours.startswith(_HEADS) else None


def _say_headless(headless: Mapping[str, str], source: WeightSource) -> None:
    for head, missing in headless.items():
        say_once(f"{source.path}: weight {missing} is missing; the model is loaded without its {head} head")


def _tied_as_the_file_is(
    family: Family, config: TransformerConfig, source: WeightSource
) -> TransformerConfig:
    """The same config; a head is untied whose matrix stands in the file and is not the embedding.

    A config may say that they are one where training kept them apart (transformers sees to it too).
    """
    untied = tuple(dataclasses.replace(head, tied=False) for head in config.heads)
    if untied == config.heads:
        return config
    resolver = Resolver(source.tensors, family.PREFIX)
    found: dict[str, tuple[str, ...] | None] = {}
    for weight in family.weights(dataclasses.replace(config, heads=untied)):
        found[weight.ours] = resolver.find(weight)
        if found[weight.ours] is None and weight.default is None and _head_of(weight) is None:
            return config  # it cannot be loaded anyway, and may claim any size
    heads = []
    for head, alone in zip(config.heads, untied, strict=True):
        output = found.get(f"{_HEADS}{head.kind.value}.output.weight")
        embedding = found["embedding.weight"]
        if not head.tied or not output or not embedding or equal(source, output[0], embedding[0]):
            heads.append(head)
            continue
        say_once(f"{source.path}: {output[0]} is not the embedding, whatever config.json says; kept apart")
        heads.append(alone)
    return dataclasses.replace(config, heads=tuple(heads))


def _coded(found: Found, source: WeightSource) -> dict[str, Callable[[], QuantizedMatrix]]:
    """How to read the matrices that can be held as codes, by our names."""
    if not isinstance(source, QuantizedWeights) or not library.has_codes():
        return {}
    coded: dict[str, Callable[[], QuantizedMatrix]] = {}
    for weight, names in found:
        layouts = [weight.layout_of(part) for part in range(len(names))]
        bits = {source.bits(name) for name in names}
        # Experts are several matrices in one tensor of three dimensions.
        if not weight.ours.endswith(".weight") or len(bits) != 1 or None in bits:
            continue
        if all(isinstance(layout, _BY_ROWS) for layout in layouts):
            coded[weight.ours] = functools.partial(_joined, source, names, layouts)
    return coded


def _joined(source: QuantizedWeights, names: Sequence[str], layouts: Sequence[Layout]) -> QuantizedMatrix:
    parts = [source.matrix(name) for name in names]
    ours = [
        (layout.ours(part.codes), layout.ours(part.scales_RS))
        for part, layout in zip(parts, layouts, strict=True)
        if part is not None
    ]
    return QuantizedMatrix(
        codes=torch.cat([one for one, _ in ours]), scales_RS=torch.cat([two for _, two in ours])
    )


def _require_memory(model: Transformer, coded: Container[str], found: Found, source: WeightSource) -> None:
    numbers = {name: weight for name, weight in model.named_parameters() if name not in coded}
    num_bytes = sum(weight.nbytes for weight in numbers.values())
    dtype = next(model.parameters()).dtype
    if isinstance(source, QuantizedWeights):
        num_bytes += sum(
            source.stored_bytes(name) for weight, names in found if weight.ours in coded for name in names
        )
    what = "the model in codes" if coded else f"the model in {str(dtype).removeprefix('torch.')}"
    require_memory(num_bytes, what=what, where=source.path)


def _lay_out(config: TransformerConfig, where: Path) -> Transformer:
    try:
        with torch.device("meta"):
            return Transformer(config, draw=False)
    except (RuntimeError, OverflowError, TypeError):  # sizes whose product is no number of bytes
        raise InputError("asks for a model of impossible size", where=where, remedy=DAMAGED) from None


def _check_shapes(model: Transformer, found: Found, source: WeightSource) -> None:
    for weight, names in found:
        if not names:
            continue
        for part, target in enumerate(_targets(model, weight, len(names))):
            name = names[part]
            info = source.tensors[name]
            # Layouts turn matrices and reorder rows; which of the two sizes is which shows here.
            try:
                theirs = torch.empty(info.shape, device="meta", dtype=info.dtype)
                shape = weight.layout_of(part).ours(theirs).shape
            except (RuntimeError, IndexError):
                shape = torch.Size()
            if shape.numel() != target.numel() or (shape[-1:] != target.shape[-1:]):
                wanted = f"{tuple(info.shape)}, which is not that of {weight.ours} {tuple(target.shape)}"
                raise InputError(f"weight {name} has shape {wanted}", where=source.path, remedy=DAMAGED)
            if not info.dtype.is_floating_point:
                kind = str(info.dtype).removeprefix("torch.")
                raise InputError(f"weight {name} is {kind}, not a float type", where=source.path)
    filled = [weight.ours for weight, _ in found]
    expected = [name for name, _ in model.named_parameters()]
    assert sorted(filled) == sorted(expected), set(expected) ^ set(filled)


def _targets(model: Transformer, weight: Weight, count: int) -> tuple[Tensor, ...]:
    return _split(model, weight, count, model.get_parameter(weight.ours).data)


def _split(model: Transformer, weight: Weight, count: int, value: Tensor) -> tuple[Tensor, ...]:
    """The stretches of one of our weights that a checkpoint keeps apart."""
    if count == 1:
        return (value,)
    module = model.get_submodule(weight.ours.rpartition(".")[0])
    rows = getattr(module, "parts", None)
    if rows is None:
        # Experts: one tensor here, one or two an expert there.
        value = value.flatten(0, 1)
        rows = [math.ceil(len(value) / count)] * count
    return value.split(list(rows))


def _say_unused(family: Family, found: Found, source: WeightSource) -> None:
    """One line that names weights which the architecture has no place for."""
    used = {name for _, names in found for name in names} | {c for weight, _ in found for c in weight.copies}
    ignored = re.compile("|".join(family.IGNORED) or r"(?!)")
    unused = [name for name in source.tensors if name not in used and not ignored.search(name)]
    if unused:
        more = f" and {len(unused) - _MAX_NAMED} more" if len(unused) > _MAX_NAMED else ""
        say_once(
            f"{source.path}: {len(unused)} weights have no place in this architecture and are not loaded: "
            f"{', '.join(unused[:_MAX_NAMED])}{more}"
        )
