"""e3nn's tensor product, on compiled kernels."""
import warnings
from math import prod
from typing import Iterator, List, Optional, Union

import torch
from torch import Tensor, nn

from .errors import SpecificationError
from .functions import evaluate
from .instructions import Instruction
from .specification import specify

# Buffers of e3nn's generated code, which a saved e3nn model has and this one has no use for.
_E3NN_CODE = ("_compiled_main_left_right.", "_compiled_main_right.")


def _leading_shape(tensors: List[Tensor]) -> List[int]:
    """What all dimensions but the last broadcast to."""
    if torch.jit.is_scripting():
        return torch.broadcast_tensors([t[..., :0] for t in tensors])[0].shape[:-1]
    return _broadcast_leading(tensors)


@torch.jit.unused
def _broadcast_leading(tensors: List[Tensor]) -> List[int]:
    try:
        return list(torch.broadcast_shapes(*[t.shape[:-1] for t in tensors]))
    except RuntimeError:
        shapes = ", ".join([f"{name} {list(t.shape)}" for name, t in zip(("x", "y", "weight"), tensors)])
        raise ValueError(f"flashtp: the shapes are {shapes}; all dimensions but the last must be equal, or 1 or absent") from None


def _check_width(name: str, tensor: Tensor, width: int, rule: str) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"flashtp: {name} is no tensor")
    if tensor.dim() == 0 or tensor.shape[-1] != width:
        raise ValueError(f"flashtp: {name} has the shape {list(tensor.shape)}; its last dimension must be {rule}, {width}")


class TensorProduct(nn.Module):
    """``e3nn.o3.TensorProduct``: its constructor, attributes, state dict and results.

    Args:
        irreps_in1, irreps_in2, irreps_out: text (``"32x0e+16x1o"``), e3nn's or this package's ``Irreps``, or ``(mul, (l, p))``.
        instructions: ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``.
        in1_var, in2_var, out_var: variance of each segment, 1 if left out.
        irrep_normalization: ``"component"`` (default), ``"norm"`` or ``"none"``.
        path_normalization: ``"element"`` (default), ``"path"`` or ``"none"``.
        internal_weights: whether the module owns its weights. Default: if they are shared and there are any.
        shared_weights: one set of weights for the whole batch. Default: yes.
        compile_left_right, compile_right: whether ``forward`` and ``right`` may be called.
        layout: ``"mul_ir"`` (e3nn's, channel slowest) or ``"ir_mul"`` in each segment; one name, or one each for x, y and z.

    Options of e3nn that choose between implementations are accepted and have no effect.
    """

    # Marks it for e3nn.util.jit, which compiles models part by part.
    __e3nn_compile_mode__ = "script"

    def __init__(self, irreps_in1, irreps_in2, irreps_out, instructions, in1_var=None, in2_var=None, out_var=None,
                 irrep_normalization: Optional[str] = None, path_normalization: Optional[str] = None,
                 internal_weights: Optional[bool] = None, shared_weights: Optional[bool] = None, compile_left_right: bool = True,
                 compile_right: bool = False, normalization: Optional[str] = None, _specialized_code: Optional[bool] = None,
                 _optimize_einsums: Optional[bool] = None, layout="mul_ir"):
        super().__init__()
        if normalization is not None:
            warnings.warn("`normalization` is deprecated. Use `irrep_normalization` instead.", DeprecationWarning, stacklevel=2)
            irrep_normalization = normalization
        if internal_weights is None and shared_weights is False:
            internal_weights = False
        self.shared_weights: bool = shared_weights is None or shared_weights
        spec = specify((irreps_in1, irreps_in2, irreps_out), instructions, irrep_normalization=irrep_normalization,
                       path_normalization=path_normalization, variances=(in1_var, in2_var, out_var),
                       shared_weights=self.shared_weights, layout=layout)
        self.irreps_in1, self.irreps_in2, self.irreps_out = spec.irreps_in1, spec.irreps_in2, spec.irreps_out
        self.instructions: List[Instruction] = spec.instructions
        self.weight_numel: int = spec.weight_numel
        if internal_weights is None:
            internal_weights = self.shared_weights and any(i.has_weight for i in self.instructions)
        if internal_weights and not self.shared_weights:
            raise SpecificationError("internal_weights=True needs shared_weights=True")
        self.internal_weights: bool = internal_weights
        self.problem: str = spec.problem
        self._in1_dim, self._in2_dim, self._out_dim = (i.dim for i in (self.irreps_in1, self.irreps_in2, self.irreps_out))
        self._may_run_forward, self._may_run_right = compile_left_right, compile_right
        self._register_tensors()

    def _register_tensors(self) -> None:
        """e3nn's, under e3nn's names."""
        if self.internal_weights and self.weight_numel > 0:
            self.weight = nn.Parameter(torch.randn(self.weight_numel))
        else:
            self.register_buffer("weight", torch.Tensor())
        written = {i.i_out for i in self.instructions if i.path_weight != 0 and 0 not in i.path_shape}
        parts = [torch.full((segment.dim,), float(n in written)) for n, segment in enumerate(self.irreps_out)]
        self.register_buffer("output_mask", torch.cat(parts) if parts else torch.ones(0))

    def forward(self, x: Tensor, y: Tensor, weight: Optional[Tensor] = None) -> Tensor:
        """
        Args:
            x: [..., irreps_in1.dim], float32 or float64.
            y: [..., irreps_in2.dim].
            weight: None with internal weights, else [weight_numel], or [..., weight_numel] unless shared; a list of tensors, one a
                weighted path, is taken as well. Leading dimensions broadcast.

        Returns:
            z: [..., irreps_out.dim].
        """
        torch._assert(self._may_run_forward, "flashtp: forward was left out by compile_left_right=False")
        _check_width("x", x, self._in1_dim, "irreps_in1.dim")
        _check_width("y", y, self._in2_dim, "irreps_in2.dim")
        operands = [x, y]
        if self.weight_numel > 0:
            w = self._get_weights(weight)
            operands.append(w.unsqueeze(0) if self.shared_weights else w)
        # Shared weights have one row and take no part in broadcasting.
        batched = operands[:2] if self.shared_weights else operands
        lead = _leading_shape(batched)
        rows = 1
        for size in lead:
            rows *= size
        operands = [t if i >= len(batched) else t.expand(lead + [t.shape[-1]]).reshape(rows, t.shape[-1])
                    for i, t in enumerate(operands)]
        if torch.jit.is_scripting():
            z = torch.ops.flashtp.tensor_product(operands, [], self.problem, 0, 1, 0)[0]
        else:
            z = evaluate(self.problem, operands)
        return z.reshape(lead + [self._out_dim])

    @torch.jit.export
    def right(self, y: Tensor, weight: Optional[Tensor] = None) -> Tensor:
        """The matrix that x is multiplied with.

        Args:
            y: [..., irreps_in2.dim].
            weight: as in ``forward``.

        Returns:
            b: [..., irreps_in1.dim, irreps_out.dim], with ``forward(x, y, weight) = einsum("...i,...ik->...k", x, b)``.
        """
        torch._assert(self._may_run_right, "flashtp: right needs compile_right=True")
        each = torch.eye(self._in1_dim, dtype=y.dtype, device=y.device)
        weights: Optional[Tensor] = None
        if self.weight_numel > 0:
            w = self._get_weights(weight)
            weights = w if self.shared_weights else w.unsqueeze(-2)
        return self.forward(each, y.unsqueeze(-2), weights)

    def weight_view_for_instruction(self, instruction: int, weight: Optional[Tensor] = None) -> Tensor:
        """View of the weights of one path, [..., *path_shape]. (e3nn 0.6 finds the wrong place where unweighted paths come before.)"""
        if not self.instructions[instruction].has_weight:
            raise ValueError(f"Instruction {instruction} has no weights.")
        for number, _, view in self.weight_views(weight, yield_instruction=True):
            if number == instruction:
                return view
        raise AssertionError("every weighted instruction has a view")

    def weight_views(self, weight: Optional[Tensor] = None, yield_instruction: bool = False) -> Iterator:
        """Views of the weights of each weighted path, [..., *path_shape]; with ``yield_instruction`` triples (position,
        instruction, view)."""
        weight, begin = self._get_weights(weight), 0
        for number, path in enumerate(self.instructions):
            if not path.has_weight:
                continue
            view = weight.narrow(-1, begin, path.weight_numel).view(weight.shape[:-1] + path.path_shape)
            begin += path.weight_numel
            yield (number, path, view) if yield_instruction else view

    def _get_weights(self, weight: Optional[Tensor]) -> Tensor:
        if not torch.jit.is_scripting():
            weight = self._joined(weight)
        if weight is None:
            if self.weight_numel > 0 and not self.internal_weights:
                raise RuntimeError("flashtp: weights must be given, as the module has no internal weights")
            return self.weight
        _check_width("weight", weight, self.weight_numel, "weight_numel")
        if self.shared_weights:
            torch._assert(weight.ndim == 1, "flashtp: shared weights have one dimension")
        else:
            torch._assert(weight.ndim > 1, "flashtp: weights have a batch dimension unless shared_weights is True")
        return weight

    @torch.jit.unused
    def _joined(self, weight: Union[None, Tensor, List[Tensor]]) -> Optional[Tensor]:
        if not isinstance(weight, (list, tuple)):
            return weight
        paths = [(number, path.path_shape) for number, path in enumerate(self.instructions) if path.has_weight]
        if len(weight) != len(paths):
            raise ValueError(f"flashtp: weight is a list of {len(weight)} tensors; {len(paths)} instructions have weights")
        lead = () if self.shared_weights else (-1,)
        flat = []
        for part, (number, shape) in zip(weight, paths):
            try:
                flat.append(part.reshape(*lead, prod(shape)))
            except RuntimeError:
                raise ValueError(f"flashtp: the weights of instruction {number} have the shape {list(part.shape)}; it must be "
                                 f"{['...'] * len(lead) + list(shape)}") from None
        return torch.cat(flat, dim=-1)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for key in [k for k in state_dict if k.startswith(tuple(prefix + code for code in _E3NN_CODE))]:
            if key[len(prefix):].split(".")[0] not in self._modules:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __repr__(self) -> str:
        paths = sum(prod(path.path_shape) for path in self.instructions)
        return (f"{type(self).__name__}({self.irreps_in1.simplify()} x {self.irreps_in2.simplify()} -> "
                f"{self.irreps_out.simplify()} | {paths} paths | {self.weight_numel} weights)")
