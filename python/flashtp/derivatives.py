"""Which request computes the gradients of a request.

Requests are those of flashtp.h, with the operands and outputs of ``names_of``. Outputs and absent inputs
are bit masks, as in the operator's schema. The gradients of order n are order n + 1 with the incoming gradients as further
operands; csrc/autograd.cpp does the same in C++.
"""
import functools
from typing import NamedTuple, Sequence

HIGHEST_ORDER = 3
# What the forward problem takes, by number: a radial layer has its hidden rows and its matrix, and maybe a bias, in the place of w.
SOURCES = {2: ("x", "y"), 3: ("x", "y", "w"), 4: ("x", "y", "h", "W2"), 5: ("x", "y", "h", "W2", "b")}


class Names(NamedTuple):
    """Operands and outputs of an order. Inputs from ``first_optional`` on may be absent, which means zero."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    first_optional: int


@functools.cache
def names_of(order: int, sources: int) -> Names:
    known = SOURCES[sources]

    def each(prefix):
        return tuple(prefix + name for name in known)

    inputs = known + ("d_z",) * (order > 0) + (each("t_") if order > 1 else ()) + (("d_t_z", *each("d_t_d_")) if order > 2 else ())
    outputs = (("z",), each("d_"), ("t_z", *each("t_d_")), (*each("d_"), "d_d_z", *each("d_t_")))[order]
    return Names(inputs, outputs, sources + min(order, 1))


def source_count(order: int, absent: int, operands: int) -> int:
    """How many sources a problem has, from the number of a request's operands."""
    count = (operands + absent.bit_count() - (0, 1, 1, 2)[order]) // (1, 1, 2, 3)[order]
    return min(max(count, min(SOURCES)), max(SOURCES))


def kind(name: str) -> str:
    """The source or z that an operand belongs to: W2 for t_d_W2."""
    return name.rsplit("_", 1)[-1]


class Request(NamedTuple):
    """One call of the operator, but for its tensors."""

    problem: str
    order: int = 0
    outputs: int = 1
    absent: int = 0

    def with_outputs(self, wanted: Sequence[str], sources: int) -> "Request":
        known = names_of(self.order, sources).outputs
        return self._replace(outputs=sum(1 << known.index(name) for name in wanted))


class Gradient(NamedTuple):
    """The request that computes gradients, the incoming gradients it takes, and the operand each output is the gradient of."""

    request: Request
    cotangents: tuple[int, ...]
    inputs: tuple[int, ...]


def present_inputs(order: int, absent: int, count: int) -> list[str]:
    """The names of ``count`` operands."""
    names = names_of(order, source_count(order, absent, count))
    left_out = absent << names.first_optional
    return [name for i, name in enumerate(names.inputs) if not left_out >> i & 1]


def output_names(request: Request, sources: int) -> list[str]:
    return [name for bit, name in enumerate(names_of(request.order, sources).outputs) if request.outputs >> bit & 1]


def gradient_name(order: int, name: str) -> str:
    """What the next order calls the gradient in an input: order 2 is the tangent of order 1."""
    if order != 1:
        return "d_" + name
    return "t_z" if name == "d_z" else "t_d_" + name


@functools.cache
def gradient_of(request: Request, needed: tuple[bool, ...], incoming: tuple[bool, ...]) -> Gradient:
    """needed: by operand, whether its gradient is wanted. incoming: by output, whether its gradient is there (else zero)."""
    if request.order == HIGHEST_ORDER:
        raise NotImplementedError("flashtp: fourth derivatives of tensor products are not available")
    sources = source_count(request.order, request.absent, len(needed))
    names, present = names_of(request.order, sources), present_inputs(request.order, request.absent, len(needed))
    known = 0 if request.order < 2 else sources
    absent, cotangents, position = request.absent, [], 0
    for bit in range(len(names.outputs)):
        there = False
        if request.outputs >> bit & 1:
            there, position = incoming[position], position + 1
        if there:
            cotangents.append(position - 1)
        elif request.order > 0:
            absent |= 1 << (known + bit)
    gradients = names_of(request.order + 1, sources).outputs
    wanted = sorted((gradients.index(gradient_name(request.order, name)), i) for i, name in enumerate(present) if needed[i])
    outputs = sum(1 << bit for bit, _ in wanted)
    return Gradient(Request(request.problem, request.order + 1, outputs, absent), tuple(cotangents),
                    tuple(i for _, i in wanted))
