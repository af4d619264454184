"""SevenNet: takes the place of its FlashTP back end, on any device.

    import flashtp.integrations.sevennet
    flashtp.integrations.sevennet.enable()
    calculator = SevenNetCalculator("7net-l3i5", enable_flash=True)
"""
import sevenn.nn.flash_helper as slot
import torch
from sevenn.nn.convolution import IrrepsScatterGatterFusedConvolution
from torch import Tensor, nn

from ..convolution import TensorProductConv

_INT32_EDGES = "flashtp_edge_index"


class Convolution(nn.Module):
    """What SevenNet calls ``uvu_TP``. Without parameters and buffers, so that state dicts stay what they are."""

    def __init__(self, irreps_in1, irreps_in2, irreps_out, instructions, use_lammps: bool = False):
        super().__init__()
        self.convolution = TensorProductConv(irreps_in1, irreps_in2, irreps_out, instructions)

    def forward(self, x: Tensor, edge_filter: Tensor, weight: Tensor, edge_src: Tensor, edge_dst: Tensor) -> Tensor:
        """z [nodes, irreps_out.dim] of x [nodes, irreps_in1.dim] and of edges from ``edge_src`` to ``edge_dst``, int32."""
        return self.convolution(x, edge_filter, weight, edge_dst, edge_src)


class SharedEdges(IrrepsScatterGatterFusedConvolution):
    """SevenNet's layer, which gives its slot edges in int32. SevenNet copies them in every layer; here all layers of a call share
    one copy, and with it one index."""

    def forward(self, data):
        edges = data[self.key_edge_idx]
        if _INT32_EDGES not in data:
            data[_INT32_EDGES] = edges.to(torch.int32)
        data[self.key_edge_idx] = data[_INT32_EDGES]
        try:
            return super().forward(data)
        finally:
            data[self.key_edge_idx] = edges


def enable() -> None:
    """From now on ``enable_flash=True`` (in the calculator, ``build_model`` or ``use_flash_tp`` in a configuration) means this
    package. May be called more than once. Models for LAMMPS are built with ``_flash_lammps`` as before."""
    slot.uvu_TP = Convolution
    slot.is_flash_available = lambda: True
    if slot.patch_convolution is not _patch_convolution:
        slot.patch_convolution = _patch_convolution


_original_patch = slot.patch_convolution


def _patch_convolution(irreps_convolution, _flash_lammps: bool = False):
    patched = _original_patch(irreps_convolution, _flash_lammps)
    # TorchScript, which LAMMPS runs, wants SevenNet's own class.
    if not _flash_lammps:
        patched.__class__ = SharedEdges
    return patched
