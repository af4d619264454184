"""Convolutions that take the place of e3nn's products between a gather and a scatter."""
from torch import nn

from ..convolution import TensorProductConv


def convolution_of(product: nn.Module) -> TensorProductConv:
    """``product`` is an ``e3nn.o3.TensorProduct`` with a row of weights an edge."""
    conv = TensorProductConv(product.irreps_in1, product.irreps_in2, product.irreps_out, [i[:5] for i in product.instructions])
    for mine, theirs in zip(conv.instructions, product.instructions):
        if abs(mine.path_weight - theirs.path_weight) > 1e-6 * abs(theirs.path_weight):
            raise ValueError(f"flashtp: {theirs} has a path weight or a normalisation of its own")
    return conv
