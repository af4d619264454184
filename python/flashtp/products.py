"""e3nn's tensor products whose instructions follow from their irreps."""
from typing import Iterable, Optional

from torch import Tensor

from .errors import SpecificationError
from .irreps import Irreps, as_irrep
from .specification import named_irreps
from .tensor_product import TensorProduct


class FullyConnectedTensorProduct(TensorProduct):
    """``e3nn.o3.FullyConnectedTensorProduct``: every path that irreps_out allows, mode ``uvw``, weighted."""

    def __init__(self, irreps_in1, irreps_in2, irreps_out, irrep_normalization: Optional[str] = None,
                 path_normalization: Optional[str] = None, **options):
        in1, in2 = named_irreps("irreps_in1", irreps_in1), named_irreps("irreps_in2", irreps_in2)
        out = named_irreps("irreps_out", irreps_out)
        paths = [(i, j, k, "uvw", True, 1.0) for i, a in enumerate(in1) for j, b in enumerate(in2) for k, c in enumerate(out)
                 if c.ir in a.ir * b.ir]
        super().__init__(in1, in2, out, paths, irrep_normalization=irrep_normalization, path_normalization=path_normalization,
                         **options)


class ElementwiseTensorProduct(TensorProduct):
    """``e3nn.o3.ElementwiseTensorProduct``: channel u of x with channel u of y, without weights.

    ``irreps_out`` follows, restricted to ``filter_ir_out`` where given.
    """

    def __init__(self, irreps_in1, irreps_in2, filter_ir_out: Optional[Iterable] = None, irrep_normalization: Optional[str] = None,
                 **options):
        in1, in2 = _aligned(*_simplified(irreps_in1, irreps_in2))
        kept = _kept(filter_ir_out)
        pairs = [(i, a.mul, ir) for i, (a, b) in enumerate(zip(in1, in2)) for ir in a.ir * b.ir if kept(ir)]
        super().__init__(in1, in2, [(mul, ir) for _, mul, ir in pairs], [(i, i, k, "uuu", False) for k, (i, _, _) in enumerate(pairs)],
                         irrep_normalization=irrep_normalization, **options)


class FullTensorProduct(TensorProduct):
    """``e3nn.o3.FullTensorProduct``: every channel of x with every channel of y, mode ``uvuv``, without weights.

    ``irreps_out`` follows and is sorted, restricted to ``filter_ir_out`` where given.
    """

    def __init__(self, irreps_in1, irreps_in2, filter_ir_out: Optional[Iterable] = None, irrep_normalization: Optional[str] = None,
                 **options):
        in1, in2 = _simplified(irreps_in1, irreps_in2)
        kept = _kept(filter_ir_out)
        pairs = [(i, j, a.mul * b.mul, ir) for i, a in enumerate(in1) for j, b in enumerate(in2) for ir in a.ir * b.ir if kept(ir)]
        out = Irreps([(mul, ir) for _, _, mul, ir in pairs]).sort()
        super().__init__(in1, in2, out.irreps, [(i, j, out.p[k], "uvuv", False) for k, (i, j, _, _) in enumerate(pairs)],
                         irrep_normalization=irrep_normalization, **options)


class TensorSquare(TensorProduct):
    """``e3nn.o3.TensorSquare``: x with itself. Without ``irreps_out`` all there is, without weights; else fully connected."""

    def __init__(self, irreps_in, irreps_out=None, filter_ir_out: Optional[Iterable] = None, irrep_normalization: Optional[str] = None,
                 **options):
        scale = irrep_normalization or "component"
        if scale not in ("component", "norm", "none"):
            raise SpecificationError(f"irrep_normalization is {scale!r}; it must be component, norm or none")
        if irreps_out is not None and filter_ir_out is not None:
            raise SpecificationError("irreps_out and filter_ir_out are both given; irreps_out says what is kept already")
        irreps = named_irreps("irreps_in", irreps_in).simplify()
        if irreps_out is None:
            out, paths = _full_square(irreps, _kept(filter_ir_out), scale)
        else:
            out = named_irreps("irreps_out", irreps_out).simplify()
            paths = [(i, j, k, {"uvuv": "uvw", "uvu<v": "u<vw", "uuu": "uuw"}[mode], True, variance)
                     for i, j, k, mode, variance in _square_paths(irreps, out, scale)]
        super().__init__(irreps, irreps, out, paths, irrep_normalization="none", **options)
        self.irreps_in = irreps

    def forward(self, x: Tensor, weight: Optional[Tensor] = None) -> Tensor:
        """x: [..., irreps_in.dim]; weight as in ``TensorProduct``. Returns [..., irreps_out.dim]."""
        return super().forward(x, x, weight)

    def __repr__(self) -> str:
        return super().__repr__().replace(f"({self.irreps_in1.simplify()} x {self.irreps_in2.simplify()} ->", f"({self.irreps_in1} ->", 1)


def _simplified(irreps_in1, irreps_in2) -> tuple[Irreps, Irreps]:
    return named_irreps("irreps_in1", irreps_in1).simplify(), named_irreps("irreps_in2", irreps_in2).simplify()


def _kept(filter_ir_out):
    if isinstance(filter_ir_out, str):
        raise SpecificationError(f"filter_ir_out is {filter_ir_out!r}; it must be a list of irreps, such as ['0e', '1o']")
    wanted = None if filter_ir_out is None else [as_irrep(ir) for ir in filter_ir_out]
    return lambda ir: wanted is None or ir in wanted


def _aligned(in1: Irreps, in2: Irreps) -> tuple[Irreps, Irreps]:
    """The same channels, cut so that segment n of both has the same multiplicity."""
    if in1.num_irreps != in2.num_irreps:
        raise SpecificationError(f"irreps {in1} and {in2} have {in1.num_irreps} and {in2.num_irreps} channels; they must have as many")
    ends = sorted({end for irreps in (in1, in2) for end in _channel_ends(irreps)})
    muls = [end - begin for begin, end in zip([0, *ends], ends)]

    def cut(irreps):
        irs = [segment.ir for segment in irreps for _ in range(segment.mul)]
        return Irreps([(mul, irs[end - 1]) for mul, end in zip(muls, ends)])

    return cut(in1), cut(in2)


def _channel_ends(irreps: Irreps) -> list[int]:
    return [sum(segment.mul for segment in irreps[:n + 1]) for n in range(len(irreps))]


def _full_square(irreps: Irreps, kept, scale: str):
    size = {"uvuv": lambda i, j: irreps[i].mul * irreps[j].mul, "uvu<v": lambda i, _: irreps[i].mul * (irreps[i].mul - 1) // 2,
            "uuu": lambda i, _: irreps[i].mul}
    segments, paths = [], []
    for i, a in enumerate(irreps):
        for j, b in enumerate(irreps[i:], start=i):
            for ir in filter(kept, a.ir * b.ir):
                for mode, variance in _parts(irreps, i, j, ir, scale):
                    paths.append((i, j, len(segments), mode, False, variance))
                    segments.append((size[mode](i, j), ir))
    out = Irreps(segments).sort()
    return out.irreps, [(i, j, out.p[k], *rest) for i, j, k, *rest in paths]


def _square_paths(irreps: Irreps, out: Irreps, scale: str):
    for i, a in enumerate(irreps):
        for j, b in enumerate(irreps[i:], start=i):
            for k, segment in enumerate(out):
                if segment.ir in a.ir * b.ir:
                    for mode, variance in _parts(irreps, i, j, segment.ir, scale):
                        yield i, j, k, mode, variance


def _parts(irreps: Irreps, i: int, j: int, ir, scale: str) -> list[tuple[str, float]]:
    """Modes and variances of x_i times x_j to one irrep: different channels of one segment once, and each with itself, of which
    only even degrees are not zero."""
    one, other = irreps[i].ir.dim, irreps[j].ir.dim
    variance = {"component": ir.dim, "norm": one * other, "none": 1}[scale]
    if i != j:
        return [("uvuv", variance)]
    parts = [("uvu<v", variance)] if irreps[i].mul > 1 else []
    if ir.l % 2 == 0:
        scalar = ir.l == 0
        # The components of x times itself are not independent, which changes their variance.
        diagonal = {"component": ir.dim / (one + 2) if scalar else ir.dim / 2,
                    "norm": ir.dim * one if scalar else one * (one + 2) / 2, "none": 1}[scale]
        parts.append(("uuu", diagonal))
    return parts
