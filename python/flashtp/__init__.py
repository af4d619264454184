"""Equivariant tensor products, compiled for the machine they run on: fast replacements of e3nn's.

``TensorProduct`` is e3nn's, ``TensorProductConv`` the same with gather and scatter, for message passing.
"""
from . import registrations as _registrations
from .convolution import RadialTensorProductConv, TensorProductConv
from .errors import SpecificationError
from .explaining import cache_counts, explain
from .irreps import Irrep, Irreps
from .products import ElementwiseTensorProduct, FullTensorProduct, FullyConnectedTensorProduct, TensorSquare
from .replacing import Replacement, from_e3nn, replace
from .tensor_product import TensorProduct

__version__ = "0.1.0"
__all__ = ["ElementwiseTensorProduct", "FullTensorProduct", "FullyConnectedTensorProduct", "Irrep", "Irreps", "RadialTensorProductConv",
           "Replacement", "SpecificationError", "TensorProduct", "TensorProductConv", "TensorSquare", "cache_counts", "explain", "from_e3nn",
           "replace"]
