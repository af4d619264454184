"""Irreducible representations of O(3) as e3nn writes them, for programs that do without e3nn."""
import re
from operator import index
from typing import Iterable, Iterator, NamedTuple

import torch

_TERM = re.compile(r"(?:(\d+)\s*x\s*)?(\d+)\s*([eoy])")


class Irrep(NamedTuple):
    """Degree ``l`` and parity ``p`` (1 or -1). ``Irrep("1o")`` reads text."""

    l: int  # noqa: E741
    p: int

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    def __mul__(self, other: "Irrep") -> Iterator["Irrep"]:
        """The irreps in the product with another."""
        return (Irrep(degree, self.p * other.p) for degree in range(abs(self.l - other.l), self.l + other.l + 1))

    def is_scalar(self) -> bool:
        return self == (0, 1)


class MulIrrep(NamedTuple):
    """``mul`` copies of an irrep."""

    mul: int
    ir: Irrep

    @property
    def dim(self) -> int:
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"


class Sorted(NamedTuple):
    """Result of ``Irreps.sort``: position i of the input is at position p[i]; ``inv`` is the inverse of ``p``."""

    irreps: "Irreps"
    p: tuple[int, ...]
    inv: tuple[int, ...]


class Irreps(tuple):
    """Segments ``MxLp`` of a vector, one after the other: ``Irreps("32x0e + 16x1o")``.

    Reads text, e3nn's ``Irreps``, and sequences of ``(mul, (l, p))``, ``(mul, "1o")`` or terms as text.
    """

    def __new__(cls, value="") -> "Irreps":
        if isinstance(value, Irreps):
            return value
        if isinstance(value, str):
            terms = [term for term in value.split("+") if term.strip()]
        else:  # one irrep, one segment, or several
            terms = [value] if hasattr(value, "l") or hasattr(value, "ir") else value
        if not isinstance(terms, Iterable):
            raise ValueError(f"irreps {value!r}: they must be text such as 32x0e+16x1o, or a sequence of (mul, (l, p))")
        return super().__new__(cls, [_segment(term) for term in terms])

    @property
    def dim(self) -> int:
        return sum(segment.dim for segment in self)

    @property
    def num_irreps(self) -> int:
        return sum(segment.mul for segment in self)

    @property
    def ls(self) -> list[int]:
        return [segment.ir.l for segment in self for _ in range(segment.mul)]

    @property
    def lmax(self) -> int:
        return max(self.ls)

    def slices(self) -> list[slice]:
        """Where each segment lies."""
        ends, end = [], 0
        for segment in self:
            ends.append(slice(end, end + segment.dim))
            end += segment.dim
        return ends

    def count(self, ir) -> int:
        """How many copies of an irrep there are."""
        return sum(segment.mul for segment in self if segment.ir == as_irrep(ir))

    def simplify(self) -> "Irreps":
        """Neighbouring segments of one irrep joined, empty ones dropped."""
        merged: list[tuple[int, Irrep]] = []
        for mul, ir in self:
            if merged and merged[-1][1] == ir:
                merged[-1] = (merged[-1][0] + mul, ir)
            elif mul > 0:
                merged.append((mul, ir))
        return Irreps(merged)

    def remove_zero_multiplicities(self) -> "Irreps":
        return Irreps([segment for segment in self if segment.mul > 0])

    def sort(self) -> Sorted:
        """Stably by degree, odd before even, as e3nn sorts."""
        inverse = tuple(sorted(range(len(self)), key=lambda i: self[i].ir))
        position = tuple(inverse.index(i) for i in range(len(self)))
        return Sorted(Irreps([self[i] for i in inverse]), position, inverse)

    def randn(self, *size: int, normalization: str = "component", requires_grad: bool = False, dtype=None, device=None) -> torch.Tensor:
        """Normal random numbers of a shape in which -1 stands for ``dim``; with normalization ``"norm"`` each irrep has length 1."""
        if normalization not in ("component", "norm"):
            raise ValueError(f"normalization is {normalization!r}; it must be component or norm")
        axis = size.index(-1)
        values = torch.randn(*size[:axis], self.dim, *size[axis + 1:], dtype=dtype, device=device)
        if normalization == "norm":
            parts = [part.unflatten(axis, (segment.mul, segment.ir.dim)) for part, segment in
                     zip(values.split([segment.dim for segment in self], axis), self)]
            values = torch.cat([(part / part.norm(dim=axis + 1, keepdim=True)).flatten(axis, axis + 1) for part in parts], axis)
        return values.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return "+".join(map(repr, self))

    def __add__(self, other) -> "Irreps":
        return Irreps([*self, *Irreps(other)])

    def __eq__(self, other) -> bool:
        try:
            return tuple.__eq__(self, Irreps(other))
        except (TypeError, ValueError):
            return False

    __hash__ = tuple.__hash__


def as_irrep(value) -> Irrep:
    """From an irrep, a pair (l, p) or text such as 1o."""
    if isinstance(value, str):
        return _segment(value).ir
    degree, parity = _pair(value, "irrep", "(l, p), or text such as 1o")
    degree = _count(degree, f"irrep {value!r}: the degree")
    if parity not in (1, -1):
        raise ValueError(f"irrep {value!r}: the parity must be 1 or -1")
    return Irrep(degree, int(parity))


def _pair(value, what: str, form: str) -> tuple:
    """The two things that a value is made of."""
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{what} {value!r}: it must be {form}") from None
    return first, second


def _count(value, what: str) -> int:
    """A whole number of any library's kind."""
    try:
        number = index(value)
    except TypeError:
        raise ValueError(f"{what} must be a whole number") from None
    if number < 0:
        raise ValueError(f"{what} must not be negative")
    return number


def _segment(term) -> MulIrrep:
    if isinstance(term, str):
        match = _TERM.fullmatch(term.strip())
        if match is None:
            raise ValueError(f"irreps term {term!r}: it must read MxLp or Lp, with parity e, o or y")
        degree = int(match[2])
        parity = {"e": 1, "o": -1, "y": (-1) ** degree}[match[3]]
        return MulIrrep(int(match[1] or 1), Irrep(degree, parity))
    if hasattr(term, "l") and hasattr(term, "p"):
        return MulIrrep(1, as_irrep((term.l, term.p)))
    mul, ir = _pair(term, "irreps term", "(mul, (l, p)), or text such as 16x1o")
    mul = _count(mul, f"irreps term {term!r}: the multiplicity")
    return MulIrrep(mul, as_irrep((ir.l, ir.p) if hasattr(ir, "l") else ir))
