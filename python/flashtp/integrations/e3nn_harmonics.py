"""Spherical harmonics as tensor products of harmonics: a kernel a degree, where e3nn's are a call of torch a term."""
import functools

import torch
from e3nn import o3
from torch import Tensor, nn

from ..functions import evaluate
from ..specification import specify


class Harmonics(nn.Module):
    """Those of degree 0 to ``lmax``, at least 1, as e3nn's with ``normalization="component"``."""

    def __init__(self, lmax: int):
        super().__init__()
        self.products = [next_degree(degree) for degree in range(1, lmax)]

    def forward(self, units: Tensor) -> Tensor:
        """[rows, (lmax + 1)**2] of unit vectors [rows, 3]"""
        first = units * 3**0.5
        degrees = [units.new_ones(len(units), 1), first]
        for problem in self.products:
            degrees.append(evaluate(problem, [degrees[-1], first]))
        return torch.cat(degrees, 1)


@functools.lru_cache(maxsize=None)
def next_degree(degree: int) -> str:
    """The problem of the harmonics of one degree more, from these and those of degree 1. Products of harmonics are harmonics but for a
    factor, which a point tells."""
    point = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
    here, first, wanted = (o3.spherical_harmonics(l, point, normalize=False, normalization="component")
                           for l in (degree, 1, degree + 1))
    product = torch.einsum("ijk,i,j->k", o3.wigner_3j(degree, 1, degree + 1, dtype=torch.float64), here, first)
    factor = float((wanted @ product) / (product @ product))
    return specify([f"1x{degree}e", "1x1e", f"1x{degree + 1}e"], [(0, 0, 0, "uuu", False, factor**2)], irrep_normalization="none",
                   path_normalization="none").problem
