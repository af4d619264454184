"""e3nn in float64, for graphs of any size: all outputs are sums over edges, so it runs over some edges at a time."""
import torch

from cases import INPUTS, OUTPUTS


def reference(case, order, edges_at_once=8192):
    """The outputs of an order, by name."""
    exact = {"dtype": torch.float64, "device": case.graph.sender.device}
    tp = case.layer.exact.to(case.graph.sender.device)
    results = {name: torch.zeros(case.shape(name), **exact) for name in OUTPUTS[order]}
    for start in range(0, case.graph.edges, edges_at_once):
        part = slice(start, start + edges_at_once)
        for name, value in evaluate(tp, case, order, part).items():
            if name[-1] in "yw":
                results[name][part] = value
            else:
                results[name] += value
    return results


def evaluate(tp, case, order, part):
    v = {name: case.values[name].detach() for name in INPUTS[order]}
    v = {name: (value[part] if name[-1] in "yw" else value).double().requires_grad_() for name, value in v.items()}
    messages = tp(v["x"][case.graph.sender[part]], v["y"], v["w"])
    z = messages.new_zeros(case.shape("z")).index_add(0, case.graph.receiver[part], messages)
    if order == 0:
        return {"z": z.detach()}
    xyw = [v[name] for name in "xyw"]
    first = torch.autograd.grad(z, xyw, v["d_z"], create_graph=order == 2)
    if order == 1:
        return dict(zip(OUTPUTS[1], first))
    return dict(zip(OUTPUTS[2], torch.autograd.grad(first, [v["d_z"], *xyw], [v["t_x"], v["t_y"], v["t_w"]])))


def relative_errors(results, expected):
    """By output, in the Frobenius norm. Not a number where a result is not finite."""
    return {name: float((results[name].double() - e).norm() / e.norm().clamp_min(1e-300)) for name, e in expected.items()}
