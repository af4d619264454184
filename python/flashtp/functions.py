"""The tensor product as a differentiable function of tensors: reverse mode to third order, forward mode, vmap.

The operator ``flashtp::tensor_product`` carries reverse-mode derivatives of its own. torch.func and forward mode need more, and get
it from ``TensorProductFunction``.
"""
import functools
from typing import NamedTuple, Optional, Sequence

import torch
from torch import Tensor
from torch._C import _get_tracing_state, _is_any_autocast_enabled, _len_torch_dispatch_stack
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad
from torch.compiler import is_compiling, is_dynamo_compiling

from . import _library
from .derivatives import SOURCES, Request, gradient_of, kind, output_names, present_inputs, source_count
from .folding import run_batched
from .receiver_index import counted_index, plain_index, receiver_index
from .specification import facts, name_of, number_of

# Sums over many products need more digits than 16-bit types have: under autocast all of it is done in this type.
AUTOCAST_DTYPE = torch.float32

_operator = torch.ops.flashtp.tensor_product.default
# All of a call, where derivatives are in C++.
_eager_product = torch.ops.flashtp.eager_product.default if _library.HAS_CPP_AUTOGRAD else None
# The same for all but unusual calls, which it leaves to the operator.
_call = _library.FAST_CALL.call if _library.FAST_CALL is not None else None
_AS_MANY_AS_SENDERS = -2**63


def evaluate(problem: str, operands: Sequence[Tensor], receiver: Optional[Tensor] = None, sender: Optional[Tensor] = None,
             receivers: Optional[int] = None, by_sender: bool = False, num_edges: Optional[Tensor] = None) -> Tensor:
    """z of a problem's operands (``SOURCES``); a plain batch without receiver and sender. ``receivers`` is the number of senders
    if left out. ``by_sender``: the order of a receiver's edges does not matter. ``num_edges``: the edges that there are, if not all."""
    if num_edges is None and _call is not None and not is_dynamo_compiling():
        z = _call(operands, receiver, sender, _AS_MANY_AS_SENDERS if receivers is None else receivers, number_of(problem), by_sender)
        if z is not None:
            return z
    traced = is_traced()
    if not traced:
        _check_tensors(problem, operands, receiver, sender)
    if num_edges is None and _eager_product is not None and not (traced or transform_is_active()):
        return _eager_product(operands, receiver, sender, _AS_MANY_AS_SENDERS if receivers is None else receivers, number_of(problem),
                              by_sender)
    edges = None if receiver is None else Edges(receiver, sender, receivers, by_sender, num_edges)
    return _evaluate_in_python(problem, operands, edges)


def _check_tensors(problem: str, operands: Sequence[Tensor], receiver: Optional[Tensor], sender: Optional[Tensor]) -> None:
    rows = (("receiver", receiver), ("sender", sender)) if facts(problem).convolution else ()
    for name, value in (*zip(SOURCES[len(operands)], operands), *rows):
        if not isinstance(value, Tensor):
            raise TypeError(f"flashtp: {name} is {'None' if value is None else 'a ' + type(value).__name__}; it must be a tensor")


class Edges(NamedTuple):
    """The arguments of a convolution that say which rows belong together; see ``evaluate``."""

    receiver: Tensor
    sender: Tensor
    receivers: Optional[int]
    by_sender: bool
    num_edges: Optional[Tensor] = None


def _index_of(edges: Edges, senders: int, plain: bool) -> list[Tensor]:
    rows = edges.receiver, edges.sender, senders if edges.receivers is None else edges.receivers, senders, edges.by_sender
    if edges.num_edges is not None:
        return counted_index(*rows, edges.num_edges)
    return plain_index(*rows) if plain else receiver_index(*rows)


def _evaluate_in_python(problem: str, operands: Sequence[Tensor], edges: Optional[Edges]) -> Tensor:
    traced, transformed = is_traced(), transform_is_active()
    if operands[0].dim() != 2 and edges is not None:
        raise ValueError(f"flashtp: x has the shape {list(operands[0].shape)}; it must be [senders, irreps_in1.dim]")
    index = [] if edges is None else _index_of(edges, operands[0].shape[0], not (traced or transformed))
    if traced or (_library.HAS_CPP_AUTOGRAD and not transformed):
        return _operator(operands, index, problem, 0, 1, 0)[0]
    if transformed:
        return tensor_product(operands, index, Request(problem))[0]
    return recorded(_autocast(operands), index, _forward_request(problem))[0]


@functools.lru_cache(maxsize=None)
def _forward_request(problem: str) -> Request:
    return Request(name_of(problem))


def is_traced() -> bool:
    """Whether a graph is made of what is called."""
    return is_compiling() or _len_torch_dispatch_stack() > 0 or _get_tracing_state() is not None


def tensor_product(operands: Sequence[Tensor], index: Sequence[Tensor], request: Request) -> tuple[Tensor, ...]:
    """The outputs of a request, in the order of their names."""
    if transform_is_active() or not _library.HAS_CPP_AUTOGRAD:
        return with_python_derivatives(_autocast(operands), index, request)
    return tuple(_operator(operands, index, *request))


def with_python_derivatives(operands: Sequence[Tensor], index: Sequence[Tensor], request: Request) -> tuple[Tensor, ...]:
    if transform_is_active():
        return TensorProductFunction.apply(request, len(operands), *operands, *index)
    return recorded(operands, index, request)


def recorded(operands: Sequence[Tensor], index: Sequence[Tensor], request: Request) -> tuple[Tensor, ...]:
    """With reverse mode in Python, and nothing else that looks on."""
    if torch.is_grad_enabled() and any([t.requires_grad for t in operands]):
        return RecordedFunction.apply(request, index, *operands)
    with torch._C._AutoDispatchBelowAutograd():
        return _operator(operands, index, *request)


def transform_is_active() -> bool:
    """Whether a torch.func transform or forward mode is at work, which see through Python functions only."""
    return peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _autocast(operands: Sequence[Tensor]) -> list[Tensor]:
    """What the operator's autocast rule does, but seen by transforms."""
    if not _is_any_autocast_enabled() or not torch.is_autocast_enabled(operands[0].device.type):
        return list(operands)
    return [t if t.dtype == torch.float64 else t.to(AUTOCAST_DTYPE) for t in operands]


class TensorProductFunction(torch.autograd.Function):
    """Arguments: the request, the number of operands, the operands, the index."""

    @staticmethod
    def forward(request, count, *tensors):
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(_operator(tensors[:count], tensors[count:], *request))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.request, ctx.count, *tensors = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx, *incoming):
        saved = ctx.saved_tensors
        operands, index = saved[:ctx.count], saved[ctx.count:]
        gradients = backward(ctx.request, operands, index, ctx.needs_input_grad[2:2 + ctx.count], incoming)
        return None, None, *gradients, *[None] * len(index)

    @staticmethod
    def jvp(ctx, _request, _count, *tangents):
        saved = ctx.saved_tensors
        return forward_derivative(ctx.request, saved[:ctx.count], tangents[:ctx.count], saved[ctx.count:])

    @staticmethod
    def vmap(info, in_dims, request, count, *tensors):
        batched = run_batched(tensor_product, request, info.batch_size, tensors[:count], tensors[count:], in_dims[2:])
        return batched, (0,) * len(batched)


class RecordedFunction(torch.autograd.Function):
    """The same for reverse mode alone. torch calls functions with a setup_context of their own at ten times the host time, and each
    tensor among the arguments costs some more. Arguments: the request, the index, the operands."""

    @staticmethod
    def forward(ctx, request, index, *operands):
        ctx.request, ctx.index = request, index
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*operands)
        with torch._C._AutoDispatchBelowAutograd():
            return tuple(_operator(operands, index, *request))

    @staticmethod
    def backward(ctx, *incoming):
        return None, None, *backward(ctx.request, ctx.saved_tensors, ctx.index, ctx.needs_input_grad[2:], incoming)


def backward(request: Request, operands, index, needed, incoming) -> list[Optional[Tensor]]:
    """The gradient in each operand that needs one."""
    results: list[Optional[Tensor]] = [None] * len(operands)
    given = tuple([g is not None for g in incoming])
    if not any(needed) or not any(given):
        return results
    gradient = gradient_of(request, needed, given)
    cotangents = [incoming[i] for i in gradient.cotangents]
    for i, value in zip(gradient.inputs, tensor_product([*operands, *cotangents], index, gradient.request)):
        results[i] = value
    return results


def forward_derivative(request: Request, operands, tangents, index) -> tuple[Tensor, ...]:
    """Outputs are sums of products with one factor of each kind (x, y, w, z) but the output's own: one request a tangent, with the
    tangent in its operand's place. Where a bias adds to what a radial layer makes, the other of the two is zero meanwhile."""
    if request.order > 1:
        raise NotImplementedError("flashtp: forward mode goes through tensor products and their gradients, not through second "
                                  "derivatives; use reverse mode inside (jacrev, or grad of grad)")
    sources = source_count(request.order, request.absent, len(operands))
    names = output_names(request, sources)
    totals = dict.fromkeys(names)
    present = present_inputs(request.order, request.absent, len(operands))
    for i, own in enumerate(present):
        other = {"b": "h", "h": "b", "W2": "b"}.get(own)
        moved = [name for name in names if kind(name) not in (kind(own), other)]
        if tangents[i] is None or not moved:
            continue
        replaced = [tangents[i] if n == i else torch.zeros_like(t) if present[n] == other else t for n, t in enumerate(operands)]
        for name, part in zip(moved, tensor_product(replaced, index, request.with_outputs(moved, sources))):
            totals[name] = part if totals[name] is None else totals[name] + part
    return tuple(totals[name] for name in names)
