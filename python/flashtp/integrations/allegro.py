"""Allegro's contraction on compiled kernels. The model modifier ``enable_FlashTPContracter`` (integrations/nequip.py) exchanges it."""
import functools

import torch
from allegro.nn._strided._contract import Contracter
from torch import Tensor

from ..convolution import TensorProductConv
from ..functions import is_traced


class FlashTPContracter(Contracter):
    """Allegro's contraction of what edges hold with what their atoms hold, gathered in the kernel. Every edge is a receiver of its
    own. It keeps Allegro's weights and its buffer ``w3j``: state dicts stay what they are."""

    def __init__(self, old: Contracter):
        # Not the base class's, which would make weights and symbols anew.
        super(Contracter, self).__init__()
        for name in ("irreps_in1", "irreps_in2", "irreps_out", "mul", "num_paths", "instructions", "path_channel_coupling",
                     "scatter_factor", "irrep_normalization", "base_dim1", "base_dim2", "base_dim_out"):
            setattr(self, name, getattr(old, name))
        self.weights = old.weights
        self.register_buffer("w3j", old.w3j)
        edges, atoms, out = ([(self.mul, ir) for _, ir in irreps] for irreps in (self.irreps_in1, self.irreps_in2, self.irreps_out))
        paths = self.instructions or _all_paths(self.irreps_in1, self.irreps_in2, self.irreps_out)
        # Allegro's rows are [channel, component]; with components first they are segments of the layout ir_mul.
        self.convolution = TensorProductConv(atoms, edges, out, [(j, i, k, "uuu", True) for i, j, k in paths], shared_weights=True,
                                             irrep_normalization=self.irrep_normalization or "none", path_normalization="none",
                                             layout="ir_mul")
        # Exchanging the factors changes the sign of odd 3j symbols; there are none where parities are those of harmonics.
        ls = [(self.irreps_in1[i].ir.l, self.irreps_in2[j].ir.l, self.irreps_out[k].ir.l) for i, j, k in paths]
        has_odd = any(sum(three) % 2 for three in ls)
        signs = old.weights.new_tensor([(-1.0) ** sum(three) for three in ls])[:, None] if has_odd else None
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, x1: Tensor, x2: Tensor, idxs: Tensor) -> Tensor:
        """x1: [edges, mul, base_dim1] or flat. x2: [atoms, mul, base_dim2] or flat. idxs: the atom of each edge. Returns
        [edges, mul, base_dim_out]."""
        edges, atoms = (t.reshape(-1, self.mul, width).transpose(1, 2).flatten(1)
                        for t, width in ((x1, self.base_dim1), (x2, self.base_dim2)))
        weights = self.weights.reshape(-1, self.num_paths).T
        if self.signs is not None:
            weights = weights * self.signs
        weights = weights.expand(self.num_paths, self.mul).reshape(-1)
        z = self.convolution(atoms, edges, weights, _each_row(edges.shape[0], idxs), idxs, edges.shape[0])
        return z.reshape(-1, self.base_dim_out, self.mul).transpose(1, 2)


def _all_paths(irreps_in1, irreps_in2, irreps_out):
    """Allegro's default, in its order."""
    return [(i, j, k) for k, (_, out) in enumerate(irreps_out) for i, (_, one) in enumerate(irreps_in1)
            for j, (_, two) in enumerate(irreps_in2) if out in one * two]


def _each_row(count, like: Tensor) -> Tensor:
    """0, 1, ..., count - 1: the same tensor in all layers of a call, so that they share one index."""
    if is_traced():
        return torch.arange(count, dtype=like.dtype, device=like.device)
    return _remembered_rows(count, like.dtype, like.device)


@functools.lru_cache(maxsize=2)
def _remembered_rows(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.arange(count, dtype=dtype, device=device)
