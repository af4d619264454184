"""The libraries that are compared. Each makes a function z = f(x, y, w) of a case, differentiable by autograd.

A library is a class with `name`, `devices` and `packages` (what it imports, so that absence is noticed before the first case).
Making it raises Unsupported where it cannot run a case.
"""
import importlib.util
import os
import sys
import warnings

import torch

from cases import ROOT, o3

# This library is measured from the source tree, with the libraries of the release build or those that FLASHTP_LIBRARY names.
sys.path.insert(0, str(ROOT / "python"))
os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))


class Unsupported(Exception):
    """The library does not claim to run this case; the message says why."""


class Library:
    devices = ("cuda",)
    packages = ()
    peer = True
    highest_order, beyond = 2, ""  # and why no higher ones are measured

    products = {}  # by library, layer and dtype: sizes and orders of a layer share one

    def __init__(self, case):
        self.case, self.graph, self.layer = case, case.graph, case.layer

    def product(self, make):
        key = (self.name, self.layer.name, self.case.dtype)
        if key not in Library.products:
            Library.products[key] = make().to(self.graph.sender.device)
        return Library.products[key]

    def __call__(self, x, y, w):
        raise NotImplementedError

    # Peers with a layout of their own get operands in it, and their results are turned back before they are compared.
    def to_own(self, name, tensor):
        return tensor

    def from_own(self, name, tensor):
        return tensor


class Flashtp(Library):
    name, devices, peer = "flashtp", ("cpu", "cuda"), False

    def __init__(self, case):
        import flashtp
        super().__init__(case)
        self.tp = self.product(lambda: flashtp.TensorProductConv(*map(str, case.layer.irreps), case.layer.instructions))

    def __call__(self, x, y, w):
        return self.tp(x, y, w, self.graph.receiver, self.graph.sender)


class E3nn(Library):
    name, devices, packages = "e3nn", ("cpu", "cuda"), ("e3nn",)

    def __init__(self, case):
        import e3nn
        super().__init__(case)
        e3nn.set_optimization_defaults(jit_mode="eager")
        self.tp = self.product(lambda: case.layer.tensor_product().to(case.dtype))

    def __call__(self, x, y, w):
        messages = self.tp(x[self.graph.sender], y, w)
        z = torch.zeros(self.graph.nodes, messages.shape[1], dtype=x.dtype, device=x.device)
        return z.index_add(0, self.graph.receiver, messages)


class E3nnCompiled(E3nn):
    """Gather, product and sum under torch.compile."""
    name, highest_order, beyond = "e3nn compiled", 1, "torch.compile does not differentiate twice"

    def __init__(self, case):
        super().__init__(case)
        torch._dynamo.reset()
        self.compiled = torch.compile(super().__call__)

    def __call__(self, x, y, w):
        return self.compiled(x, y, w)


class FlashTP(Library):
    name, packages = "FlashTP", ("flashTP_e3nn",)

    def __init__(self, case):
        import flashTP_e3nn
        super().__init__(case)
        if any(mul % 32 for mul, _ in case.layer.irreps[0]):
            raise Unsupported("needs multiplicities that are multiples of 32")
        # Its table of devices does not know the H200; it has the H100's 227 KB.
        shared = torch.cuda.get_device_properties(0).shared_memory_per_block_optin // 1024
        self.tp = self.product(lambda: flashTP_e3nn.uvu_TP(*case.layer.irreps, case.layer.instructions, smem_size=shared,
                                                           device="cuda", dtype=case.dtype))
        self.sender, self.receiver = self.graph.sender.int(), self.graph.receiver.int()

    def __call__(self, x, y, w):
        return self.tp(x, y, w, self.sender, self.receiver)


class OpenEquivariance(Library):
    name, packages, deterministic = "OpenEquivariance", ("openequivariance",), False

    def __init__(self, case):
        import openequivariance as oeq
        super().__init__(case)
        if self.deterministic and self.graph.edge_order != "receiver":
            raise Unsupported("needs edges sorted by receiver")
        if case.dtype != torch.float32:
            raise Unsupported("called in float32 only")
        problem = oeq.TPProblem(*(oeq.Irreps(str(i)) for i in case.layer.irreps), case.layer.instructions, shared_weights=False,
                                internal_weights=False)
        self.tp = self.product(lambda: oeq.TensorProductConv(problem, deterministic=self.deterministic))
        # The transpose, once a graph: not timed, as an index of this library's is not.
        self.extra = (torch.argsort(self.graph.sender, stable=True),) if self.deterministic else ()

    def __call__(self, x, y, w):
        return self.tp(x, y, w, self.graph.receiver, self.graph.sender, *self.extra)

    # Matrices of weights are transposed and paths sorted there.
    def to_own(self, name, tensor):
        return self.tp.reorder_weights_from_e3nn(tensor, has_batch_dim=True) if name[-1] == "w" else tensor

    def from_own(self, name, tensor):
        return self.tp.reorder_weights_to_e3nn(tensor, has_batch_dim=True) if name[-1] == "w" else tensor


class OpenEquivarianceDeterministic(OpenEquivariance):
    name, deterministic = "OpenEquivariance det", True
    highest_order, beyond = 0, "its gradients are for graphs that have every edge in both directions"


class CuEquivariance(Library):
    """In its own ir_mul layout, so that no transposes count against it; weights in e3nn's order."""
    name, packages, method = "cuEquivariance", ("cuequivariance", "cuequivariance_torch"), "uniform_1d"

    def __init__(self, case):
        import cuequivariance_torch as cuet
        super().__init__(case)
        if any(i[3] != "uvu" for i in case.layer.instructions) or any(mul != 1 for mul, _ in case.layer.irreps[1]):
            raise Unsupported("written for uvu with multiplicities of one in y only")
        self.tp = self.product(lambda: cuet.SegmentedPolynomial(self.polynomial(), method=self.method, math_dtype=case.dtype))
        self.shape = torch.empty(self.graph.nodes, 1, device=self.graph.sender.device)

    def polynomial(self):
        """As cuEquivariance's own channelwise_tensor_product builds it, with e3nn's paths in e3nn's order."""
        import cuequivariance as cue
        import numpy as np
        product = cue.SegmentedTensorProduct.from_subscripts("u,iu,j,ku+ijk")
        x, y, z = self.layer.irreps
        for operand, irreps in ((1, x), (2, y), (3, z)):
            for mul, ir in irreps:
                product.add_segment(operand, (ir.dim,) if operand == 2 else (ir.dim, mul))
        for i in self.layer.exact.instructions:
            (_, ir1), (_, ir2), (_, ir3) = x[i.i_in1], y[i.i_in2], z[i.i_out]
            coefficients = i.path_weight * o3.wigner_3j(ir1.l, ir2.l, ir3.l, dtype=torch.float64).numpy()
            product.add_path(None, i.i_in1, i.i_in2, i.i_out, c=coefficients, dims={"u": x[i.i_in1].mul})
        polynomial = cue.SegmentedPolynomial.eval_last_operand(product.flatten_coefficient_modes())
        # Its kernels want channels in groups of one size.
        size = int(np.gcd.reduce([mul for mul, _ in x]))
        return polynomial.apply_fn(lambda operation, product: (operation, product.split_mode("u", size)))

    def __call__(self, x, y, w):
        return self.tp([w, x, y], {1: self.graph.sender}, {0: self.shape}, {0: self.graph.receiver})[0]

    def irreps_of(self, name):
        return {"x": self.layer.irreps[0], "z": self.layer.irreps[2]}.get(name[-1], ())

    def to_own(self, name, tensor):
        return self.transposed(name, tensor, lambda mul, dim: (mul, dim))

    def from_own(self, name, tensor):
        return self.transposed(name, tensor, lambda mul, dim: (dim, mul))

    def transposed(self, name, tensor, shape):
        irreps = self.irreps_of(name)
        if not irreps:
            return tensor
        parts = [tensor[:, s].reshape(-1, *shape(mul, ir.dim)).mT.flatten(1) for s, (mul, ir) in zip(irreps.slices(), irreps)]
        return torch.cat(parts, dim=1)


LIBRARIES = (Flashtp, E3nn, E3nnCompiled, FlashTP, OpenEquivariance, OpenEquivarianceDeterministic, CuEquivariance)


def missing(library, device):
    """Why a library cannot run here at all, or "". """
    if device not in library.devices:
        return f"does not run on {device}"
    absent = [p for p in library.packages if importlib.util.find_spec(p) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def make(library, case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library(case)
