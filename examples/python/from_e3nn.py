"""From e3nn to compiled kernels: the five lines that change, and a comparison. Needs e3nn.

    python examples/python/from_e3nn.py
"""
import time

import torch
from e3nn import o3

import flashtp

irreps_x, irreps_y, irreps_z = "64x0e+32x1o", "0e+1o+2e", "64x0e+32x0e+64x1o+32x1o+32x1o"
instructions = [(0, 0, 0, "uvu", True), (1, 1, 1, "uvu", True), (0, 1, 2, "uvu", True), (1, 0, 3, "uvu", True), (1, 2, 4, "uvu", True)]
nodes, edges = 500, 15_000
x, y = torch.randn(nodes, 160), torch.randn(edges, 9)
receiver, sender = torch.randint(nodes, (edges,)).sort().values, torch.randint(nodes, (edges,))

# Before.
tp = o3.TensorProduct(irreps_x, irreps_y, irreps_z, instructions, shared_weights=False)
w = torch.randn(edges, tp.weight_numel)


def before():
    messages = tp(x[sender], y, w)
    return torch.zeros(nodes, messages.shape[1]).index_add(0, receiver, messages)


# After. Instructions, weights and outputs have the same order.
conv = flashtp.TensorProductConv(irreps_x, irreps_y, irreps_z, instructions)


def after():
    return conv(x, y, w, receiver, sender, nodes)


def seconds(function, repeats=5):
    function()
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


difference = (before() - after()).abs().max() / before().abs().max()
print(f"largest difference {difference:.1e} of the largest number; e3nn takes {seconds(before) / seconds(after):.1f} times as long")
assert difference < 1e-5
