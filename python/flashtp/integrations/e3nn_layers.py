"""What surrounds the tensor products of an e3nn model, with fewer calls of torch: small models spend their time in them.

Parameters, buffers and results are e3nn's, to rounding. A layer that is used in a way that is not known here does what e3nn's does,
and so does each where C++ cannot be called directly (``flashtp.explain()``).
"""
import functools
from typing import Callable, NamedTuple, Optional, Sequence

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from torch import Tensor, nn
from torch.compiler import is_compiling

from .. import _library


class LinearLayout(NamedTuple):
    """Arguments of ``flashtp::linear_layout``. A path: where its channels begin in the input, in the output and in the weights, the
    number of channels there and there, and of components."""

    in_width: int
    out_width: int
    weight_count: int
    paths: tuple[int, ...]
    scales: tuple[float, ...]


@functools.lru_cache(maxsize=None)
def number_of(layout: LinearLayout) -> int:
    """In this process."""
    return torch.ops.flashtp.linear_layout(*layout)


def linear(features: Tensor, weight: Tensor, layout: LinearLayout) -> Optional[Tensor]:
    """[rows, out_width] of [rows, in_width] and [weight_count]; None where something other than autograd looks on."""
    if _library.FAST_CALL is None or is_compiling():
        return None
    return _library.FAST_CALL.linear(features, weight, number_of(layout))


def silu(x: Tensor) -> Tensor:
    """torch's, with second derivatives of fewer calls."""
    y = None if _library.FAST_CALL is None or is_compiling() else _library.FAST_CALL.silu(x)
    return nn.functional.silu(x) if y is None else y


class Linear(o3.Linear):
    """One call, and one for each gradient; see csrc/linear.cpp."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        known = self.bias_numel == 0 and self.internal_weights and self.shared_weights and all(p.i_in >= 0 for p in self.instructions)
        self.layout = layout_of(self) if known else None

    def forward(self, features: Tensor, weight: Optional[Tensor] = None, bias: Optional[Tensor] = None) -> Tensor:
        """[rows, irreps_out.dim] of [rows, irreps_in.dim]"""
        if self.layout is not None and weight is None and bias is None:
            mixed = linear(features, self.weight, self.layout)
            if mixed is not None:
                return mixed
        return super().forward(features, weight, bias)


def layout_of(layer: o3.Linear) -> LinearLayout:
    paths, first_weight = [], 0
    for path in layer.instructions:
        inputs, outputs = path.path_shape
        starts = layer.irreps_in[:path.i_in].dim, layer.irreps_out[:path.i_out].dim, first_weight
        paths += [*starts, inputs, outputs, layer.irreps_in[path.i_in].ir.dim]
        first_weight += inputs * outputs
    return LinearLayout(layer.irreps_in.dim, layer.irreps_out.dim, first_weight, tuple(paths),
                        tuple(float(path.path_weight) for path in layer.instructions))


class RadialNetwork(e3nn_nn.FullyConnectedNet):
    """Factors go into the products. Its last layer may be left to a convolution, which then gets what ``hidden`` gives and multiplies
    it by ``last_scale * last.weight``."""

    def forward(self, x: Tensor) -> Tensor:
        h, factor = self.hidden(x), self.last_scale
        return h * factor if self.last is None else scaled_product(h, self.last.weight, factor)

    def hidden(self, x: Tensor) -> Tensor:
        """[rows, channels] before the last layer; all layers where the last one has an activation."""
        factor = 1.0
        for layer in self:
            if layer.act is None:
                break
            activation = Activation.of(layer.act)
            x = activation.function(scaled_product(x, layer.weight, factor * (layer.h_in * layer.var_in)**-0.5))
            factor = activation.factor * layer.var_out**0.5
        return x

    @property
    def last(self) -> Optional[nn.Module]:
        """The last layer, where it is a product of matrices."""
        return self[-1] if self[-1].act is None else None

    @property
    def last_scale(self) -> float:
        """What is left to multiply by after ``hidden``."""
        def gain(layer):
            return Activation.of(layer.act).factor * layer.var_out**0.5
        if self.last is None:
            return gain(self[-1])
        own = (self.last.var_out / (self.last.h_in * self.last.var_in))**0.5
        return own * gain(self[-2]) if len(self) > 1 else own


def scaled_product(x: Tensor, matrix: Tensor, scale: float) -> Tensor:
    """scale * x @ matrix"""
    inputs, outputs = matrix.shape
    y = linear(x, matrix.view(-1), LinearLayout(inputs, outputs, inputs * outputs, (0, 0, 0, inputs, outputs, 1), (scale,)))
    return x @ (matrix * scale) if y is None else y


class Activation(NamedTuple):
    """factor * function(x)"""

    function: Callable
    factor: float = 1.0

    @staticmethod
    def of(act) -> "Activation":
        """act: a function, or how e3nn normalises one."""
        if not hasattr(act, "cst"):
            return Activation(known(act))
        return Activation(known(act.f), 1.0 if act._is_id else act.cst)


def known(function: Callable) -> Callable:
    return silu if function is nn.functional.silu or type(function) is nn.SiLU else function


class Gate(e3nn_nn.Gate):
    """A gate whose input is its scalars, the gates and what they gate, in this order: ``can_replace`` says so. Gates are repeated for
    the components by a product with ``components``: its gradient is one as well, and no sums over slices."""

    def __init__(self, old: e3nn_nn.Gate):
        # Not the base class's, which would make another product.
        nn.Module.__init__(self)
        for name in ("irreps_scalars", "irreps_gates", "irreps_gated", "_irreps_in", "_irreps_out"):
            setattr(self, name, getattr(old, name))
        for name, child in old.named_children():
            self.add_module(name, child)
        self.activations = merged((mul, act) for part in (old.act_scalars, old.act_gates) for mul, _, act in part.paths)
        factors = torch.cat([torch.full((width,), activation.factor) for width, activation in self.activations])
        self.in_widths = [len(factors), self.irreps_gated.dim]
        self.scalar_widths = [self.irreps_scalars.dim, self.irreps_gates.dim]
        scalar_factors, gate_factors = factors.split(self.scalar_widths)
        repeats = torch.tensor([segment.ir.dim for segment in self.irreps_gated for _ in range(segment.mul)], dtype=torch.int64)
        self.register_buffer("scalar_factors", scalar_factors, persistent=False)
        self.register_buffer("components", gate_factors.diag().repeat_interleave(repeats, 1), persistent=False)

    @staticmethod
    def can_replace(old: e3nn_nn.Gate) -> bool:
        columns = torch.arange(old.irreps_in.dim, dtype=torch.float64)
        return type(old) is e3nn_nn.Gate and torch.equal(torch.cat(old.sc(columns)), columns)

    def forward(self, features: Tensor) -> Tensor:
        """[rows, irreps_out.dim] of [rows, irreps_in.dim]"""
        if features.dim() != 2:
            return super().forward(features)
        scalars, gated = features.split(self.in_widths, 1)
        scalars, gates = self.activated(scalars).split(self.scalar_widths, 1)
        scalars = scalars * self.scalar_factors
        return torch.cat([scalars, gated * (gates @ self.components)], 1) if self.scalar_widths[1] else scalars

    def activated(self, scalars: Tensor) -> Tensor:
        """Without factors."""
        if len(self.activations) == 1:
            return self.activations[0][1].function(scalars)
        parts = scalars.split([width for width, _ in self.activations], 1)
        return torch.cat([activation.function(part) for (_, activation), part in zip(self.activations, parts)], 1)


def identity(x: Tensor) -> Tensor:
    return x


def merged(paths) -> Sequence[tuple[int, Activation]]:
    """Columns and their activation; neighbours with the same one are one."""
    runs: list[tuple[int, Activation]] = []
    for width, act in paths:
        activation = Activation(identity) if act is None else Activation.of(act)
        if runs and runs[-1][1] == activation:
            width += runs.pop()[0]
        runs.append((width, activation))
    return runs
