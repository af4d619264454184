"""SevenNet: takes the place of its FlashTP back end, on any device.

    import flashtp.integrations.sevennet
    flashtp.integrations.sevennet.enable()
    calculator = SevenNetCalculator("7net-l3i5", enable_flash=True)
"""
from typing import Optional

import sevenn.model_build as model_build
import sevenn.nn.flash_helper as slot
from sevenn.nn.convolution import IrrepsScatterGatterFusedConvolution
from sevenn.nn.equivariant_gate import EquivariantGate
from sevenn.nn.linear import IrrepsLinear
from sevenn.nn.self_connection import SelfConnectionLinearIntro
from torch import Tensor, nn

from ..convolution import TensorProductConv
from . import e3nn_layers, radial
from .sevennet_edges import EdgeFeatures


class Convolution(nn.Module):
    """What SevenNet calls ``uvu_TP``. Without parameters and buffers, so that state dicts stay what they are."""

    def __init__(self, irreps_in1, irreps_in2, irreps_out, instructions, use_lammps: bool = False):
        super().__init__()
        self.convolution = TensorProductConv(irreps_in1, irreps_in2, irreps_out, instructions)

    def forward(self, x: Tensor, edge_filter: Tensor, weight: Tensor, edge_src: Tensor, edge_dst: Tensor) -> Tensor:
        """z [nodes, irreps_out.dim] of x [nodes, irreps_in1.dim] and of edges from ``edge_src`` to ``edge_dst``."""
        return self.convolution(x, edge_filter, weight, edge_dst, edge_src)


class MessagePassing(IrrepsScatterGatterFusedConvolution):
    """SevenNet's layer, but for what it copies: edges stay as they are, so that all layers of a call share one index, and x is divided
    by the number of neighbours before its products with the edge's attributes make it some ten times as wide. The last layer of the
    radial network is the convolution's where ``radial.is_fused`` says so."""

    def instantiate(self):
        super().instantiate()
        network = self.weight_nn
        if isinstance(network, e3nn_layers.RadialNetwork) and network.last is not None and len(network) > 1:
            self.fused = radial.fused(self.convolution.convolution, network.last.h_in, network.last_scale)

    def forward(self, data):
        receiver, sender = data[self.key_edge_idx].unbind(0)
        if self.is_parallel or len(sender) == 0:
            return super().forward(data)
        radii, harmonics, x = data[self.key_weight_input], data[self.key_filter], data[self.key_x] / self.denominator
        fused = getattr(self, "fused", None)
        if fused is not None and radial.is_fused(self.radial, radii, fused.weight_numel, self.training):
            h = radial.hidden_rows(self.weight_nn.hidden, radii, self.training)
            z = fused(x, harmonics, h, self.weight_nn.last.weight, receiver, sender)
        else:
            z = self.convolution(x, harmonics, self.weight_nn(radii), sender, receiver)
        data[self.key_x] = z
        return data


def enable(*, only_convolutions: bool = False, radial: Optional[bool] = None) -> None:
    """From now on ``enable_flash=True`` (in the calculator, ``build_model`` or ``use_flash_tp`` in a configuration) means this
    package. May be called more than once. Models for LAMMPS are built with ``_flash_lammps`` as before.

    only_convolutions: the layers around the tensor products stay e3nn's, call by call.
    radial: whether convolutions compute the last layers of radial networks, so that the weights of edges are never stored; by default
        where that is known to be faster (``radial.is_fused``).
    """
    global _only_convolutions, _radial
    _only_convolutions, _radial = only_convolutions, radial
    slot.uvu_TP = Convolution
    slot.is_flash_available = lambda: True
    model_build.patch_flash_tp = _patch_layers


_only_convolutions = False
_radial: Optional[bool] = None
_original_patch = model_build.patch_flash_tp


def _patch_layers(layers, config):
    layers = _original_patch(layers, config)
    # TorchScript, which LAMMPS runs, wants SevenNet's own classes.
    if slot.uvu_TP is not Convolution or not config.get("use_flash_tp", False) or config.get("_flash_lammps", False):
        return layers
    for layer in layers.values():
        if type(layer) is IrrepsScatterGatterFusedConvolution:
            layer.__class__, layer.radial = MessagePassing, _radial
        if not _only_convolutions:
            _simplify(layer)
    return layers


def _simplify(layer: nn.Module) -> None:
    """Before SevenNet makes what is inside the layer."""
    if isinstance(layer, MessagePassing):
        layer.weight_nn_cls = e3nn_layers.RadialNetwork
    elif isinstance(layer, (IrrepsLinear, SelfConnectionLinearIntro)):
        layer.linear_cls = e3nn_layers.Linear
    elif EdgeFeatures.can_replace(layer):
        layer.__class__ = EdgeFeatures
        layer.prepare()
    elif isinstance(layer, EquivariantGate) and e3nn_layers.Gate.can_replace(layer.gate):
        layer.gate = e3nn_layers.Gate(layer.gate)
