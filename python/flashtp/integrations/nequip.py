"""NequIP and Allegro: the model modifiers ``enable_FlashTP`` and ``enable_FlashTPContracter``, for training and compilation, on any
device.

Loaded by NequIP itself, through the entry point ``nequip.extension``; a modifier is named in the configuration or on the command
line, as the frameworks' own are.
"""
from typing import Optional

from nequip.nn import SequentialGraphNetwork
from nequip.nn._tp_scatter_base import TensorProductScatter
from nequip.nn.model_modifier_utils import model_modifier, replace_submodules

from ..convolution import TensorProductConv
from . import radial as radial_layers


class FlashTPTensorProductScatter(TensorProductScatter):
    """NequIP's gather, product and sum as one kernel. It keeps e3nn's ``tp`` and its buffers: state dicts stay what they are."""

    # What has to be imported before a compiled model can be loaded.
    _nequip_custom_ops_libs = ("flashtp",)

    def __init__(self, old: TensorProductScatter):
        # Not the base class's, which would build another e3nn product.
        super(TensorProductScatter, self).__init__()
        for name in ("feature_irreps_in", "irreps_edge_attr", "irreps_mid", "instructions", "model_dtype", "tp"):
            setattr(self, name, getattr(old, name))
        conv = TensorProductConv(old.feature_irreps_in, old.irreps_edge_attr, old.irreps_mid, old.instructions)
        self.convolution = radial_layers.Convolution(conv)

    def take_last_layer(self, network, choice: Optional[bool]) -> None:
        """Of the radial network that makes ``edge_weight``."""
        last = radial_layers.take_last_layer(network, choice)
        self.convolution = radial_layers.Convolution(self.convolution.convolution, last)

    def forward(self, x, edge_attr, edge_weight, edge_dst, edge_src):
        # Under autocast the operands may come in other types.
        x, edge_attr, edge_weight = (t.to(self.model_dtype) for t in (x, edge_attr, edge_weight))
        return self.convolution(x, edge_attr, edge_weight, edge_dst, edge_src)


@model_modifier(persistent=False, private=False, unsupported_devices=[], supported_compile_modes=["aotinductor"])
@classmethod
def enable_FlashTP(cls, model, radial: Optional[bool] = None):
    """Run all tensor products of message passing in kernels that are compiled for this machine.

    ``radial``: whether they compute the last layers of radial networks too, so that the weights of edges are never stored; by default
    where that is known to be faster."""
    model = replace_submodules(model, cls, FlashTPTensorProductScatter)
    for block in model.modules():
        if isinstance(getattr(block, "tp_scatter", None), FlashTPTensorProductScatter) and hasattr(block, "edge_mlp"):
            block.tp_scatter.take_last_layer(block.edge_mlp, radial)
    return model


@model_modifier(persistent=False, private=False, unsupported_devices=[], supported_compile_modes=["aotinductor"])
@classmethod
def enable_FlashTPContracter(cls, model):
    """Run Allegro's tensor products in kernels that are compiled for this machine."""
    # Not before: Allegro imports NequIP, which is not ready when it loads this module.
    from .allegro import Contracter, FlashTPContracter
    return replace_submodules(model, Contracter, lambda old: old if isinstance(old, FlashTPContracter) else FlashTPContracter(old))


TensorProductScatter.enable_FlashTP = enable_FlashTP
# Every model has it, and NequIP finds modifiers by what a model has.
SequentialGraphNetwork.enable_FlashTPContracter = enable_FlashTPContracter
