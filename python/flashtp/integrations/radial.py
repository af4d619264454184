"""Radial networks whose last layer the convolution computes, so that the weights of edges never reach memory."""
from typing import Callable, Optional

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..convolution import TensorProductConv
from ..functions import is_traced

# Weights of a layer and call, from which on a device is no slower without storing them: 1 GiB and 512 MiB in float32
# (docs/performance.md).
LEAST_WEIGHTS = {"cpu": 2**28, "cuda": 2**27}
# Edges, from which on the hidden layers of radial networks are computed again for gradients: for each layer of convolutions autograd
# would keep 1 KB an edge of them (64 channels, two layers), which then is most of what a model needs.
LEAST_EDGES_COMPUTED_AGAIN = 2**21


def is_fused(choice: Optional[bool], rows: Tensor, weight_numel: int, training: bool) -> bool:
    """Whether the convolution makes the weights of edges with these rows: as chosen; by default from LEAST_WEIGHTS on, but not in
    training on GPUs, where the gradient of W2 takes longer. A graph that is traced serves all sizes and has them stored."""
    if choice is not None:
        return choice
    kind = rows.device.type
    if kind not in LEAST_WEIGHTS or is_traced() or (training and kind != "cpu"):
        return False
    return rows.shape[0] * weight_numel >= LEAST_WEIGHTS[kind]


def fused(conv: TensorProductConv, hidden: int, scale: float) -> TensorProductConv:
    """The same convolution with weights ``scale * h @ W2``."""
    return TensorProductConv(conv.irreps_in1, conv.irreps_in2, conv.irreps_out, [i[:5] for i in conv.instructions],
                             radial={"hidden": hidden, "scale": scale})


def hidden_rows(hidden: Callable[[Tensor], Tensor], radii: Tensor, training: bool) -> Tensor:
    """``hidden(radii)``. Training differentiates twice, and what is computed again for the first derivative stays for the second."""
    if training or len(radii) < LEAST_EDGES_COMPUTED_AGAIN or is_traced():
        return hidden(radii)
    return checkpoint(hidden, radii, use_reentrant=False, preserve_rng_state=False)


class LastLayer(nn.Module):
    """The last layer of a radial network, ``scale * h @ weight``. Where the convolution makes that product, what it is given passes."""

    def __init__(self, weight: nn.Parameter, scale: float, choice: Optional[bool]):
        super().__init__()
        self.weight, self.scale, self.choice = weight, scale, choice

    def forward(self, h: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            if self.is_left_out(h):
                return h
        return h @ (self.weight * self.scale)

    def is_left_out(self, rows: Tensor) -> bool:
        """The same for h and for what is made of it."""
        return is_fused(self.choice, rows, self.weight.shape[1], self.training)


class Convolution(nn.Module):
    """A convolution of what a radial network gives: weights, or what its ``LastLayer`` let pass."""

    def __init__(self, conv: TensorProductConv, last: Optional[LastLayer] = None):
        super().__init__()
        self.convolution = conv
        self.fused = None if last is None else fused(conv, last.weight.shape[0], last.scale)
        # Not a child: its parameter is the network's.
        self.last = (last,)

    def forward(self, x: Tensor, y: Tensor, rows: Tensor, receiver: Tensor, sender: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            if self.fused is not None and self.last[0].is_left_out(rows):
                return self.fused(x, y, rows, self.last[0].weight, receiver, sender)
        return self.convolution(x, y, rows, receiver, sender)


def take_last_layer(network: nn.Module, choice: Optional[bool]) -> Optional[LastLayer]:
    """Puts a ``LastLayer`` into e3nn's ``FullyConnectedNet`` or NequIP's ``ScalarMLPFunction``, in place. None for networks of one
    layer, with a bias or an activation at the end, or of another kind: they stay as they are."""
    layers = getattr(network, "mlp", network)
    if choice is False or not isinstance(layers, nn.Sequential) or len(layers) < 2:
        return None
    name, layer = list(layers.named_children())[-1]
    scale = _scale(layer)
    if scale is None or list(dict(layer.named_parameters())) != ["weight"]:
        return None
    last = LastLayer(layer.weight, scale, choice)
    setattr(layers, name, last)
    return last


def _scale(layer: nn.Module) -> Optional[float]:
    if hasattr(layer, "alpha"):  # NequIP's
        return float(layer.alpha)
    if hasattr(layer, "var_out") and layer.act is None:  # e3nn's
        return (layer.var_out / (layer.h_in * layer.var_in)) ** 0.5
    return None
