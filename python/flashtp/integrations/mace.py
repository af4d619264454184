"""MACE: replaces the message-passing products of a model.

    model = flashtp.integrations.mace.convert(model)

Works on any ``MACE`` model, loaded or newly made; imports nothing of MACE.
"""
from typing import Optional

from torch import Tensor, nn

from . import radial as radial_layers
from .e3nn_products import convolution_of


class Convolution(nn.Module):
    """``conv_tp`` of an interaction block with fused gather and scatter. e3nn's tensors stay under e3nn's names."""

    def __init__(self, old: nn.Module, last: Optional[radial_layers.LastLayer] = None):
        super().__init__()
        self.convolution = radial_layers.Convolution(convolution_of(old), last)
        self.irreps_in1, self.irreps_in2, self.irreps_out = old.irreps_in1, old.irreps_in2, old.irreps_out
        self.instructions, self.weight_numel = old.instructions, old.weight_numel
        for name, value in old.named_buffers(recurse=False):
            self.register_buffer(name, value, persistent=name not in old._non_persistent_buffers_set)
        for name, child in old.named_children():
            self.add_module(name, child)

    def forward(self, x: Tensor, y: Tensor, w: Tensor, edge_index: Tensor) -> Tensor:
        """x [nodes, irreps_in1.dim]; y and w [edges, ...], or what the radial network's last layer let pass; edge_index [2, edges]: senders, receivers, in any order."""
        return self.convolution(x, y, w, edge_index[1], edge_index[0])


def convert(model: nn.Module, *, radial: Optional[bool] = None) -> nn.Module:
    """Replaces ``conv_tp`` of every interaction block, in place. State dicts stay what they are. Returns the model.

    radial: whether convolutions compute the last layers of radial networks, so that the weights of edges are never stored; by default
        where that is known to be faster (``radial.is_fused``).
    """
    blocks = [block for block in getattr(model, "interactions", []) if hasattr(block, "conv_tp")]
    if not blocks:
        raise ValueError(f"flashtp: {type(model).__name__} has no interaction blocks with a conv_tp; is it a MACE model?")
    for block in blocks:
        if isinstance(block.conv_tp, Convolution):
            continue
        if getattr(block, "conv_fusion", None) or not hasattr(block.conv_tp, "instructions"):
            raise ValueError(f"flashtp: {type(block).__name__} uses another back end; convert a model with e3nn's products")
        block.conv_tp = Convolution(block.conv_tp, radial_layers.take_last_layer(block.conv_tp_weights, radial))
        # The block asks for it, and then leaves gather and scatter to conv_tp.
        block.conv_fusion = True
    return model
