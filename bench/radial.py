"""Weights made where they are used against weights that are made before, w = scale * h @ W2: time and memory of each order.

Both sides are this library's convolution through PyTorch; the unfused one gets w from torch's matrix product. They take turns, and
the least time of each counts. Example: bench/radial.py --layer sevennet-l3i5:2 --edges 8192 --threads 2
"""
import argparse
import json
import os
import sys
import time

import torch

import measure
from cases import ROOT, layer, random_graph

os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))
sys.path.insert(0, str(ROOT / "python"))
import flashtp  # noqa: E402

ORDERS = ("forward", "backward (x, y, h)", "backward (x, y, h, W2)", "double backward")
SCALE = 0.125


class Side:
    """One of the two ways to the same function of x, y, h and W2."""

    def __init__(self, case, graph, nodes, hidden, fused):
        options = {"radial": {"hidden": hidden, "scale": SCALE}} if fused else {}
        self.conv = flashtp.TensorProductConv(*case.irreps, case.instructions, **options)
        self.fused, self.graph, self.nodes = fused, (graph.receiver, graph.sender), nodes

    def __call__(self, x, y, h, W2):
        if self.fused:
            return self.conv(x, y, h, W2, *self.graph, self.nodes)
        # The scale belongs to the small factor, as in models whose layers normalise their weights.
        return self.conv(x, y, h @ (SCALE * W2), *self.graph, self.nodes)

    def run(self, order, tensors, cotangents):
        if order == 0:
            with torch.no_grad():
                return self(*tensors)
        wanted = tensors[:3] if order == 1 else tensors
        first = torch.autograd.grad(self(*tensors), wanted, cotangents["z"], create_graph=order == 3)
        return torch.autograd.grad(first[:3], tensors, cotangents["first"]) if order == 3 else first


def least_times(sides, order, tensors, cotangents, repeats, clock):
    least = [float("inf")] * len(sides)
    for _ in range(repeats):
        for n, side in enumerate(sides):
            begin = clock()
            side.run(order, tensors, cotangents)
            if tensors[0].is_cuda:
                torch.cuda.synchronize()
            least[n] = min(least[n], clock() - begin)
    return least


def bytes_beyond_results(side, order, tensors, cotangents):
    """Peak of torch's memory in a run on a GPU, beyond what was there before and what it returns."""
    if not tensors[0].is_cuda:
        return None
    held = {}
    extra = measure.DEVICES["cuda"].extra_bytes(lambda: held.update(results=side.run(order, tensors, cotangents)))
    results = [held["results"]] if isinstance(held["results"], torch.Tensor) else held["results"]
    return extra - sum(r.numel() * r.element_size() for r in results)


def bytes_outside_torch():
    """Code and scratch of kernels, among others."""
    if not torch.cuda.is_available():
        return None
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def largest_difference(sides, order, tensors, cotangents):
    results = [side.run(order, tensors, cotangents) for side in sides]
    ours, theirs = ([r] if isinstance(r, torch.Tensor) else r for r in results)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", default="sevennet-l3i5:2")
    parser.add_argument("--edges", type=int, default=8192)
    parser.add_argument("--degree", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--thread-time", action="store_true", help="with --threads 1: count only the time the thread ran")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    case, nodes = layer(options.layer), max(1, options.edges // options.degree)
    graph = random_graph(options.edges, nodes, "receiver", options.device)
    sides = [Side(case, graph, nodes, options.hidden, fused) for fused in (True, False)]
    conv = sides[0].conv
    shapes = [(nodes, conv.irreps_in1.dim), (options.edges, conv.irreps_in2.dim), (options.edges, options.hidden),
              (options.hidden, conv.weight_numel)]
    torch.manual_seed(1)
    tensors = [torch.randn(shape, device=options.device, requires_grad=True) for shape in shapes]
    cotangents = {"z": torch.randn(nodes, conv.irreps_out.dim, device=options.device, requires_grad=True),
                  "first": [torch.randn_like(t) for t in tensors[:3]]}
    clock = time.thread_time if options.thread_time else time.perf_counter
    for order in range(len(ORDERS)):
        sides[1].run(order, tensors, cotangents)  # what cuBLAS keeps is not counted
    rows, outside = [], bytes_outside_torch()
    for order, name in enumerate(ORDERS):
        error = largest_difference(sides, order, tensors, cotangents)
        memory = [bytes_beyond_results(side, order, tensors, cotangents) for side in sides]
        fused, unfused = least_times(sides, order, tensors, cotangents, options.repeats, clock)
        rows.append({"order": name, "fused_ms": 1e3 * fused, "unfused_ms": 1e3 * unfused, "ratio": unfused / fused, "difference": error,
                     "fused_bytes": memory[0], "unfused_bytes": memory[1], "library_bytes": memory[0] and bytes_outside_torch() - outside})
    if options.json:
        return print(json.dumps(rows))
    print(f"{options.layer}, {options.edges} edges, {options.hidden} hidden, {options.threads} threads, {options.device}")
    for row in rows:
        print("{order:24} fused {fused_ms:9.2f} ms  unfused {unfused_ms:9.2f} ms  ratio {ratio:5.2f}  difference {difference:.1e}".format(**row))
        if row["fused_bytes"] is not None:
            an_edge = {k: row[k] / options.edges for k in ("fused_bytes", "unfused_bytes", "library_bytes")}
            print("{:24} bytes an edge beyond results: fused {fused_bytes:.0f}, unfused {unfused_bytes:.0f}; held by the library {library_bytes:.0f}".format("", **an_edge))


if __name__ == "__main__":
    main()
