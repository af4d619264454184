"""Equivariant tensor products, compiled for the machine they run on: fast replacements of e3nn's.

``TensorProduct`` is e3nn's, ``TensorProductConv`` the same with gather and scatter, for message passing.
"""
from . import registrations as _registrations
from .convolution import TensorProductConv
from .irreps import Irrep, Irreps
from .tensor_product import TensorProduct

__version__ = "0.1.0"
__all__ = ["Irrep", "Irreps", "TensorProduct", "TensorProductConv"]
