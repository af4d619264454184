"""Convolutions with their e3nn counterparts, and comparisons, for the tests."""
from typing import NamedTuple

import torch
from e3nn import o3

import flashtp


class Layer(NamedTuple):
    """The first four arguments of a tensor product."""

    irreps_in1: str
    irreps_in2: str
    irreps_out: str
    instructions: list


# As message-passing models have them: two paths to one output, a repeated segment, a path weight other than 1.
MESSAGE = Layer("8x0e+4x1o", "0e+1o+2e", "8x0e+4x1o+8x1o+4x2e",
                [(0, 0, 0, "uvu", True), (1, 0, 1, "uvu", True), (1, 2, 1, "uvu", True), (0, 1, 2, "uvu", True),
                 (1, 1, 3, "uvu", True, 0.5)])
# One path each of a small tensor product for all modes; unweighted where the mode allows it.
MODES = {
    "uvw": Layer("2x1o", "3x1o", "4x1e", [(0, 0, 0, "uvw", True)]),
    "uvu": Layer("2x1o", "3x1o", "2x2e", [(0, 0, 0, "uvu", True)]),
    "uvv": Layer("2x1o", "3x1o", "3x0e", [(0, 0, 0, "uvv", True)]),
    "uuw": Layer("3x1o", "3x1o", "2x0e", [(0, 0, 0, "uuw", True)]),
    "uuu": Layer("3x1o", "3x2e", "3x1o", [(0, 0, 0, "uuu", True)]),
    "uvuv": Layer("2x1o", "3x1o", "6x1e", [(0, 0, 0, "uvuv", True)]),
    "uvu<v": Layer("3x1o", "3x1o", "3x2e", [(0, 0, 0, "uvu<v", True)]),
    "u<vw": Layer("3x1o", "3x1o", "2x1e", [(0, 0, 0, "u<vw", True)]),
    "unweighted": Layer("2x1o", "3x1o", "6x1e+2x2e", [(0, 0, 0, "uvuv", False), (0, 0, 1, "uvu", False)]),
    "mixed": Layer("2x0e+2x1o", "2x1o", "2x1o+4x0e+1x2e",
                   [(0, 0, 0, "uvu", True), (1, 0, 1, "uvuv", False), (1, 0, 2, "uvw", True, 0.3), (0, 0, 0, "uvv", False, 2.0)]),
}


class Edges(NamedTuple):
    """Edges between ``senders`` and ``receivers`` nodes, in no order."""

    receiver: torch.Tensor
    sender: torch.Tensor
    receivers: int
    senders: int

    @classmethod
    def random(cls, edges=13, receivers=4, senders=5, dtype=torch.int64):
        return cls(torch.randint(receivers, (edges,), dtype=dtype), torch.randint(senders, (edges,), dtype=dtype), receivers, senders)


class Pair:
    """A convolution, and the same made of e3nn's tensor product, gather and scatter."""

    def __init__(self, layer, edges, dtype=torch.float64, shared_weights=False, **options):
        self.edges = edges
        self.conv = flashtp.TensorProductConv(*layer, shared_weights=shared_weights, **options)
        self.tp = o3.TensorProduct(*layer, internal_weights=False, shared_weights=shared_weights or self.conv.weight_numel == 0)
        self.dtype, self.shared = dtype, shared_weights

    def inputs(self):
        """x, y, and w where there are weights, as leaves."""
        count = len(self.edges.receiver)
        shapes = [(self.edges.senders, self.tp.irreps_in1.dim), (count, self.tp.irreps_in2.dim)]
        if self.conv.weight_numel > 0:
            shapes.append((self.conv.weight_numel,) if self.shared else (count, self.conv.weight_numel))
        return [torch.randn(shape, dtype=self.dtype, requires_grad=True) for shape in shapes]

    def ours(self, x, y, w=None):
        return self.conv(x, y, w, self.edges.receiver, self.edges.sender, self.edges.receivers)

    def e3nns(self, x, y, *w):
        z = self.tp(x[self.edges.sender.long()], y, *w)
        zeros = torch.zeros(self.edges.receivers, z.shape[-1], dtype=z.dtype)
        return zeros.index_add(0, self.edges.receiver.long(), z)


def derivatives(function, inputs, order):
    """The value and its derivatives up to an order, contracted with fixed cotangents; all of them as one list."""
    generator = torch.Generator().manual_seed(1)

    def cotangent(t):
        """The same numbers in float32 and float64."""
        return torch.randn(t.shape, dtype=torch.float32, generator=generator).to(t.dtype).requires_grad_()

    values = [function(*inputs)]
    variables, found = list(inputs), list(values)
    for _ in range(order):
        cotangents = [cotangent(v) for v in values]
        total = sum((v * c).sum() for v, c in zip(values, cotangents))
        variables = variables + cotangents
        values = [g for g in torch.autograd.grad(total, variables, create_graph=True, allow_unused=True, materialize_grads=True)]
        found += values
    return [v.detach() for v in found]


def assert_close(ours, theirs, tolerance=1e-12):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=0, atol=tolerance * (1 + b.abs().max().item() if b.numel() else 1)), (a - b).abs().max()
