"""Where the time of a training step goes: real steps under plain timers and under torch's profiler.

The timers say how long each phase of a step takes; the profiler says how its operators share that time. What
the profiler itself costs is not counted: seconds of a phase are those of the timers, and what its operators
leave of them is Python and the framework around. Operators are told apart by their names and by those of the
functions they run in, so nothing in the model has to be marked; what the fused kernels do is the own time of
the functions that call them.
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from yanmo.config import format_size
from yanmo.data.loader import Batches
from yanmo.models.base import Trainable
from yanmo.runtime import peak_memory_bytes
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer

Phase = Literal["data loading", "model", "optimizer"]
Span = Callable[[Phase], contextlib.AbstractContextManager[object]]
# One optimizer step that marks its phases, and returns its tokens.
Step = Callable[[Span], int]
B = TypeVar("B")

MATRIX, ATTENTION, SOFTMAX, NORMS = "matrix products", "attention products", "softmax and losses", "norms"
ELEMENTWISE, OVERHEAD = "other elementwise", "python and framework"
MUON, OPTIMIZER, LOADING = "muon products", "optimizer, the rest", "data loading"
KINDS = (MATRIX, ATTENTION, SOFTMAX, NORMS, ELEMENTWISE, MUON, OPTIMIZER, LOADING, OVERHEAD)
_MARK = "yanmo: "
_NUM_OPERATORS = 12
# Names of operators, or parts of names of the functions around them.
_PRODUCTS_2D = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::_addmm_activation", "aten::_scaled_mm")
_PRODUCTS_3D = ("aten::bmm", "aten::baddbmm", "aten::baddbmm_")
_FUSED_ATTENTION = ("_scaled_dot_product", "_flash_attention")
_IN_ATTENTION = ("_Products", "ttention")
_SOFTMAX_NAMES = ("softmax", "logsumexp", "nll_loss", "CrossEntropy", *_IN_ATTENTION)
_FRAMEWORK = ("autograd::engine", "torch::autograd::", "Optimizer.", _MARK)


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """Work between the steps, such as saving: what it is, and how many steps lie between two."""

    name: str
    call: Callable[[], object]
    every_steps: float


def training_step(
    model: Trainable,
    objective: Objective[B],
    batches: Batches[B],
    optimizer: Optimizer,
    *,
    micro_batch_size: int,
) -> Step:
    """A step as the loop makes it; the model's weights move."""
    count = iter(range(2**62))

    def step(span: Span) -> int:
        number, num_tokens = next(count), 0
        for start in range(0, batches.batch_size, micro_batch_size):
            with span("data loading"):
                batch = batches.rows(number, range(start, min(start + micro_batch_size, batches.batch_size)))
            with span("model"):
                loss = objective(model, batch)
                loss.loss_nats.backward()
            num_tokens += loss.num_tokens
            with span("optimizer"):
                optimizer.accumulate()
        with span("optimizer"):
            optimizer.step(factor=1.0, num_tokens=max(1, num_tokens))
        return num_tokens

    assert isinstance(model, nn.Module)
    model.train()
    return step


def profile_steps(
    step: Step,
    *,
    peak_flop_per_s: float,
    num_steps: int = 4,
    occasions: Sequence[Occasion] = (),
) -> dict[str, Any]:
    """Time a few steps and say where their time goes.

    Args:
        step: makes one optimizer step, its phases marked.
        peak_flop_per_s: speed of a large matrix product on this machine, as the probe measured it.
        num_steps: how many are timed, and how many more are profiled, after one that is neither.
        occasions: what happens between steps, each called once; its time is spread over its steps.

    Returns:
        Plain values: ``step_s`` (median, occasions included), ``tokens_per_s``, ``share_of_peak`` (products
        of the model over the whole step), ``peak_flop_per_s``, ``peak_memory_bytes``, ``num_steps``,
        ``batch_tokens``, ``kinds`` (name, seconds, share, and share_of_peak of products) and ``operators``
        (the slowest: name, kind, calls and seconds a step, as the profiler saw them).
    """
    step(_unmarked)
    timers = [_timed(step) for _ in range(num_steps)]
    phases_s = {phase: statistics.median(timer[phase] for timer in timers) for phase in timers[0]}
    num_tokens = phases_s.pop("tokens")
    step_s = phases_s.pop("step")
    events = _profiled(step, num_steps)
    kinds_s, flop, operators = _sorted_out(events, num_steps)
    seconds = _shared_out(phases_s, kinds_s, step_s)
    for occasion in occasions:
        began_s = time.perf_counter()
        occasion.call()
        seconds[occasion.name] = (time.perf_counter() - began_s) / max(1.0, occasion.every_steps)
    total_s = sum(seconds.values())
    return {
        "step_s": total_s,
        "tokens_per_s": num_tokens / total_s,
        "share_of_peak": (flop[MATRIX] + flop[ATTENTION]) / total_s / peak_flop_per_s,
        "peak_flop_per_s": peak_flop_per_s,
        "peak_memory_bytes": peak_memory_bytes(),
        "num_steps": num_steps,
        "batch_tokens": round(num_tokens),
        "kinds": [
            {"name": name, "seconds": took_s, "share": took_s / total_s}
            | ({"share_of_peak": flop[name] / took_s / peak_flop_per_s} if flop[name] and took_s else {})
            for name, took_s in seconds.items()
        ],
        "operators": operators,
    }


def profile_table(made: Mapping[str, Any]) -> str:
    """A profile as lines for people."""
    lines = [
        f"a step of {made['batch_tokens']:,} tokens takes {made['step_s'] * 1e3:,.1f} ms: "
        f"{made['tokens_per_s']:,.0f} tokens/s, {made['share_of_peak']:.0%} of the matrix products' peak "
        f"({made['peak_flop_per_s'] / 1e9:,.0f} GFLOP/s), {format_size(made['peak_memory_bytes'])} of memory"
    ]
    for kind in made["kinds"]:
        bar = "#" * round(30 * kind["share"])
        of_peak = f"  {kind['share_of_peak']:.0%} of peak" if "share_of_peak" in kind else ""
        took = f"{kind['seconds'] * 1e3:9.2f} ms {kind['share']:6.1%}"
        lines.append(f"  {kind['name']:<22s} {took}  {bar}{of_peak}".rstrip())
    lines.append("slowest operators, under the profiler:")
    for operator in made["operators"]:
        took = f"{operator['seconds'] * 1e3:9.2f} ms"
        lines.append(
            f"  {operator['name'][:44]:<44s} {took}  {operator['calls']:6.0f} calls  {operator['kind']}"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def _unmarked(_: Phase) -> Iterator[None]:
    yield


def _timed(step: Step) -> dict[str, float]:
    """Seconds of each phase of a step and of the whole ``step``, and its ``tokens``."""
    timer: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def span(phase: Phase) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        timer[phase] += time.perf_counter() - began_s

    began_s = time.perf_counter()
    timer["tokens"] = float(step(span))
    timer["step"] = time.perf_counter() - began_s
    return timer


def _profiled(step: Step, num_steps: int) -> Sequence[FunctionEvent]:
    # Else it writes lines of its own to stderr.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as made:
        for _ in range(num_steps):
            step(lambda phase: record_function(_MARK + phase))
    return made.events() or ()


def _sorted_out(
    events: Sequence[FunctionEvent], num_steps: int
) -> tuple[dict[tuple[str, str], float], dict[str, float], list[dict[str, Any]]]:
    """Own seconds a step by (phase, kind), operations a step by kind, and the slowest operators."""
    kinds_s: dict[tuple[str, str], float] = defaultdict(float)
    flop: dict[str, float] = defaultdict(float)
    operators: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in events:
        around = list(_ancestors(event))
        phase = next((name.removeprefix(_MARK) for name in around if name.startswith(_MARK)), "model")
        kind = _kind(event.name, around, phase)
        own_s = event.self_cpu_time_total / 1e6 / num_steps
        kinds_s[phase, kind] += own_s
        shapes: Any = event.input_shapes
        flop[kind] += _flop(event.name, shapes or ()) / num_steps
        if not event.name.startswith(_MARK):
            operators[event.name, kind][0] += own_s
            operators[event.name, kind][1] += 1 / num_steps
    slowest = sorted(operators.items(), key=lambda item: -item[1][0])[:_NUM_OPERATORS]
    listed = [
        {"name": name, "kind": kind, "seconds": seconds, "calls": calls}
        for (name, kind), (seconds, calls) in slowest
    ]
    return kinds_s, flop, listed


def _shared_out(
    phases_s: Mapping[str, float], kinds_s: Mapping[tuple[str, str], float], step_s: float
) -> dict[str, float]:
    """Seconds of each kind: what the timers gave each phase, shared out as the profiler saw it."""
    seconds = dict.fromkeys(KINDS, 0.0)
    seconds[LOADING] = phases_s.get("data loading", 0.0)
    for phase in ("model", "optimizer"):
        own = {
            kind: s for (p, kind), s in kinds_s.items() if p == phase and kind not in (OVERHEAD, OPTIMIZER)
        }
        took_s = phases_s.get(phase, 0.0)
        # The profiler makes operators look slower; together they cannot take longer than their phase.
        scale = min(1.0, took_s / sum(own.values())) if sum(own.values()) else 1.0
        for kind, own_s in own.items():
            seconds[kind] += own_s * scale
        seconds[OVERHEAD if phase == "model" else OPTIMIZER] += took_s - scale * sum(own.values())
    seconds[OVERHEAD] += max(0.0, step_s - sum(phases_s.values()))
    return seconds


def _kind(name: str, around: Sequence[str], phase: str) -> str:
    """What kind of work an operator's own time is.

    Args:
        name: of the operator or function.
        around: names of what it runs in, innermost first, its own left out.
        phase: that it runs in.
    """
    is_product = name in (*_PRODUCTS_2D, *_PRODUCTS_3D) or name.endswith("_linear_pointwise")
    if phase == "data loading":
        return LOADING
    if phase == "optimizer":
        return MUON if is_product else OPTIMIZER
    if any(part in name for part in _FUSED_ATTENTION) or name in _PRODUCTS_3D:
        return ATTENTION
    if is_product:
        return ATTENTION if _is_in(around, _IN_ATTENTION) else MATRIX
    if any(name.startswith(start) for start in _FRAMEWORK):
        return OVERHEAD
    named = (name, *around)
    if any(part in name for part in _SOFTMAX_NAMES) or _is_in(around, ("CrossEntropy",)):
        return SOFTMAX
    return NORMS if _is_in(named, ("Norm", "_norm")) else ELEMENTWISE


def _is_in(around: Sequence[str], parts: Sequence[str]) -> bool:
    return any(part in name for name in around for part in parts)


def _ancestors(event: FunctionEvent) -> Iterator[str]:
    parent = event.cpu_parent
    while parent is not None:
        yield parent.name
        parent = parent.cpu_parent


def _flop(name: str, shapes: Sequence[Sequence[int]]) -> float:
    """Operations of a product, from the shapes of its inputs."""
    matrices = [shape for shape in shapes if len(shape) >= 2]
    if name in (*_PRODUCTS_2D, *_PRODUCTS_3D) and len(matrices) >= 2:
        left, right = matrices[-2:]
        return 2.0 * math.prod(left) * right[-1]
    if name.startswith("aten::") and any(part in name for part in _FUSED_ATTENTION) and len(matrices) >= 2:
        # Two products forward, five backward, where the first input is the gradient.
        back = "backward" in name
        queries, keys = matrices[1 if back else 0], matrices[2 if back else 1]
        return (10.0 if back else 4.0) * math.prod(queries) * keys[-2]
    return 0.0
