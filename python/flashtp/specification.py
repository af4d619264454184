"""Specifications: the JSON text that names a tensor product everywhere below Python (docs/spec.md, without the key dtype)."""
import functools
import json
from typing import Iterable, NamedTuple, Optional, Sequence

import torch

from . import _library  # noqa: F401, makes the operators known
from .errors import SpecificationError
from .instructions import FIELDS, Instruction, Normalization, complete, normalization
from .irreps import Irreps

LAYOUTS = ("mul_ir", "ir_mul")


class Specification(NamedTuple):
    """A tensor product and its text."""

    irreps_in1: Irreps
    irreps_in2: Irreps
    irreps_out: Irreps
    instructions: list[Instruction]
    scale: Normalization
    problem: str

    @property
    def weight_numel(self) -> int:
        return sum(i.weight_numel for i in self.instructions)


def specify(irreps: Sequence, instructions: Sequence, *, irrep_normalization=None, path_normalization=None,
            variances=(None, None, None), shared_weights=False, convolution=False, layout="mul_ir", deterministic=False,
            radial: Optional[dict] = None) -> Specification:
    """``irreps``: those of in1, in2 and out. ``layout``: one name, or one each. ``radial``: the key of docs/spec.md."""
    in1, in2, out = (named_irreps(name, value) for name, value in zip(("irreps_in1", "irreps_in2", "irreps_out"), irreps))
    if not isinstance(instructions, Iterable):
        raise SpecificationError(f"instructions is {instructions!r}; it must be a list of {FIELDS}")
    instructions = list(instructions)
    scale = normalization(in1, in2, out, irrep_normalization, path_normalization, variances)
    paths = complete(instructions, in1, in2, out, scale)
    layouts = tuple(layout) if isinstance(layout, (tuple, list)) else (layout,) * 3
    if len(layouts) != 3 or any(name not in LAYOUTS for name in layouts):
        raise SpecificationError(f"layout is {layout!r}; it must be mul_ir or ir_mul, or one of them each for x, y and z")
    values = {
        "irreps_in1": str(in1), "irreps_in2": str(in2), "irreps_out": str(out),
        "instructions": [[*path[:5], float(given[5]) if len(given) > 5 else 1.0] for path, given in zip(paths, instructions)],
        "in1_var": scale.in1_var, "in2_var": scale.in2_var, "out_var": scale.out_var,
        "irrep_normalization": scale.irrep, "path_normalization": scale.path,
        "shared_weights": shared_weights, "radial": radial, "convolution": convolution, "deterministic": deterministic,
        "layout_in1": layouts[0], "layout_in2": layouts[1], "layout_out": layouts[2],
    }
    problem = _text_of(values)
    number_of(problem)
    return Specification(in1, in2, out, paths, scale, problem)


def named_irreps(name: str, value) -> Irreps:
    """Of an argument."""
    try:
        return Irreps(value)
    except ValueError as error:
        raise SpecificationError(f"{name} is {value!r}: {error}") from None


def _text_of(values: dict) -> str:
    """Only ``radial`` is still as the user gave it: its numbers may be those of torch or NumPy."""
    try:
        return json.dumps(values, separators=(",", ":"), allow_nan=False, default=lambda number: number.item())
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise SpecificationError(f"radial is {values['radial']!r}; its values must be finite numbers or truth values: {error}") from None


@functools.lru_cache(maxsize=None)
def number_of(problem: str) -> int:
    """The number that stands for a problem in this process, once it is found to keep the rules. Calls in eager mode pass it around, as
    texts are long; what is traced has the text, as it may outlive the process."""
    try:
        return torch.ops.flashtp.check_problem(problem)
    except ValueError as error:
        raise SpecificationError(f"flashtp: {error}") from None


@functools.lru_cache(maxsize=None)
def name_of(problem: str) -> str:
    """The same where the operator's schema wants a text."""
    return f"@{number_of(problem)}"


class Facts(NamedTuple):
    """What operators need to know of a problem."""

    out_width: int
    shared_rows: bool  # weights or a matrix that all edges have in common
    convolution: bool


@functools.lru_cache(maxsize=None)
def facts(problem: str) -> Facts:
    values = json.loads(problem)
    return Facts(Irreps(values["irreps_out"]).dim, values["shared_weights"] or values.get("radial") is not None,
                 values["convolution"])
