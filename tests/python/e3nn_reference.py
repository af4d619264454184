"""What e3nn and autograd say a specification computes, in float64, and how large a rounding error may be.

The bound follows from the sums themselves. All outputs are sums of products of the inputs with 3j symbols, so the same
computation with the absolute values of all of them gives S, the sum of the absolute terms, and with ones the number n of terms.
A component may be off by 8 eps sqrt(n) S: rounding errors of n terms add like a random walk, and 8 leaves room for the few
roundings inside a term (products, the coefficient, e3nn's own result).
"""
import warnings

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from e3nn import o3

ORDER_INPUTS = (("x", "y", "w"), ("x", "y", "w", "d_z"), ("x", "y", "w", "d_z", "t_x", "t_y", "t_w"),
                ("x", "y", "w", "d_z", "t_x", "t_y", "t_w", "d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w"))
# The operand that an operand has the shape and the layout of.
SHAPE_OF = {name: name.split("_")[-1] for names in ORDER_INPUTS for name in names}


def tensor_product(spec, **changed):
    """e3nn's TensorProduct of a specification."""
    spec = {**spec, **changed}
    keys = ("in1_var", "in2_var", "out_var", "irrep_normalization", "path_normalization")
    instructions = [tuple(i) for i in spec["instructions"]]
    weighted = any(i[4] for i in instructions)
    return o3.TensorProduct(
        spec["irreps_in1"], spec["irreps_in2"], spec["irreps_out"], instructions, internal_weights=False,
        # Without weights e3nn wants none of the batch's shape.
        shared_weights=spec.get("shared_weights", False) or not weighted,
        **{key: spec.get(key) for key in keys}, **spec.get("options", {}))


def with_symbols(tp, function):
    """Replaces the 3j symbols of an unspecialised tensor product."""
    for module in tp.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if name.startswith("_w3j"):
                buffer.copy_(function(buffer))
    return tp


class Reference:
    def __init__(self, spec, graph):
        self.spec, self.graph = spec, graph
        self.tp = tensor_product(spec)
        unspecialised = {"_specialized_code": False, "_optimize_einsums": False}
        self.absolute = with_symbols(tensor_product(spec, options=unspecialised), torch.abs)
        plain = [[*i[:5], 1.0] for i in spec["instructions"]]
        # Symbols below 1e-14 are e3nn's rounding errors of zeros.
        self.counting = with_symbols(
            tensor_product(spec, instructions=plain, options=unspecialised, in1_var=None, in2_var=None, out_var=None,
                           irrep_normalization="none", path_normalization="none"),
            lambda symbols: (symbols.abs() > 1e-14).to(symbols.dtype))

    def widths(self):
        return {"x": self.tp.irreps_in1.dim, "y": self.tp.irreps_in2.dim, "w": self.tp.weight_numel, "z": self.tp.irreps_out.dim}

    def rows(self):
        g, shared = self.graph, self.spec.get("shared_weights", False)
        return {"x": g.senders, "y": g.edges, "w": 1 if shared else g.edges, "z": g.receivers}

    def forward(self, tp, x, y, w):
        """z of all receivers, attached to x, y and w even where it does not depend on them."""
        if self.graph.sender is not None:
            x = x[torch.from_numpy(self.graph.sender).long()]
        weights = () if tp.weight_numel == 0 else (w[0] if tp.shared_weights else w,)
        z = tp(x, y, *weights)
        if self.graph.sender is not None:
            z = torch.zeros(self.graph.receivers, z.shape[1]).index_add(0, torch.from_numpy(self.graph.receiver).long(), z)
        return z + 0.0 * (x.sum() + y.sum() + w.sum())

    def evaluate(self, tp, order, values):
        """Outputs by name, of the orders as flashtp.h names them."""
        v = {name: torch.from_numpy(value).requires_grad_() for name, value in values.items()}
        z = self.forward(tp, v["x"], v["y"], v["w"])
        if order == 0:
            return {"z": z.detach().numpy()}
        first = gradients(z, v["d_z"], v, ("x", "y", "w"), order > 1)
        if order == 1:
            return named("d_", "xyw", first)
        contracted = sum((v["t_" + k] * d).sum() for k, d in zip("xyw", first))
        second = gradients(contracted, None, v, ("d_z", "x", "y", "w"), order > 2)
        if order == 2:
            return {"t_z": second[0].numpy(force=True), **named("t_d_", "xyw", second[1:])}
        cotangents = ("d_t_z", "d_t_d_x", "d_t_d_y", "d_t_d_w")
        contracted = sum((v[k] * d).sum() for k, d in zip(cotangents, second))
        variables = ORDER_INPUTS[2]
        return named("d_", variables, gradients(contracted, None, v, variables, False))

    def scales(self, order, values):
        """The sums of absolute terms and the numbers of terms, by output."""
        sums = self.evaluate(self.absolute, order, {k: np.abs(a) for k, a in values.items()})
        counts = self.evaluate(self.counting, order, {k: np.ones_like(a) for k, a in values.items()})
        return sums, counts

    def compare(self, order, values, results):
        """The largest error over its bound, for each output. values are of the problem's dtype, e3nn computes in float64."""
        eps = np.finfo(values["x"].dtype).eps
        values = {k: a.astype(np.float64) for k, a in values.items()}
        expected = self.evaluate(self.tp, order, values)
        sums, counts = self.scales(order, values)
        ratios = {}
        for name, result in results.items():
            bound = 8 * eps * np.sqrt(counts[name]) * sums[name]
            error = np.abs(result - expected[name])
            assert np.isfinite(result).all(), f"{name} has components that are not numbers"
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.where(error == 0, 0, error / bound)
            ratios[name] = float(ratio.max(initial=0))
        return ratios


def gradients(value, cotangent, v, names, create_graph):
    found = torch.autograd.grad(value, [v[n] for n in names], cotangent, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(v[n]) if g is None else g for n, g in zip(names, found)]


def named(prefix, names, tensors):
    return {prefix + n: t.numpy(force=True) for n, t in zip(names, tensors)}


def to_layout(array, irreps, layout):
    """Rows in e3nn's order to rows in the given layout: ir_mul has the component slowest inside each segment."""
    return _permuted(array, irreps) if layout == "ir_mul" else array


def from_layout(array, irreps, layout):
    return _permuted(array, irreps, back=True) if layout == "ir_mul" else array


def _permuted(array, irreps, back=False):
    parts, start = [], 0
    for mul, ir in o3.Irreps(irreps):
        shape = (ir.dim, mul) if back else (mul, ir.dim)
        part = array[:, start:start + mul * ir.dim].reshape(-1, *shape) if mul else array[:, start:start].reshape(len(array), *shape)
        parts.append(part.transpose(0, 2, 1).reshape(len(array), mul * ir.dim))
        start += mul * ir.dim
    return np.ascontiguousarray(np.concatenate(parts, axis=1)) if parts else array
