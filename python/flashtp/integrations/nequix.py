"""Nequix: replaces the message-passing products of a torch model.

    model = flashtp.integrations.nequix.convert(model)

``model`` is a ``NequixTorch`` made without a kernel (``load_model(path, use_kernel=False)``); imports nothing of Nequix.
"""
from torch import nn

from .e3nn_products import convolution_of


def convert(model: nn.Module) -> nn.Module:
    """Puts a convolution into the slot of OpenEquivariance's in every layer, in place. e3nn's products stay where they are, so that
    state dicts stay what they are. Returns the model."""
    layers = [layer for layer in getattr(model, "layers", []) if hasattr(layer, "kernel") and hasattr(layer, "linear_1")]
    if not layers:
        raise ValueError(f"flashtp: {type(model).__name__} has no convolution layers; is it a NequixTorch model?")
    for layer in layers:
        if not hasattr(layer, "tp"):
            raise ValueError("flashtp: the model was made with a kernel; make it with kernel=False")
        # The layer calls it as (messages, harmonics, weights, receivers, senders).
        layer.tp_conv = convolution_of(layer.tp)
        layer.kernel = True
    return model
