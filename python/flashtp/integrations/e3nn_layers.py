"""What surrounds the tensor products of an e3nn model, with fewer calls of torch: small models spend their time in them.

Parameters, buffers and results are e3nn's, to rounding. A layer that is used in a way that is not known here does what e3nn's does.
"""
from typing import Callable, NamedTuple, Optional, Sequence

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.utils.weak import WeakTensorKeyDictionary


class Linear(o3.Linear):
    """One product of matrices an irrep, and one split or concatenation for what e3nn narrows: its gradient is then one
    concatenation, not a sum of arrays that are zero but for a slice."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.is_simple = (self.bias_numel == 0 and self.internal_weights and self.shared_weights
                          and [path.i_out for path in self.instructions] == list(range(len(self.irreps_out)))
                          and all(path.i_in >= 0 for path in self.instructions))
        self.in_shapes = tuple((segment.mul, segment.ir.dim) for segment in self.irreps_in)
        self.weight_sizes = [path.path_shape[0] * path.path_shape[1] for path in self.instructions] if self.is_simple else []
        scale = [torch.full((self.irreps_out[path.i_out].dim,), path.path_weight) for path in self.instructions if self.is_simple]
        self.register_buffer("path_scale", torch.cat(scale) if scale else torch.ones(0), persistent=False)

    def forward(self, features: Tensor, weight: Optional[Tensor] = None, bias: Optional[Tensor] = None) -> Tensor:
        """[rows, irreps_out.dim] of [rows, irreps_in.dim]"""
        if not self.is_simple or weight is not None or bias is not None or features.dim() != 2:
            return super().forward(features, weight, bias)
        columns, weights = columns_of(features, self.in_shapes), self.weight.split(self.weight_sizes)
        mixed = [mix_channels(columns[path.i_in], w.view(path.path_shape)) for path, w in zip(self.instructions, weights)]
        # Not the weights: autograd would keep another copy of them.
        return (mixed[0] if len(mixed) == 1 else torch.cat(mixed, 1)) * self.path_scale


def mix_channels(columns: Tensor, weight: Tensor) -> Tensor:
    """[rows, w * components] of [rows, components, u] and [u, w]"""
    rows, components, channels = columns.shape
    mixed = columns.view(-1, channels) @ weight
    return mixed if components == 1 else mixed.view(rows, components, -1).transpose(1, 2).flatten(1)


_columns = WeakTensorKeyDictionary()


def columns_of(features: Tensor, shapes: tuple[tuple[int, int], ...]) -> list[Tensor]:
    """The segments of features, (channels, components) each, as contiguous [rows, components, channels]. Autograd keeps them for the
    gradient in the weights, so layers that are given the same features share them."""
    key = (features._version, torch.is_grad_enabled(), shapes)
    known = None if is_compiling() else _columns.get(features)
    if known is None or known[0] != key:
        segments = features.split([channels * components for channels, components in shapes], 1)
        known = key, [segment.unflatten(1, shape).transpose(1, 2).contiguous() for segment, shape in zip(segments, shapes)]
        if not is_compiling():
            _columns[features] = known
    return known[1]


class RadialNetwork(e3nn_nn.FullyConnectedNet):
    """Factors go into the matrices, which are smaller than rows of edges. Its last layer may be left to a convolution, which then gets
    what ``hidden`` gives and multiplies it by ``last_scale * last.weight``."""

    def forward(self, x: Tensor) -> Tensor:
        h, factor = self.hidden(x), self.last_scale
        return h * factor if self.last is None else h @ (self.last.weight * factor)

    def hidden(self, x: Tensor) -> Tensor:
        """[rows, channels] before the last layer; all layers where the last one has an activation."""
        factor = 1.0
        for layer in self:
            if layer.act is None:
                break
            activation = Activation.of(layer.act)
            x = activation.function(x @ (layer.weight * (factor * (layer.h_in * layer.var_in)**-0.5)))
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


class Activation(NamedTuple):
    """factor * function(x)"""

    function: Callable
    factor: float = 1.0

    @staticmethod
    def of(act) -> "Activation":
        """act: a function, or how e3nn normalises one."""
        if not hasattr(act, "cst"):
            return Activation(act)
        return Activation(act.f, 1.0 if act._is_id else act.cst)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.function(x)
        return y if self.factor == 1.0 else y * self.factor


class Gate(e3nn_nn.Gate):
    """A gate whose input is its scalars, the gates and what they gate, in this order: ``can_replace`` says so."""

    def __init__(self, old: e3nn_nn.Gate):
        # Not the base class's, which would make another product.
        nn.Module.__init__(self)
        for name in ("irreps_scalars", "irreps_gates", "irreps_gated", "_irreps_in", "_irreps_out"):
            setattr(self, name, getattr(old, name))
        for name, child in old.named_children():
            self.add_module(name, child)
        self.activations = merged((mul, act) for part in (old.act_scalars, old.act_gates) for mul, _, act in part.paths)
        self.in_widths = [sum(width for width, _ in self.activations), *(segment.dim for segment in self.irreps_gated)]
        self.scalar_widths = [self.irreps_scalars.dim, *(segment.mul for segment in self.irreps_gated)]

    @staticmethod
    def can_replace(old: e3nn_nn.Gate) -> bool:
        columns = torch.arange(old.irreps_in.dim, dtype=torch.float64)
        return type(old) is e3nn_nn.Gate and torch.equal(torch.cat(old.sc(columns)), columns)

    def forward(self, features: Tensor) -> Tensor:
        """[rows, irreps_out.dim] of [rows, irreps_in.dim]"""
        if features.dim() != 2:
            return super().forward(features)
        scalars, *gated = features.split(self.in_widths, 1)
        scalars, *gates = self.activated(scalars).split(self.scalar_widths, 1)
        # Not views: their products would keep the scalars alive.
        gates = [gate.contiguous() for gate in gates]
        products = [(values.unflatten(1, (gate.shape[1], -1)) * gate.unsqueeze(2)).flatten(1) for values, gate in zip(gated, gates)]
        return torch.cat([scalars, *products], 1) if products else scalars

    def activated(self, scalars: Tensor) -> Tensor:
        if len(self.activations) == 1:
            return self.activations[0][1](scalars)
        parts = scalars.split([width for width, _ in self.activations], 1)
        return torch.cat([activation(part) for (_, activation), part in zip(self.activations, parts)], 1)


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
