"""Which request computes the gradients of a request.

Requests are those of flashtp.h: order n has the operands ``inputs(n)`` and the outputs ``OUTPUTS[n]``. Outputs and absent inputs
are bit masks, as in the operator's schema. The gradients of order n are order n + 1 with the incoming gradients as further
operands; csrc/autograd.cpp does the same in C++.
"""
from typing import NamedTuple, Sequence

HIGHEST_ORDER = 3
INPUTS = ("x", "y", "w", "d_z", "t_x", "t_y", "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w")
INPUT_COUNTS = (3, 4, 7, 11)
OUTPUTS = (("z",), ("d_x", "d_y", "d_w"), ("t_z", "t_d_x", "t_d_y", "t_d_w"),
           ("d_x", "d_y", "d_w", "d_d_z", "d_t_x", "d_t_y", "d_t_w"))
FIRST_OPTIONAL_INPUT = 4


class Request(NamedTuple):
    """One call of the operator, but for its tensors."""

    problem: str
    order: int = 0
    outputs: int = 1
    absent: int = 0

    def with_outputs(self, names: Sequence[str]) -> "Request":
        return self._replace(outputs=sum(1 << OUTPUTS[self.order].index(name) for name in names))


class Gradient(NamedTuple):
    """The request that computes gradients, the incoming gradients it takes, and the operand each output is the gradient of."""

    request: Request
    cotangents: tuple[int, ...]
    inputs: tuple[int, ...]


def present_inputs(order: int, absent: int, count: int) -> list[int]:
    """Positions in INPUTS of ``count`` operands: all of a weighted problem, or all without the weights."""
    weighted = count + absent.bit_count() == INPUT_COUNTS[order]
    left_out = absent << FIRST_OPTIONAL_INPUT
    return [i for i in range(INPUT_COUNTS[order]) if not left_out >> i & 1 and (weighted or not INPUTS[i].endswith("w"))]


def output_names(request: Request) -> list[str]:
    return [name for bit, name in enumerate(OUTPUTS[request.order]) if request.outputs >> bit & 1]


def gradient_bit(order: int, position: int) -> int:
    """The bit, among the outputs of the next order, of the gradient in an input."""
    return (position + 1) % INPUT_COUNTS[1] if order == 1 else position


def gradient_of(request: Request, needed: Sequence[bool], incoming: Sequence[bool]) -> Gradient:
    """needed: by operand, whether its gradient is wanted. incoming: by output, whether its gradient is there (else zero)."""
    if request.order == HIGHEST_ORDER:
        raise NotImplementedError("flashtp: fourth derivatives of tensor products are not available")
    present = present_inputs(request.order, request.absent, len(needed))
    weighted = INPUTS.index("w") in present
    known = 0 if request.order < 2 else INPUT_COUNTS[2] - FIRST_OPTIONAL_INPUT
    absent, cotangents, position = request.absent, [], 0
    for bit, name in enumerate(OUTPUTS[request.order]):
        there = False
        if request.outputs >> bit & 1:
            there, position = incoming[position], position + 1
        if there:
            cotangents.append(position - 1)
        elif request.order > 0 and (weighted or not name.endswith("w")):
            absent |= 1 << (known + bit)
    wanted = sorted((gradient_bit(request.order, present[i]), i) for i in range(len(needed)) if needed[i])
    outputs = sum(1 << bit for bit, _ in wanted)
    return Gradient(Request(request.problem, request.order + 1, outputs, absent), tuple(cotangents),
                    tuple(i for _, i in wanted))
