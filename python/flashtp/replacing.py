"""Exchanges e3nn's tensor products in a model for this package's."""
from typing import NamedTuple

import torch
from torch import nn

from .products import TensorSquare
from .tensor_product import TensorProduct

_E3NN = "e3nn.o3._tensor_product"
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Replacement(NamedTuple):
    """What happened to one tensor product: its name in the model, what it is, and why it was left, or "" where it was replaced."""

    name: str
    module: str
    why_not: str = ""


def replace(model: nn.Module) -> list[Replacement]:
    """Exchanges e3nn's tensor products inside ``model``, in place, and lists them all, with those that were left.

    Parameters stay the same objects and the state dict stays the same, so optimisers and checkpoints go on working. A product
    followed by scatter is two steps still: ``TensorProductConv`` in the model's own code is faster.
    """
    if _is_e3nns(model):
        raise ValueError("replace() changes what a module holds; this is a tensor product itself. Use from_e3nn(module)")
    done: dict[nn.Module, nn.Module] = {}
    report = []
    for parent_name, parent in list(model.named_modules()):
        for child_name, child in list(parent._modules.items()):  # a module may stand under several names
            if child is None or not _is_e3nns(child):
                continue
            why_not = _obstacle(parent, child)
            if not why_not:
                done[child] = done[child] if child in done else from_e3nn(child)
                setattr(parent, child_name, done[child])
            report.append(Replacement(f"{parent_name}.{child_name}".lstrip("."), repr(child), why_not))
    return report


def from_e3nn(module: nn.Module) -> TensorProduct:
    """A tensor product of e3nn on compiled kernels, with the same parameters and buffers under the same names."""
    if _e3nn_class(module) is None:
        raise TypeError(f"from_e3nn takes a tensor product of e3nn, not {type(module).__name__}")
    cls = TensorSquare if _e3nn_class(module).__name__ == "TensorSquare" else TensorProduct
    made = cls.__new__(cls)
    # e3nn keeps final coefficients; their squares are the variances that give them back.
    paths = [(*tuple(path)[:5], path.path_weight**2) for path in module.instructions]
    TensorProduct.__init__(made, module.irreps_in1, module.irreps_in2, module.irreps_out, paths, irrep_normalization="none",
                           path_normalization="none", internal_weights=False, shared_weights=module.shared_weights,
                           compile_right=module._did_compile_right)
    if cls is TensorSquare:
        made.irreps_in = made.irreps_in1
    made.internal_weights = module.internal_weights
    if isinstance(module.weight, nn.Parameter):
        del made.weight  # the buffer that takes its place otherwise
    made.weight = module.weight
    made.output_mask = module.output_mask
    for name, code in module.named_children():
        made.add_module(name, _Buffers(code))
    return made.train(module.training)


class _Buffers(nn.Module):
    """Buffers of e3nn's generated code, which its state dict has and nothing here reads."""

    def __init__(self, code: nn.Module):
        super().__init__()
        for name, value in code.state_dict().items():
            self.register_buffer(name, value)


def _obstacle(parent: nn.Module, module: nn.Module) -> str:
    """Why a module is left, or ""."""
    if isinstance(parent, torch.jit.ScriptModule):
        return "it is part of a TorchScript module"
    if type(module).forward is not _e3nn_class(module).forward:
        return f"{type(module).__name__} has a forward of its own"
    if any(getattr(module, hooks, None) for hooks in _HOOKS):
        return "it has hooks"
    return ""


def _is_e3nns(module: nn.Module) -> bool:
    return _e3nn_class(module) is not None


def _e3nn_class(module: nn.Module):
    """The class of e3nn that a module is of or derived from. e3nn need not be imported for this."""
    return next((c for c in type(module).__mro__ if c.__module__.startswith(_E3NN) and hasattr(c, "weight_views")), None)
