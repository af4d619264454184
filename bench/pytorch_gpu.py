"""The PyTorch package on a GPU: correctness against the CPU kernels, streams, CUDA graphs, host time and speed.

    python bench/pytorch_gpu.py [--layer sevennet-l3i5:2] [--edges 100000] [--only WORDS]

Every check prints a line; the exit code is the number of checks that failed. FLASHTP_LIBRARY names libflashtp.so of a
build directory, with libflashtp_torch.so beside it.
"""
import argparse
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import cases  # noqa: E402
import flashtp  # noqa: E402
from cases import Case, Layer, random_graph  # noqa: E402

SMALL = Layer("small", {"irreps_in1": "5x0e+5x1o", "irreps_in2": "0e+1o", "irreps_out": "5x0e+5x1o",
                        "instructions": [(0, 0, 0, "uvu", True), (1, 1, 0, "uvu", True), (1, 0, 1, "uvu", True)]})

FAILED = []


def check(name, run):
    try:
        found = run()
        good, text = found if isinstance(found, tuple) else (True, found)
    except Exception as error:  # every check is to be tried
        good, text = False, f"{type(error).__name__}: {error}"
    FAILED.extend([] if good else [name])
    print(f"{'ok  ' if good else 'FAIL'} {name}: {text}", flush=True)


class Convolution:
    """That of a case, with the same inputs on the CPU and on the GPU."""

    def __init__(self, case, index=torch.int64):
        self.case, self.index = case, index
        self.conv = flashtp.TensorProductConv(*map(str, case.layer.irreps), case.layer.instructions,
                                              shared_weights=case.shared_weights)

    def on(self, device):
        values, graph = self.case.values, self.case.graph
        return ([values[name].detach().to(device).requires_grad_() for name in "xyw"], graph.receiver.to(device, self.index),
                graph.sender.to(device, self.index))

    def derivatives(self, device, order):
        """z and its derivatives, contracted with themselves so that all orders have work."""
        inputs, receiver, sender = self.on(device)
        found = [self.conv(*inputs, receiver, sender)]
        values, variables = found, inputs
        for _ in range(order):
            values = list(torch.autograd.grad(sum((v * v).sum() for v in values), variables, create_graph=True))
            found = found + values
        return [t.detach().cpu().double() for t in found]


def convolution(layer, edges, nodes, dtype=torch.float32, order="receiver", index=torch.int64, device="cpu", **options):
    return Convolution(Case(layer, random_graph(edges, nodes, order, device), dtype, **options), index)


def agreement(case, order, tolerance):
    worst = max(((a - b).abs().max() / (b.abs().max() + 1e-300)).item() if a.numel() else 0.0
                for a, b in zip(case.derivatives("cuda", order), case.derivatives("cpu", order)))
    return worst < tolerance, f"largest error {worst:.2g} of the largest number, bound {tolerance:.0e}"


def other_stream(case):
    inputs, receiver, sender = case.on("cuda")
    expected = case.conv(*inputs, receiver, sender)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        late = inputs[0].detach() * 2
        result = case.conv(late, *inputs[1:], receiver, sender)
    stream.synchronize()
    error = (result - 2 * expected).abs().max().item()
    return error <= 1e-4 * expected.abs().max().item(), f"error {error:.2g} behind a delay on a second stream"


def captured(case):
    inputs, receiver, sender = case.on("cuda")
    x, y, w = (t.detach() for t in inputs)
    case.conv(x, y, w, receiver, sender)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = case.conv(x, y, w, receiver, sender)
    x.mul_(3)
    graph.replay()
    torch.cuda.synchronize()
    error = (result - case.conv(x, y, w, receiver, sender)).abs().max().item()
    return error <= 1e-4 * result.abs().max().item(), f"error {error:.2g} after replay with new inputs"


def changing_edges(case):
    """One captured graph of z and its gradients, replayed for lists of other lengths; rows without an edge hold no number."""
    inputs, receiver, sender = case.on("cuda")
    (x, y, w), room = inputs, len(receiver)
    number, static = torch.tensor([room], device="cuda"), [t.detach().clone().requires_grad_() for t in inputs]

    def run(inputs, receiver, sender, **options):
        z = case.conv(*inputs, receiver, sender, len(x), **options)
        return [z, *torch.autograd.grad(z.square().sum(), inputs)]

    run(static, receiver, sender, num_edges=number)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run(static, receiver, sender, num_edges=number)
    worst = 0.0
    for edges in (room, room // 3, 1):
        expected = run([x, y[:edges], w[:edges]], receiver[:edges].clone(), sender[:edges].clone())
        number.fill_(edges)
        with torch.no_grad():
            for t in static[1:]:
                t[edges:] = torch.nan
        graph.replay()
        for a, b in zip(found, expected):
            worst = max(worst, relative(a[:len(b)], b), a[len(b):].abs().max().item() if len(a) > len(b) else 0.0)
    return worst < 1e-4, f"largest error {worst:.2g} for lists of {room}, {room // 3} and 1 edges"


def deterministic(case):
    """The same bits in every run, and for edges in any order."""
    inputs, receiver, sender = case.on("cuda")
    layer = case.case.layer
    conv = flashtp.TensorProductConv(*map(str, layer.irreps), layer.instructions, deterministic=True)
    # Edges that have both rows in common keep their order.
    kept = torch.unique(torch.stack((receiver, sender)), dim=1)
    inputs = [inputs[0], *[t[:kept.shape[1]].detach().requires_grad_() for t in inputs[1:]]]

    def run(order):
        x, y, w = inputs
        z = conv(x, y[order], w[order], *kept[:, order])
        return [z, *torch.autograd.grad(z.square().sum(), inputs)]

    given = torch.arange(kept.shape[1], device="cuda")
    first, again, shuffled = run(given), run(given), run(given[torch.randperm(len(given), device="cuda")])
    expected = torch.autograd.grad(case.conv(*inputs, *kept).square().sum(), inputs)
    error = max(map(relative, first[1:], expected))
    same = [all(map(torch.equal, first, other)) for other in (again, shuffled)]
    return all(same) and error < 1e-4, f"bits of a second run and of shuffled edges the same: {same}; gradients differ by {error:.2g}"


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item() if found.numel() else 0.0


def bad_edge(case):
    inputs, receiver, sender = case.on("cuda")
    receiver[3] = 10**6
    try:
        case.conv(*inputs, receiver, sender)
    except RuntimeError as error:
        return "edge" in str(error), str(error)
    return False, "no error"


def unaligned(case):
    inputs, receiver, sender = case.on("cuda")
    shifted = [torch.empty(t.numel() + 1, device="cuda", dtype=t.dtype)[1:].view_as(t).copy_(t.detach()) for t in inputs]
    error = (case.conv(*shifted, receiver, sender) - case.conv(*inputs, receiver, sender)).abs().max().item()
    return error <= 1e-3, f"error {error:.2g} for inputs that start 4 bytes behind an aligned address"


def compiled(case):
    inputs, receiver, sender = case.on("cuda")
    function = torch.compile(case.conv, fullgraph=True, dynamic=True)
    ours, theirs = (torch.autograd.grad(f(*inputs, receiver, sender).pow(2).sum(), inputs) for f in (function, case.conv))
    error = max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs))
    return error < 1e-4, f"gradients differ by {error:.2g}"


def shares_cpp_library(package):
    with zipfile.ZipFile(package) as archive:
        return all(b"libstdc++.so.6" in archive.read(name) for name in archive.namelist() if name.endswith(".so"))


def packaged(case):
    """AOTInductor, for any number of edges and nodes."""
    inputs, receiver, sender = case.on("cuda")
    arguments = (*(t.detach() for t in inputs), receiver, sender)
    edges, nodes = torch.export.Dim("edges", min=2), torch.export.Dim("nodes", min=2)
    exported = torch.export.export(case.conv, arguments, dynamic_shapes=({0: nodes}, *[{0: edges}] * 4))
    with tempfile.TemporaryDirectory() as folder:
        package = torch._inductor.aoti_compile_and_package(exported, package_path=f"{folder}/convolution.pt2")
        if not shares_cpp_library(package):
            return False, "the compiler linked a C++ library of its own into the package, which would end this process; set CXX to another"
        found, expected = torch._inductor.aoti_load_package(package)(*arguments), case.conv(*arguments)
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    return error < 1e-4, f"outputs differ by {error:.2g}"


def microseconds(run, repeats=200):
    run()
    torch.cuda.synchronize()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        times.append((time.perf_counter() - start) / repeats * 1e6)
        torch.cuda.synchronize()
    return f"{statistics.median(times):.1f} us"


def milliseconds(run, repeats=10):
    run()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return f"{start.elapsed_time(end) / repeats:.3f} ms"


def speed(case):
    inputs, receiver, sender = case.on("cuda")
    values = [t.detach() for t in inputs]
    z = case.conv(*inputs, receiver, sender)
    g = torch.randn_like(z)
    return ", ".join((
        "forward " + milliseconds(lambda: case.conv(*values, receiver, sender)),
        "backward " + milliseconds(lambda: torch.autograd.grad(z, inputs, g, retain_graph=True))))


def host_time(case):
    inputs, receiver, sender = case.on("cuda")
    values = [t.detach() for t in inputs]
    return ", ".join((
        "without gradients " + microseconds(lambda: case.conv(*values, receiver, sender)),
        "forward with gradients " + microseconds(lambda: case.conv(*inputs, receiver, sender)),
        "C++ derivatives" if flashtp._library.HAS_CPP_AUTOGRAD else "Python derivatives"))


def checks(layer, edges):
    """(name, what returns a text, or whether it is good and a text)"""
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-11)):
        for index, order in ((torch.int32, "receiver"), (torch.int64, "random")):
            yield (f"three derivatives, {dtype}, {index}, edges by {order}",
                   lambda: agreement(convolution(SMALL, 300, 20, dtype, order, index), 3, tolerance))
    yield "shared weights", lambda: agreement(convolution(SMALL, 300, 20, torch.float64, shared_weights=True), 2, 1e-11)
    yield "no edges", lambda: agreement(convolution(SMALL, 0, 5, torch.float64), 2, 1e-11)
    large = convolution(layer, 2000, 100)
    yield "layer, two derivatives", lambda: agreement(large, 2, 1e-3)
    for run in (other_stream, captured, changing_edges, deterministic, bad_edge, unaligned, compiled, packaged):
        yield run.__name__.replace("_", " "), lambda: run(large)
    yield "host time", lambda: host_time(convolution(SMALL, 20, 5))
    yield "speed", lambda: speed(convolution(layer, edges, max(1, edges // 40), device="cuda"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layer", default="sevennet-l3i5:2", help="NAME:LINE of examples/specs")
    parser.add_argument("--edges", type=int, default=100_000)
    parser.add_argument("--only", default="", help="the checks with these words in their names")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("SKIPPED: torch sees no CUDA device")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, layer {options.layer}, {options.edges} edges")
    for name, run in checks(cases.layer(options.layer), options.edges):
        if options.only in name:
            check(name, run)
    sys.exit(len(FAILED))


if __name__ == "__main__":
    main()
