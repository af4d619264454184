#!/usr/bin/env python3
"""Compares this library with e3nn on the CPU: the same layer, graph, numbers and cores, in one process.

    build/venv/bin/python bench/compare_cpu.py --threads 2

Needs the release build (or FLASHTP_LIBRARY) and what tools/test-requirements.txt lists. bench/README.md explains the columns.
"""
import argparse
import json
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/python"))
import flashtp_ctypes as flashtp  # noqa: E402

warnings.simplefilter("ignore")
import e3nn  # noqa: E402
from e3nn import o3  # noqa: E402

LAYERS = ("sevennet-l3i5:2", "mace-large:2", "nequip-l3:4")
ORDERS = ("forward", "backward", "double backward")
INPUTS = (("x", "y", "w"), ("x", "y", "w", "d_z"), ("x", "y", "w", "d_z", "t_x", "t_y", "t_w"))
OUTPUTS = (("z",), ("d_x", "d_y", "d_w"), ("t_z", "t_d_x", "t_d_y", "t_d_w"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", default=LAYERS, help="NAME:LINE of examples/specs (default: %(default)s)")
    parser.add_argument("--edges", type=int, default=2048)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2, help="of both libraries (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--statistic", choices=("median", "min"), default="median", help="min where the machine is shared")
    parser.add_argument("--inductor", action="store_true", help="also e3nn under torch.compile (no double backward there)")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def load_layer(name):
    file, _, line = name.partition(":")
    layer = json.loads((ROOT / f"examples/specs/{file}.json").read_text().splitlines()[int(line) - 1])
    return dict(zip(("irreps_in1", "irreps_in2", "irreps_out", "instructions"), layer["tp"]))


class Data:
    """A random graph, sorted by receiver as neighbour lists are, and random numbers for every operand."""

    def __init__(self, spec, edges, nodes):
        rng = np.random.default_rng(1)
        self.graph = flashtp.Graph(edges, nodes, nodes, rng.integers(0, nodes, edges), np.sort(rng.integers(0, nodes, edges)))
        weights = o3.TensorProduct(*(spec[k] for k in ("irreps_in1", "irreps_in2", "irreps_out")), tuple_instructions(spec),
                                   shared_weights=False, compile_left_right=False).weight_numel
        widths = {"x": o3.Irreps(spec["irreps_in1"]).dim, "y": o3.Irreps(spec["irreps_in2"]).dim, "w": weights,
                  "z": o3.Irreps(spec["irreps_out"]).dim}
        rows = {"x": nodes, "y": edges, "w": edges, "z": nodes}
        self.values = {name: rng.standard_normal((rows[name[-1]], widths[name[-1]])).astype(np.float32) for name in INPUTS[2]}


def tuple_instructions(spec):
    return [tuple(i) for i in spec["instructions"]]


def flashtp_runs(spec, data, threads):
    """A function for each order that runs it and returns its outputs."""
    engine = flashtp.Engine(threads=threads)
    runs = []
    for order in range(3):
        program = engine.compile(spec, order)
        outputs = program.allocate(data.graph)
        runs.append(lambda program=program, outputs=outputs: program.run(data.values, data.graph, outputs=outputs))
    return runs


def e3nn_runs(spec, data, mode):
    """The same for e3nn. Derivatives reuse what the orders below have kept, so only their own work is timed."""
    e3nn.set_optimization_defaults(jit_mode="eager")
    tp = o3.TensorProduct(spec["irreps_in1"], spec["irreps_in2"], spec["irreps_out"], tuple_instructions(spec), shared_weights=False)
    if mode == "inductor":  # e3nn's option of this name leaves TensorProduct eager
        tp = torch.compile(tp)
    v = {name: torch.from_numpy(value).requires_grad_() for name, value in data.values.items()}
    sender, receiver = (torch.from_numpy(i) for i in (data.graph.sender, data.graph.receiver))
    xyw = [v[k] for k in ("x", "y", "w")]

    def convolution():
        messages = tp(v["x"][sender], v["y"], v["w"])
        return torch.zeros(data.graph.receivers, messages.shape[1]).index_add(0, receiver, messages)

    def forward():
        with torch.no_grad():
            return {"z": convolution().numpy()}

    z = convolution()

    def backward():
        return as_numpy(OUTPUTS[1], torch.autograd.grad(z, xyw, v["d_z"], retain_graph=True))

    if mode == "inductor":  # torch.compile cannot differentiate twice
        return [forward, backward]
    first = torch.autograd.grad(z, xyw, v["d_z"], create_graph=True)
    contracted = sum((g * v[t]).sum() for g, t in zip(first, ("t_x", "t_y", "t_w")))

    def double_backward():
        return as_numpy(OUTPUTS[2], torch.autograd.grad(contracted, [v["d_z"], *xyw], retain_graph=True))

    return [forward, backward, double_backward]


def as_numpy(names, tensors):
    return {name: tensor.numpy(force=True) for name, tensor in zip(names, tensors)}


def largest_difference(a, b):
    """Of two sets of outputs, relative to the largest component of each output."""
    return max(float(np.abs(a[name] - b[name]).max() / np.abs(b[name]).max()) for name in b)


def interleaved_seconds(functions, repeats):
    """Times of each, taken in turns, so that what else the machine does meets all of them."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return times


def compare(name, options):
    spec = load_layer(name)
    data = Data(spec, options.edges, options.nodes)
    ours = flashtp_runs(spec, data, options.threads)
    theirs = {mode: e3nn_runs(spec, data, mode) for mode in ("eager", *(["inductor"] if options.inductor else []))}
    statistic = {"median": statistics.median, "min": min}[options.statistic]
    for order, run in enumerate(ours):
        functions = {"flashtp": run, **{f"e3nn_{mode}": runs[order] for mode, runs in theirs.items() if order < len(runs)}}
        row = {"layer": name, "order": ORDERS[order], "edges": options.edges, "nodes": options.nodes, "threads": options.threads}
        for function, times in interleaved_seconds(functions, options.repeats).items():
            row[f"{function}_ms"] = 1e3 * statistic(times)
        row["difference"] = max(largest_difference(run(), function()) for function in functions.values())
        for mode in theirs:
            if f"e3nn_{mode}_ms" in row:
                row[f"{mode}_ratio"] = row[f"e3nn_{mode}_ms"] / row["flashtp_ms"]
        if row["difference"] > 1e-4:
            sys.exit(f"{name}, {ORDERS[order]}: the results differ by {row['difference']:.1e} of the largest component")
        yield row


def print_row(row, options, first):
    modes = ["eager", *(["inductor"] if options.inductor else [])]
    if first:
        print("| layer | | flashtp, ms |" + "".join(f" e3nn {m}, ms | ratio |" for m in modes) + " difference |")
        print("|---|---|---:|" + "---:|---:|" * len(modes) + "---:|")
    cells = [f"{row['layer']} | {row['order']} | {row['flashtp_ms']:.2f}"]
    for m in modes:
        cells += [f"{row[f'e3nn_{m}_ms']:.1f} | {row[f'{m}_ratio']:.0f}" if f"{m}_ratio" in row else "- | -"]
    print("| " + " | ".join([*cells, f"{row['difference']:.0e}"]) + " |", flush=True)


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    rows = []
    for name in options.layers:
        for row in compare(name, options):
            if not options.json:
                print_row(row, options, not rows)
            rows.append(row)
    if options.json:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
