"""What every family of checkpoints must pass against transformers, on tiny random weights, both ways.

Each check gives the largest difference it saw; ``--family-table PATH`` writes them as a table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo.models.families import FAMILIES
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.heads import HeadKind, Select
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments, pack, pack_lists

TOLERANCE = 1e-4
# More threads only wait for each other on models of this size.
torch.set_num_threads(1)
LENGTHS = (9, 9, 4, 13, 1)

# family, shape, what was compared -> largest difference; read by the conftest beside this file.
SEEN: dict[tuple[str, str], dict[str, float]] = {}


def shake(model: Any, *, seed: int = 0, strength: float = 0.2) -> Any:
    """Give every weight a value that matters: fresh models have zero biases and norms of one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            # Sinusoids are kept as a parameter there, but nobody trains them.
            if not weight.requires_grad:
                continue
            weight.add_(torch.randn(weight.shape, generator=generator) * strength)
    return model.eval()


def texts(vocab_size: int, *, lowest: int = 3, seed: int = 0) -> list[list[int]]:
    """Texts of several lengths; two neighbours are equally long. Ids below ``lowest`` may be special."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(lowest, vocab_size, (n,), generator=generator).tolist() for n in LENGTHS]


def pad(rows: Sequence[Sequence[int]], *, value: int, left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and mask of a padded batch."""
    width = max(map(len, rows))
    padded, mask = [], []
    for row in rows:
        filling = [value] * (width - len(row))
        padded.append([*filling, *row] if left else [*row, *filling])
        ones, zeros = [1] * len(row), [0] * len(filling)
        mask.append([*zeros, *ones] if left else [*ones, *zeros])
    return torch.tensor(padded), torch.tensor(mask)


def read(folder: Path) -> Transformer:
    config = json.loads((folder / "config.json").read_text())
    return load_transformer(config, SafetensorsFiles(folder), where=folder / "config.json")


def export(ours: Transformer, model_type: str, folder: Path) -> None:
    """Write a checkpoint from our config and weights alone."""
    folder.mkdir()
    config = FAMILIES[model_type].write_config(ours.config, model_type=model_type)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder, CheckpointWeights(ours, model_type, dtype=torch.float32))


def reload(theirs: Any, folder: Path) -> Any:
    """An exported folder in transformers, which must miss nothing and find nothing it does not know."""
    again, report = type(theirs).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    assert not report["mismatched_keys"], report
    return again.eval()


def differ(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, with a message that shows where the tolerance was passed."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    largest = float((ours.float() - theirs.float()).abs().max())
    assert largest < TOLERANCE, f"{largest} is above {TOLERANCE}"
    return largest


def note(model_type: str, shape: str, **seen: float) -> None:
    """Remember the largest difference of each comparison."""
    kept = SEEN.setdefault((model_type, shape), {})
    for name, value in seen.items():
        kept[name] = max(value, kept.get(name, 0.0))


@torch.no_grad()
def check_decoder(theirs: Any, tmp_path: Path, *, steps: int = 20) -> Transformer:
    """Logits, padding, packing, cache, greedy text and export of a causal language model."""
    shake(theirs).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    model_type, vocab_size = theirs.config.model_type, theirs.config.vocab_size
    rows = texts(vocab_size)
    alone = [theirs(torch.tensor([row])).logits[0] for row in rows]
    assert max(float(logits.std()) for logits in alone) > 0.05, "the logits say nothing"

    seen = {"logits": max(differ(ours(torch.tensor([r]))[0], a) for r, a in zip(rows, alone, strict=True))}
    packed, segments = pack_lists(rows)
    seen["packed"] = differ(ours(packed, segments=segments)[0], torch.cat(alone))
    for left in (False, True):
        tokens, mask = pad(rows, value=0, left=left)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        padded = theirs(tokens, attention_mask=mask, position_ids=positions).logits[mask.bool()]
        packed, segments = pack(tokens, mask)
        seen["padded"] = differ(ours(packed, segments=segments)[0], padded)
    session, longest = ours.start(2), torch.tensor([rows[0], rows[1]])
    stepped = [session.extend(longest[:, :3]), *(session.extend(longest[:, t : t + 1]) for t in range(3, 9))]
    both = torch.stack([alone[0][2:], alone[1][2:]])
    seen["cache"] = differ(torch.stack(stepped, 1), both)

    prompt = torch.tensor([rows[3]])
    generated = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=steps, do_sample=False, eos_token_id=-1
    )
    assert greedy(ours, prompt, steps) == generated[0, prompt.shape[1] :].tolist()

    changed = shake(read(tmp_path / "theirs"), seed=1)
    export(changed, model_type, tmp_path / "ours")
    again = reload(theirs, tmp_path / "ours")
    seen["export"] = differ(again(packed := longest).logits, changed(packed))
    note(model_type, "decoder", **seen)
    return ours


def greedy(ours: Transformer, prompt: Tensor, steps: int, **start: Any) -> list[int]:
    """The likeliest continuation, with the cache."""
    session = ours.start(1, **start)
    scores, tokens = session.extend(prompt), []
    for _ in range(steps):
        tokens.append(int(scores.argmax()))
        scores = session.extend(torch.tensor([[tokens[-1]]]))
    return tokens


@torch.no_grad()
def check_encoder(
    theirs: Any,
    tmp_path: Path,
    *,
    answers: dict[HeadKind | None, str],
    types: bool = False,
    lowest: int = 3,
) -> Transformer:
    """Hidden states and heads, alone, padded and packed, and export of a model that answers at once.

    Args:
        theirs: a model of transformers.
        tmp_path: where to write.
        answers: our head (None: the hidden states) to the field of their output.
        types: whether token types are given.
        lowest: ids below it may be special.
    """
    shake(theirs).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    model_type = theirs.config.model_type
    rows = texts(theirs.config.vocab_size, lowest=lowest)
    changed = shake(read(tmp_path / "theirs"), seed=1)
    export(changed, model_type, tmp_path / "ours")
    again = reload(theirs, tmp_path / "ours")
    seen: dict[str, float] = {}
    for head, field in answers.items():
        for name, mine, reference in (("logits", ours, theirs), ("export", changed, again)):
            seen[name] = max(seen.get(name, 0.0), _alone(mine, reference, rows, head, field, types))
        for left in (False, True):
            if left and types:
                continue
            seen["padded"] = max(
                seen.get("padded", 0.0), _padded(ours, theirs, rows, head, field, types, left)
            )
        packed, segments = pack_lists(rows)
        alone = [_answer(ours, torch.tensor([row]), None, head, None) for row in rows]
        together = _answer(ours, packed, segments, head, None)
        joined = torch.cat(alone) if together.ndim == 2 else torch.cat(alone, 1)
        seen["packed"] = max(seen.get("packed", 0.0), differ(together, joined))
    note(model_type, ours.config.shape, **seen)
    return ours


def _answer(
    ours: Transformer, tokens: Tensor, segments: Segments | None, head: HeadKind | None, types: Tensor | None
) -> Tensor:
    if head is None:
        return ours.hidden(tokens, segments=segments, types_BT=types)
    return ours(tokens, segments=segments, types_BT=types, head=head)


def _types(tokens: Tensor) -> Tensor:
    return (torch.arange(tokens.shape[1]) >= tokens.shape[1] // 2).long().expand_as(tokens)


def _theirs(reference: Any, field: str, **inputs: Any) -> Tensor:
    output = reference(**inputs)
    if field == "span":
        return torch.stack((output.start_logits, output.end_logits), -1)
    value: Tensor = output[field]
    return value


def _alone(
    mine: Transformer, reference: Any, rows: list[list[int]], head: HeadKind | None, field: str, types: bool
) -> float:
    largest = 0.0
    for row in rows:
        tokens = torch.tensor([row])
        kinds = {"token_type_ids": _types(tokens)} if types else {}
        expected = _theirs(reference, field, input_ids=tokens, **kinds)
        given = _answer(mine, tokens, None, head, kinds.get("token_type_ids"))
        largest = max(largest, differ(given.squeeze(-1) if given.ndim > expected.ndim else given, expected))
    return largest


def _padded(
    ours: Transformer,
    theirs: Any,
    rows: list[list[int]],
    head: HeadKind | None,
    field: str,
    types: bool,
    left: bool,
) -> float:
    tokens, mask = pad(rows, value=theirs.config.pad_token_id or 0, left=left)
    if left and not _left_padding_works(theirs, ours, head):
        return 0.0
    kinds = {"token_type_ids": _types(tokens)} if types else {}
    expected = _theirs(theirs, field, input_ids=tokens, attention_mask=mask, **kinds)
    packed, segments = pack(tokens, mask)
    packed_types = _types(tokens)[mask.bool()].unsqueeze(0) if types else None
    given = _answer(ours, packed, segments, head, packed_types)
    if expected.shape[:2] == mask.shape:
        expected = expected[mask.bool()]
        given = given[0].squeeze(-1) if given.ndim - 1 > expected.ndim else given[0]
    return differ(given, expected)


def _left_padding_works(theirs: Any, ours: Transformer, head: HeadKind | None) -> bool:
    """Some encoders count positions from a row's first place, and some heads read it."""
    if head is not None and ours.head(head).config.select is Select.FIRST:
        return False
    return theirs.config.model_type in ("modernbert", "roberta", "xlm-roberta")


@torch.no_grad()
def check_seq2seq(theirs: Any, tmp_path: Path, *, steps: int = 15, lowest: int = 3) -> Transformer:
    """Logits, padding, packing, cache, greedy text and export of an encoder-decoder."""
    shake(theirs, strength=0.1).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    config = theirs.config
    sources = texts(config.vocab_size, lowest=lowest)
    targets = [row[::-1] for row in texts(config.vocab_size, lowest=lowest, seed=1)]
    targets = [*targets[2:], *targets[:2]]

    def answer(source: list[int], target: list[int]) -> Tensor:
        output = theirs(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target]))
        logits: Tensor = output.logits[0]
        return logits

    alone = [answer(*pair) for pair in zip(sources, targets, strict=True)]
    assert max(float(logits.std()) for logits in alone) > 0.05, "the logits say nothing"
    seen: dict[str, float] = {}
    for source, target, expected in zip(sources, targets, alone, strict=True):
        memory = ours.encode(torch.tensor([source]))
        difference = differ(ours(torch.tensor([target]), memory=memory)[0], expected)
        seen["logits"] = max(seen.get("logits", 0.0), difference)
    packed, segments = pack_lists(sources)
    memory = ours.encode(packed, segments=segments)
    packed_targets, target_segments = pack_lists(targets)
    together = ours(packed_targets, segments=target_segments, memory=memory)[0]
    seen["packed"] = differ(together, torch.cat(alone))

    tokens, mask = pad(sources, value=config.pad_token_id or 0, left=False)
    first = torch.tensor([target[:1] for target in targets])
    padded = theirs(input_ids=tokens, attention_mask=mask, decoder_input_ids=first).logits
    session = ours.start(len(sources), memory=memory)
    seen["padded"] = differ(session.extend(first), padded[:, -1])
    rows = torch.tensor([3, 0, 0])
    session.select(rows)
    more = torch.tensor([[5], [6], [7]])
    longer = torch.cat((first[rows], more), 1)
    again = theirs(input_ids=tokens[rows], attention_mask=mask[rows], decoder_input_ids=longer).logits
    seen["cache"] = differ(session.extend(more), again[:, -1])

    source = torch.tensor([sources[3]])
    begin = config.decoder_start_token_id
    generated = theirs.generate(
        source,
        attention_mask=torch.ones_like(source),
        max_new_tokens=steps,
        do_sample=False,
        num_beams=1,
        use_cache=False,
        eos_token_id=-1,
        forced_eos_token_id=None,
        bad_words_ids=None,
    )
    mine = greedy(ours, torch.tensor([[begin]]), steps, memory=ours.encode(source))
    assert mine == generated[0, 1:].tolist()

    changed = shake(read(tmp_path / "theirs"), seed=1, strength=0.1)
    export(changed, config.model_type, tmp_path / "ours")
    exported = reload(theirs, tmp_path / "ours")
    target = torch.tensor([targets[0]])
    seen["export"] = differ(
        changed(target, memory=changed.encode(source)),
        exported(input_ids=source, decoder_input_ids=target).logits,
    )
    note(config.model_type, "encoder-decoder", **seen)
    return ours


_COLUMNS = ("logits", "padded", "packed", "cache", "export")
_TEXT = Path(__file__).with_name("families.md")


def write_table(path: Path) -> None:
    """What was compared for each family, and the largest difference seen, as Markdown."""
    lines = [f"| family | shape | {' | '.join(_COLUMNS)} |", f"|---|---|{'---|' * len(_COLUMNS)}"]
    for (model_type, shape), seen in sorted(SEEN.items(), key=lambda item: (item[0][1], item[0][0])):
        values = " | ".join(f"{seen[name]:.0e}" if name in seen else "" for name in _COLUMNS)
        lines.append(f"| {model_type} | {shape} | {values} |")
    versions = {name: version(name).partition("+")[0] for name in ("transformers", "torch")}
    text = _TEXT.read_text(encoding="utf-8")
    filled = text.format(table="\n".join(lines), tolerance=TOLERANCE, **versions)
    path.write_text(filled, encoding="utf-8")
