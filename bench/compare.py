#!/usr/bin/env python3
"""Compares this library with e3nn, FlashTP, OpenEquivariance and cuEquivariance: the same layers, graphs, numbers and device.

    build/venv/bin/python bench/compare.py --device cpu --out build/bench

Writes table.md, results.json and pictures into the folder --out. bench/README.md explains what is measured.
"""
import argparse
import fcntl
import platform
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

import cases
import measure
import report
from cases import ORDERS, OUTPUTS, Case, layer, random_graph
from libraries import LIBRARIES, Unsupported, make, missing
from reference import reference, relative_errors

LAYERS = ("sevennet-l3i5:2", "mace-large:2", "nequip-l3:4")
SIZES = {"cpu": (2048,), "cuda": (2048, 16384, 131072)}
STATISTICS = {"median": statistics.median, "min": min}
EDGES_PER_NODE = {"cpu": 32, "cuda": 64}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", default=LAYERS, help="NAME:LINE of examples/specs (default: %(default)s)")
    parser.add_argument("--device", choices=measure.DEVICES, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--edges", type=numbers, help="numbers of edges, separated by commas")
    parser.add_argument("--edges-per-node", type=int)
    parser.add_argument("--edge-orders", type=names(cases.EDGE_ORDERS), default=["receiver"],
                        help=f"how edges are sorted, of {','.join(cases.EDGE_ORDERS)} (default: receiver)")
    parser.add_argument("--libraries", type=names([library.name for library in LIBRARIES]),
                        help="separated by commas (default: all but e3nn compiled)")
    parser.add_argument("--orders", type=numbers, default=[0, 1, 2])
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--statistic", choices=STATISTICS, default="median", help="min where other programs share the device")
    parser.add_argument("--threads", type=int, help="of all libraries, on the CPU")
    parser.add_argument("--check-edges", type=int, default=200_000, help="results of larger graphs are not compared with e3nn")
    parser.add_argument("--tolerance", type=float, default=3e-7, help="largest relative error of this library")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no new case is begun after so long")
    parser.add_argument("--lock", type=Path, help="a file: comparisons that are given the same one run side by side, and one at a time takes times")
    parser.add_argument("--cell-seconds", type=float, default=float("inf"),
                        help="a peer that takes longer for an order of a case is left out of that layer from then on")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    return parser.parse_args()


def numbers(text):
    return [int(float(part)) for part in text.split(",")]


def names(allowed):
    def parse(text):
        unknown = set(text.split(",")) - set(allowed)
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(allowed)}")
        return text.split(",")
    return parse


@dataclass
class Runs:
    """What one library runs of one case: a function an order, made when it is needed, which returns that order's outputs."""
    library: object
    own: dict = field(default_factory=dict)
    first: tuple = None

    def __post_init__(self):
        convert = self.library.to_own
        self.own = {name: convert(name, value.detach()).requires_grad_() for name, value in self.library.case.values.items()}

    def forward(self):
        with torch.no_grad():
            return (self.z(),)

    def z(self):
        return self.library(*(self.own[name] for name in "xyw"))

    def gradients(self, z, create_graph=False):
        xyw = [self.own[name] for name in "xyw"]
        return torch.autograd.grad(z, xyw, self.own["d_z"], retain_graph=True, create_graph=create_graph)

    def second_gradients(self, first):
        inputs, cotangents = ([self.own[name] for name in group] for group in (("d_z", "x", "y", "w"), ("t_x", "t_y", "t_w")))
        return torch.autograd.grad(first, inputs, cotangents, retain_graph=True)

    def function(self, order):
        """Only the order's own work: what lower orders keep for it was made before."""
        if order > self.library.highest_order:
            raise Unsupported(self.library.beyond)
        if order == 0:
            return self.forward
        z = self.z()
        if order == 1:
            return partial(self.gradients, z)
        return partial(self.second_gradients, self.gradients(z, create_graph=True))

    def results(self, order, outputs):
        return {name: self.library.from_own(name, tensor.detach()) for name, tensor in zip(OUTPUTS[order], outputs)}


def failure(error):
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]


class Comparison:
    def __init__(self, options):
        self.options = options
        self.device = measure.DEVICES[options.device]
        chosen = options.libraries or [library.name for library in LIBRARIES if library.name != "e3nn compiled"]
        absent = {library.name: missing(library, options.device) for library in LIBRARIES}
        self.libraries = [library for library in LIBRARIES if library.name in chosen and not absent[library.name]]
        self.too_slow = {}  # by library and layer: what was said
        if any(not library.peer for library in self.libraries):
            import flashtp  # noqa: F401  without this library there is nothing to compare
        self.document = {
            "device": self.device.description(), "kind": options.device, "torch": torch.__version__, "host": platform.machine(),
            "cache_bytes": self.device.cache_bytes(), "peaks": measure.peaks(self.device),
            "statistic": f"{options.statistic} of {options.repeats}", "dtype": options.dtype,
            "absent": {name: absent[name] for name in chosen if absent[name]}, "states": [], "rows": []}

    def cases(self):
        per_node = self.options.edges_per_node or EDGES_PER_NODE[self.options.device]
        for edges in self.options.edges or SIZES[self.options.device]:
            for name in self.options.layers:
                for edge_order in self.options.edge_orders:
                    yield name, edges, max(1, edges // per_node), edge_order

    def run(self):
        start = time.monotonic()
        for name, edges, nodes, edge_order in self.cases():
            if time.monotonic() - start > self.options.seconds:
                print(f"out of time before {name} at {edges} edges", file=sys.stderr)
                break
            self.document["states"].append(self.device.state())
            try:
                case = Case(layer(name), random_graph(edges, nodes, edge_order, self.options.device),
                            getattr(torch, self.options.dtype))
            except torch.OutOfMemoryError:
                self.row(name, edges, nodes, edge_order, error="inputs do not fit in memory")
                continue
            self.measure(case)
            del case
            self.device.empty_cache()
            report.write(self.document, self.options.out)
        self.document["states"].append(self.device.state())

    def row(self, name, edges, nodes, edge_order, **values):
        self.document["rows"].append({"layer": name, "edges": edges, "nodes": nodes, "edge_order": edge_order, **values})
        return self.document["rows"][-1]

    def measure(self, case):
        made = {library: self.make(library, case) for library in self.libraries}
        for order in self.options.orders:
            expected = reference(case, order) if case.graph.edges <= self.options.check_edges else None
            groups = [self.libraries] if self.device.in_turns else [[library] for library in self.libraries]
            for group in groups:
                self.measure_group(case, order, {library: made[library] for library in group}, expected)

    def make(self, library, case):
        """Or the error of it, which all orders then have."""
        if (library.name, case.layer.name) in self.too_slow:
            return self.too_slow[library.name, case.layer.name]
        try:
            with self.limit(library, case):
                return Runs(make(library, case))
        except Exception as error:  # peers fail in many ways, and the others are still to be measured
            return failure(error)

    @contextmanager
    def limit(self, library, case):
        """One peer's compiler must not cost the cells of all others; it would compile for the next size again."""
        try:
            with measure.time_limit(self.options.cell_seconds if library.peer else float("inf")):
                yield
        except TimeoutError as error:
            self.too_slow[library.name, case.layer.name] = failure(error)
            raise

    def measure_group(self, case, order, group, expected):
        functions = {}
        for library, runs in group.items():
            row = self.row(case.layer.name, case.graph.edges, case.graph.nodes, case.graph.edge_order, order=ORDERS[order],
                           library=library.name, peer=library.peer, least_bytes=case.least_bytes(order))
            late = self.too_slow.get((library.name, case.layer.name))
            if late or isinstance(runs, str):
                row["error"] = late or runs
                continue
            try:
                with self.limit(library, case):
                    functions[library.name] = self.prepare(runs, order, expected, row)
            except Exception as error:
                row["error"] = failure(error)
                self.device.empty_cache()
        with self.alone():
            times = self.times(functions)
        for name, microseconds in times.items():
            next(row for row in reversed(self.document["rows"]) if row["library"] == name)["us"] = microseconds

    def prepare(self, runs, order, expected, row):
        """Checks and everything but the time, which is measured in turns. Returns the function to be timed."""
        library = runs.library
        runs.forward()  # what is compiled or chosen at first use is no memory and no time of a run
        held = {}
        row["extra_bytes"] = self.device.extra_bytes(lambda: held.update(outputs=runs.function(order)()))
        row["output_bytes"] = library.case.bytes_of(OUTPUTS[order])
        if expected is not None:
            row["errors"] = relative_errors(runs.results(order, held["outputs"]), expected)
        held.clear()
        function = runs.function(order)
        for _ in range(self.device.warm_up):
            function()
        with self.alone():
            repeats = measure.repeats(self.device.time(function), self.options.repeats)
            row["kernels_us"] = self.device.kernel_time(function, repeats)
            row["host_us"] = self.device.host_time(function, repeats)
            if not library.peer:
                row.update(self.direct(library.case, order))
        return function

    @contextmanager
    def alone(self):
        """While no other comparison with the same --lock takes times; peers compile for minutes, so several of them save most of that."""
        if self.options.lock is None:
            yield
            return
        with open(self.options.lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def times(self, functions):
        return measure.times(self.device, functions, self.options.repeats, STATISTICS[self.options.statistic])

    def direct(self, case, order):
        """The C API alone, without autograd and allocation; and the index of the graph, made once for many calls."""
        from c_api import Launch
        graph = case.graph
        build = partial(torch.ops.flashtp.receiver_index, graph.receiver, graph.sender, graph.nodes, graph.nodes)
        launch = Launch(case, order, build()[:3])
        times = self.times({"direct_us": launch, "index_us": build})
        return {**times, "direct_host_us": self.device.host_time(launch, 10 * self.options.repeats),
                "multiply_adds": launch.multiply_adds_per_edge() * graph.edges}


def main():
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    comparison = Comparison(options)
    comparison.run()
    report.write(comparison.document, options.out)
    print(report.table(comparison.document))
    wrong = report.beyond(comparison.document, options.tolerance)
    if wrong:
        cells = ", ".join(f"{row['layer']} {row['order']} at {row['edges']} edges" for row in wrong)
        sys.exit(f"flashtp failed or has relative errors above {options.tolerance}: {cells}")


if __name__ == "__main__":
    main()
