"""What SevenNet computes of edges before its layers, with fewer calls of torch."""
import sevenn._keys as KEY
import torch
from sevenn.nn.edge_embedding import BesselBasis, EdgeEmbedding, PolynomialCutoff, SphericalEncoding
from torch import Tensor

from .e3nn_harmonics import Harmonics


class EdgeFeatures(EdgeEmbedding):
    """Bessel functions times what ends at the cutoff, and harmonics. SevenNet's Bessel functions are not defined for edges of length
    zero, so there are none. Lengths are inverted once."""

    @staticmethod
    def can_replace(layer) -> bool:
        if type(layer) is not EdgeEmbedding or type(layer.spherical) is not SphericalEncoding:
            return False
        harmonics = layer.spherical
        return (type(layer.basis_function) is BesselBasis and harmonics.lmax > 0 and harmonics.sph.normalize
                and harmonics.normalization == "component")

    def prepare(self) -> None:
        """Of SevenNet's object, whose class was changed."""
        self.harmonics = Harmonics(self.spherical.lmax)
        if type(self.cutoff_function) is PolynomialCutoff:
            self.cutoff_function.__class__ = Polynomial
            self.cutoff_function.prepare()

    def forward(self, data):
        vectors, basis = data[KEY.EDGE_VEC], self.basis_function
        lengths = torch.linalg.norm(vectors, dim=-1, keepdim=True)
        inverse = lengths.reciprocal()
        data[KEY.EDGE_LENGTH] = lengths.squeeze(-1)
        data[KEY.EDGE_EMBEDDING] = torch.sin(basis.coeffs * lengths) * (basis.prefactor * inverse * self.cutoff_function(lengths))
        data[KEY.EDGE_ATTR] = self.harmonics(vectors * inverse)
        return data


class Polynomial(PolynomialCutoff):
    """A call a term. The coefficients are whole numbers, which cancel at the cutoff: so they are not folded into powers of lengths."""

    def prepare(self) -> None:
        """Of SevenNet's object, whose class was changed."""
        self.register_buffer("terms", torch.tensor([-self.coeff_p0, self.coeff_p1, -self.coeff_p2]), persistent=False)

    def forward(self, r: Tensor) -> Tensor:
        r, (constant, linear, square) = r / self.cutoff_length, self.terms
        return 1 + r.pow(self.p) * torch.addcmul(constant, r, torch.addcmul(linear, r, square))
