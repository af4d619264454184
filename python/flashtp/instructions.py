"""Paths of a tensor product: e3nn's instructions, their weights and their coefficients."""
from math import inf, prod, sqrt
from operator import index
from typing import Iterable, NamedTuple, Optional, Sequence

from .errors import SpecificationError
from .irreps import Irreps

FIELDS = "(i_in1, i_in2, i_out, mode, has_weight[, path_weight])"
MODES = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw")


class Instruction(NamedTuple):
    """One path, with the names and the meaning of e3nn's record: ``path_weight`` is the coefficient that the path is multiplied with,
    not the variance that was given."""

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    path_weight: float
    path_shape: tuple[int, ...]

    @property
    def weight_numel(self) -> int:
        return prod(self.path_shape) if self.has_weight else 0


class Normalization(NamedTuple):
    """What turns variances into coefficients; None is e3nn's default."""

    irrep: str = "component"
    path: str = "element"
    in1_var: tuple[float, ...] = ()
    in2_var: tuple[float, ...] = ()
    out_var: tuple[float, ...] = ()


def normalization(in1: Irreps, in2: Irreps, out: Irreps, irrep, path, variances) -> Normalization:
    """Defaults filled in. ``variances``: those of in1, in2 and out, each a number a segment or None."""
    irrep, path = irrep or "component", path or "element"
    if irrep not in ("component", "norm", "none"):
        raise SpecificationError(f"irrep_normalization is {irrep!r}; it must be component, norm or none")
    if path not in ("element", "path", "none"):
        raise SpecificationError(f"path_normalization is {path!r}; it must be element, path or none")
    filled = []
    for irreps, given, name in zip((in1, in2, out), variances, ("in1_var", "in2_var", "out_var")):
        values = [1.0] * len(irreps) if given is None else _numbers(given)
        if values is None or None in values:
            raise SpecificationError(f"{name} is {given!r}; it must be a number of 0 or more for each of the segments of {irreps}")
        if len(values) != len(irreps):
            raise SpecificationError(f"{name} has {len(values)} numbers; irreps {irreps} have {len(irreps)} segments")
        filled.append(tuple(values))
    return Normalization(irrep, path, *filled)


def _numbers(values) -> Optional[list[Optional[float]]]:
    """None for what are no variances."""
    return [_variance(value) for value in values] if isinstance(values, Iterable) else None


def _variance(value) -> Optional[float]:
    """A finite number of 0 or more, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < inf else None


def path_shape(mode: str, mul1: int, mul2: int, mul_out: int) -> tuple[int, ...]:
    """Shape of a path's weights, the first index slowest (docs/design/semantics.md)."""
    pairs = mul1 * (mul2 - 1) // 2
    return {"uvw": (mul1, mul2, mul_out), "uvu": (mul1, mul2), "uvv": (mul1, mul2), "uuw": (mul1, mul_out), "uuu": (mul1,),
            "uvuv": (mul1, mul2), "uvu<v": (pairs,), "u<vw": (pairs, mul_out)}[mode]


def fan_in(mode: str, mul1: int, mul2: int) -> int:
    """How many products are added up for one number of the output."""
    return {"uvw": mul1 * mul2, "uvu": mul2, "uvv": mul1, "uuw": mul1, "uuu": 1, "uvuv": 1, "uvu<v": 1,
            "u<vw": mul1 * (mul2 - 1) // 2}[mode]


def complete(instructions: Sequence, in1: Irreps, in2: Irreps, out: Irreps, scale: Normalization) -> list[Instruction]:
    """The records of instructions ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``."""
    paths = [_checked(n, given, (in1, in2, out)) for n, given in enumerate(instructions)]

    def spread(path) -> float:
        i, j, _, mode, _, _ = path
        return scale.in1_var[i] * scale.in2_var[j] * fan_in(mode, in1[i].mul, in2[j].mul)

    def coefficient(path) -> float:
        i, j, k, _, _, variance = path
        same_output = [other for other in paths if other[2] == k]
        total = {"element": sum(map(spread, same_output)), "path": spread(path) * len(same_output), "none": 1.0}[scale.path]
        size = {"component": out[k].ir.dim, "norm": in1[i].ir.dim * in2[j].ir.dim, "none": 1}[scale.irrep]
        # In e3nn's order of operations: the same number to the last bit.
        return sqrt(size / (total or 1.0) * scale.out_var[k] * variance)

    return [Instruction(*path[:5], coefficient(path), path_shape(path[3], in1[path[0]].mul, in2[path[1]].mul, out[path[2]].mul))
            for path in paths]


def _checked(number: int, given: Sequence, irreps: tuple[Irreps, Irreps, Irreps]) -> tuple:
    """The six fields of an instruction. What they say about irreps is checked by the compiler, which names the rule."""
    if not isinstance(given, (tuple, list)) or not 5 <= len(given) <= 6:
        raise SpecificationError(f"instruction {number} is {given!r}; it must be {FIELDS}")
    *segments, mode, has_weight, variance = (*given, 1.0)[:6]
    if mode not in MODES:
        raise SpecificationError(f"instruction {number} has mode {mode!r}; it must be one of {' '.join(MODES)}")
    segments = [_segment(f"instruction {number} has {name} {value!r}", value, known)
                for name, value, known in zip(("i_in1", "i_in2", "i_out"), segments, irreps)]
    if has_weight not in (True, False):
        raise SpecificationError(f"instruction {number} has has_weight {has_weight!r}; it must be True or False")
    if _variance(variance) is None:
        raise SpecificationError(f"instruction {number} has path_weight {variance!r}; it must be a finite number and not negative")
    return *segments, mode, bool(has_weight), float(variance)


def _segment(what: str, value, irreps: Irreps) -> int:
    try:
        segment = index(value)
    except TypeError:
        raise SpecificationError(f"{what}; it must be a whole number") from None
    if not 0 <= segment < len(irreps):
        raise IndexError(f"{what}; irreps {irreps} have {len(irreps)} segments")
    return segment
