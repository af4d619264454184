"""The tensor product of a message-passing layer, with gather and scatter."""
from typing import List, Optional

import torch
from torch import Tensor, nn

from .functions import evaluate
from .specification import specify


def _check_shape(name: str, tensor: Tensor, expected: List[int]) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"flashtp: {name} is no tensor")
    if list(tensor.shape) != expected:
        raise ValueError(f"flashtp: {name} has the shape {list(tensor.shape)}; it must be {expected}")


def _one_row(name: str, tensor: Tensor, width: int) -> Tensor:
    if not isinstance(tensor, Tensor) or list(tensor.shape) != [1, width]:
        _check_shape(name, tensor, [width])
    return tensor.reshape(1, width)


def _evaluate_scripted(problem: str, operands: List[Tensor], receiver: Tensor, sender: Tensor, num_out: Optional[int],
                       by_sender: bool, num_edges: Optional[Tensor]) -> Tensor:
    senders = operands[0].shape[0]
    receivers = senders if num_out is None else num_out
    row_ptr, by_position, edge, _ = torch.ops.flashtp.receiver_index(receiver, sender, receivers, senders, by_sender, num_edges)
    index = [row_ptr, by_position, edge]
    if num_edges is not None:
        index.append(num_edges)
    return torch.ops.flashtp.tensor_product(operands, index, problem, 0, 1, 0)[0]


class TensorProductConv(nn.Module):
    """Multiplies what every edge's sender holds with the edge's attributes and adds the results up by receiver:

    ``z[n] = sum over edges e with receiver[e] = n of tensor_product(x[sender[e]], y[e], w[e])``

    The algebra, the order of weights and the order of outputs are those of ``e3nn.o3.TensorProduct``. The module has no parameters
    and no buffers, and nothing of size [edges, irreps_out.dim] is stored.

    Args:
        irreps_in1, irreps_in2, irreps_out: text (``"32x0e+16x1o"``), e3nn's or this package's ``Irreps``, or ``(mul, (l, p))``.
        instructions: ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])``, in any order and of any modes.
        shared_weights: one row of weights for all edges instead of a row an edge.
        irrep_normalization: ``"component"`` (default), ``"norm"`` or ``"none"``.
        path_normalization: ``"element"`` (default), ``"path"`` or ``"none"``.
        layout: ``"mul_ir"`` (e3nn's, channel slowest) or ``"ir_mul"`` in each segment; one name, or one each for x, y and z.
        deterministic: the same edges give the same bits in every run, for any number of threads and in any order, as long as no two
            have both sender and receiver in common. It costs time.
        radial: ``{"hidden": 64, "scale": 0.125, "bias": False}``: the weights are the last layer of a radial network and are made where
            they are used; the module is a ``RadialTensorProductConv``. Only ``hidden`` is required.
    """

    def __new__(cls, *_args, radial=None, **_options):
        return super().__new__(RadialTensorProductConv if radial is not None else cls)

    def __init__(self, irreps_in1, irreps_in2, irreps_out, instructions, *, shared_weights: bool = False,
                 irrep_normalization: Optional[str] = None, path_normalization: Optional[str] = None, layout="mul_ir",
                 deterministic: bool = False, in1_var=None, in2_var=None, out_var=None, radial: Optional[dict] = None):
        super().__init__()
        spec = specify((irreps_in1, irreps_in2, irreps_out), instructions, irrep_normalization=irrep_normalization,
                       path_normalization=path_normalization, variances=(in1_var, in2_var, out_var),
                       shared_weights=shared_weights, convolution=True, layout=layout, deterministic=deterministic,
                       radial=radial)
        self.irreps_in1, self.irreps_in2, self.irreps_out = spec.irreps_in1, spec.irreps_in2, spec.irreps_out
        self.instructions = spec.instructions
        self.weight_numel: int = spec.weight_numel
        self.shared_weights, self.deterministic = shared_weights, deterministic
        self.problem: str = spec.problem

    def forward(self, x: Tensor, y: Tensor, w: Optional[Tensor], receiver: Tensor, sender: Tensor,
                num_out: Optional[int] = None, num_edges: Optional[Tensor] = None) -> Tensor:
        """
        Args:
            x: [senders, irreps_in1.dim], float32 or float64.
            y: [edges, irreps_in2.dim].
            w: [edges, weight_numel]; [weight_numel] or [1, weight_numel] with shared weights; None for paths without weights.
            receiver, sender: [edges], int32 or int64, in any order.
            num_out: number of receivers; that of senders if left out.
            num_edges: one int64 on the device of x: only the first so many edges count, so that one captured CUDA graph serves lists
                of any length that the tensors have room for. All others may hold anything; their gradients are zero.

        Returns:
            z: [num_out, irreps_out.dim].
        """
        weights: Optional[Tensor] = None
        if self.weight_numel > 0:
            if w is None:
                raise RuntimeError(f"flashtp: w is None; the paths have {self.weight_numel} weights")
            weights = _one_row("w", w, self.weight_numel) if self.shared_weights else w
        operands = [x, y] if weights is None else [x, y, weights]
        if not torch.jit.is_scripting():
            return evaluate(self.problem, operands, receiver, sender, num_out, self.deterministic, num_edges)
        return _evaluate_scripted(self.problem, operands, receiver, sender, num_out, self.deterministic, num_edges)

    def extra_repr(self) -> str:
        return (f"{self.irreps_in1} x {self.irreps_in2} -> {self.irreps_out} | {len(self.instructions)} paths | "
                f"{self.weight_numel} weights")


class RadialTensorProductConv(TensorProductConv):
    """What ``TensorProductConv(..., radial=...)`` makes: the weights of an edge are ``w[e] = scale * h[e] @ W2 (+ b)``.

    The result, its gradients in x, y, h, W2 and b, and theirs are those of a ``TensorProductConv`` that is given w; but w, of size
    [edges, weight_numel], and its gradient are never stored.
    """

    def __init__(self, *args, radial, **options):
        super().__init__(*args, radial=radial, **options)
        self.hidden: int = radial["hidden"]
        self.bias: bool = bool(radial.get("bias"))

    def forward(self, x: Tensor, y: Tensor, h: Tensor, W2: Tensor, receiver: Tensor, sender: Tensor, num_out: Optional[int] = None,
                b: Optional[Tensor] = None) -> Tensor:
        """
        Args:
            x: [senders, irreps_in1.dim], float32 or float64.
            y: [edges, irreps_in2.dim].
            h: [edges, hidden].
            W2: [hidden, weight_numel].
            receiver, sender: [edges], int32 or int64, in any order.
            num_out: number of receivers; that of senders if left out.
            b: [weight_numel] with ``"bias": True``.

        Returns:
            z: [num_out, irreps_out.dim].
        """
        _check_shape("W2", W2, [self.hidden, self.weight_numel])
        operands = [x, y, h, W2.reshape(1, self.hidden * self.weight_numel)]
        if self.bias:
            if b is None:
                raise RuntimeError("flashtp: b is None; the radial layer has a bias")
            operands.append(_one_row("b", b, self.weight_numel))
        elif b is not None:
            raise RuntimeError("flashtp: b is given; the radial layer has no bias")
        if not torch.jit.is_scripting():
            return evaluate(self.problem, operands, receiver, sender, num_out, self.deterministic)
        return _evaluate_scripted(self.problem, operands, receiver, sender, num_out, self.deterministic, None)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()} of {self.hidden} hidden channels{' and a bias' if self.bias else ''}"
