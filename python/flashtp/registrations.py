"""What torch has to know of the operators besides their kernels: shapes for tracing, derivatives, what autocast does."""
import torch

from . import _library, specification
from .derivatives import Request, kind, output_names, present_inputs, source_count
from .folding import run_batched
from .functions import AUTOCAST_DTYPE, with_python_derivatives

_library_fragment = torch.library.Library("flashtp", "FRAGMENT")


@torch.library.register_fake("flashtp::tensor_product")
def _(operands, index, problem, order, outputs, absent):
    known = dict(zip(present_inputs(order, absent, len(operands)), operands))
    for name, operand in known.items():
        if operand.device != operands[0].device:
            raise ValueError(f"flashtp: {name} is on {operand.device} and x is on {operands[0].device}")
    sources = source_count(order, absent, len(operands))
    receivers = index[0].shape[0] - 1 if index else operands[1].shape[0]

    def output(name):
        if kind(name) != "z":
            return torch.empty_like(known[kind(name)], memory_format=torch.contiguous_format)
        return operands[0].new_empty(receivers, specification.facts(problem).out_width)

    return [output(name) for name in output_names(Request(problem, order, outputs, absent), sources)]


@torch.library.register_fake("flashtp::receiver_index")
def _(receiver, sender, receivers, senders, by_sender=False, num_edges=None):
    def ints(count):
        return receiver.new_empty(count, dtype=torch.int32)

    return ints(receivers + 1), ints(sender.shape[0]), ints(sender.shape[0]), receiver.new_empty(2, dtype=torch.int64)


for device in ("cpu", "cuda"):
    torch.library.register_autocast("flashtp::tensor_product", device, AUTOCAST_DTYPE, lib=_library_fragment)


@torch.library.register_vmap("flashtp::tensor_product", lib=_library_fragment)
def _(info, in_dims, operands, index, problem, order, outputs, absent):
    def run(operands, index, request):
        return torch.ops.flashtp.tensor_product(operands, index, *request)

    batched = run_batched(run, Request(problem, order, outputs, absent), info.batch_size, operands, index,
                          (*in_dims[0], *in_dims[1]))
    return list(batched), [0] * len(batched)


def _python_derivatives(operands, index, problem, order, outputs, absent):
    return list(with_python_derivatives(operands, index, Request(problem, order, outputs, absent)))


if not _library.HAS_CPP_AUTOGRAD:
    _library_fragment.impl("tensor_product", _python_derivatives, "Autograd")
