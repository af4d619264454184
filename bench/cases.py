"""What is measured: layers of examples/specs, random graphs, and the numbers that all libraries get."""
import json
import warnings
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import prod
from pathlib import Path

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from e3nn import o3

ROOT = Path(__file__).resolve().parents[1]
ORDERS = ("forward", "backward", "double backward")
INPUTS = (("x", "y", "w"), ("x", "y", "w", "d_z"), ("x", "y", "w", "d_z", "t_x", "t_y", "t_w"))
OUTPUTS = (("z",), ("d_x", "d_y", "d_w"), ("t_z", "t_d_x", "t_d_y", "t_d_w"))
EDGE_ORDERS = ("receiver", "sender", "random")


class Layer:
    """A convolution with a row of weights an edge."""
    keys = ("irreps_in1", "irreps_in2", "irreps_out", "instructions")

    def __init__(self, name, spec):
        self.name, self.spec = name, spec
        self.instructions = [tuple(i) for i in spec["instructions"]]
        self.irreps = tuple(o3.Irreps(spec[key]) for key in self.keys[:3])

    def tensor_product(self):
        """e3nn's, whose weight order and coefficients are the reference."""
        return o3.TensorProduct(*self.irreps, self.instructions, shared_weights=False, internal_weights=False)

    @cached_property
    def exact(self):
        """The reference itself: e3nn's in float64. Its 3j symbols have the default dtype that it finds."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return self.tensor_product()
        finally:
            torch.set_default_dtype(before)

    @cached_property
    def widths(self):
        x, y, z = (irreps.dim for irreps in self.irreps)
        return {"x": x, "y": y, "w": self.exact.weight_numel, "z": z}


@cache
def layer(name):
    """Line LINE of examples/specs/NAME.json, written NAME:LINE."""
    file, _, line = name.partition(":")
    text = (ROOT / f"examples/specs/{file}.json").read_text()
    spec = json.loads(text.splitlines()[int(line) - 1] if line else text)
    return Layer(name, dict(zip(Layer.keys, spec["tp"])) if "tp" in spec else spec)


@dataclass(frozen=True)
class Graph:
    """Every receiver has the same number of edges, senders are random: no locality helps a cache."""
    nodes: int
    sender: torch.Tensor
    receiver: torch.Tensor
    edge_order: str

    @property
    def edges(self):
        return len(self.sender)


def random_graph(edges, nodes, edge_order, device):
    generator = torch.Generator().manual_seed(1)
    receiver = torch.arange(edges) * nodes // max(edges, 1)
    sender = torch.randint(0, nodes, (edges,), generator=generator)
    if edge_order == "sender":
        position = torch.argsort(sender, stable=True)
    elif edge_order == "random":
        position = torch.randperm(edges, generator=generator)
    else:
        position = torch.arange(edges)
    return Graph(nodes, sender[position].to(device), receiver[position].to(device), edge_order)


@dataclass
class Case:
    """One layer on one graph, with normal random numbers for every operand (t_*: cotangents of the gradients)."""
    layer: Layer
    graph: Graph
    dtype: torch.dtype = torch.float32
    shared_weights: bool = False  # one row of w for all edges; the libraries are compared without
    values: dict = field(default_factory=dict)

    def __post_init__(self):
        device = self.graph.sender.device
        generator = torch.Generator(device).manual_seed(2)
        for name in INPUTS[2]:
            shape = self.shape(name)
            self.values[name] = torch.randn(shape, generator=generator, device=device, dtype=self.dtype).requires_grad_()

    def shape(self, name):
        width = self.layer.widths[name[-1]]
        if name[-1] == "w" and self.shared_weights:
            return (width,)
        return self.graph.edges if name[-1] in "yw" else self.graph.nodes, width

    def bytes_of(self, names):
        size = torch.finfo(self.dtype).bits // 8
        return sum(size * prod(self.shape(name)) for name in names)

    def least_bytes(self, order):
        """Every input read once, every output written once, and one index array of edges and one of nodes."""
        return self.bytes_of(INPUTS[order] + OUTPUTS[order]) + 4 * (self.graph.edges + self.graph.nodes + 1)
