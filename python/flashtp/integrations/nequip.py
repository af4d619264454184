"""NequIP and Allegro: the model modifiers ``enable_FlashTP`` and ``enable_FlashTPContracter``, for training and compilation, on any
device.

Loaded by NequIP itself, through the entry point ``nequip.extension``; a modifier is named in the configuration or on the command
line, as the frameworks' own are.
"""
import functools
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from typing import Optional

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
    from .allegro import FlashTPContracter
    return replace_submodules(model, cls, lambda old: old if isinstance(old, FlashTPContracter) else FlashTPContracter(old))


# By the class that has it, whose modules it replaces.
MODIFIERS = {"nequip.nn._tp_scatter_base.TensorProductScatter": enable_FlashTP,
             "allegro.nn._strided._contract.Contracter": enable_FlashTPContracter}


def _with_ours(get_all_modifiers):
    """NequIP finds modifiers by what a model's classes have. They get ours when NequIP looks: Allegro's are not there when NequIP loads
    this module, and every packaged model brings classes of its own, made of the sources in the package."""
    @functools.wraps(get_all_modifiers)
    def found(module, *args, **options):
        kind = type(module)
        # torch.package puts a name of the package in front.
        source = kind.__module__.rpartition(">.")[2]
        modifier = MODIFIERS.get(f"{source}.{kind.__qualname__}")
        if modifier is not None:
            setattr(kind, modifier.__func__.__name__, modifier)
        return get_all_modifiers(module, *args, **options)
    return found


class _AfterImport(MetaPathFinder):
    """Changes the module that finds modifiers when it is imported: NequIP imports this module before it can import that one."""
    name = "nequip.model.modify_utils"

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_change(module):
            execute(module)
            self.change(module)
        spec.loader.exec_module = execute_and_change
        return spec

    @staticmethod
    def change(module):
        module.get_all_modifiers = _with_ours(module.get_all_modifiers)


if _AfterImport.name in sys.modules:
    _AfterImport.change(sys.modules[_AfterImport.name])
else:
    sys.meta_path.insert(0, _AfterImport())
