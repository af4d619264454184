"""flashtp.TensorProductConv against e3nn's tensor product with gather and scatter."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layers import MESSAGE, MODES, Edges, Pair, assert_close, derivatives

import flashtp

ONLY_CPP = pytest.mark.skipif(os.environ.get("FLASHTP_PYTHON_AUTOGRAD") == "1", reason="runs the other tests of this file")


def launches():
    return torch.ops.flashtp.launch_count()


@pytest.mark.parametrize("index", (torch.int32, torch.int64))
def test_three_derivatives_equal_e3nns(index):
    pair = Pair(MESSAGE, Edges.random(dtype=index))
    inputs = pair.inputs()
    before = launches()
    ours = derivatives(pair.ours, inputs, 3)
    assert launches() >= before + 4
    assert_close(ours, derivatives(pair.e3nns, inputs, 3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shared", (False, True))
def test_modes(mode, shared):
    pair = Pair(MODES[mode], Edges.random(), shared_weights=shared)
    inputs = pair.inputs()
    assert_close(derivatives(pair.ours, inputs, 2), derivatives(pair.e3nns, inputs, 2))


@pytest.mark.parametrize("wanted", ((0,), (1,), (2,), (0, 2), (1, 2)))
def test_gradients_of_some_inputs(wanted):
    """Inputs that need no gradient are not differentiated, at any order."""
    pair = Pair(MESSAGE, Edges.random())
    values = [t.detach() for t in pair.inputs()]

    def partial(function):
        return lambda *some: function(*[some[wanted.index(i)] if i in wanted else v for i, v in enumerate(values)])

    leaves = [values[i].clone().requires_grad_() for i in wanted]
    assert_close(derivatives(partial(pair.ours), leaves, 3), derivatives(partial(pair.e3nns), leaves, 3))


def test_float32_is_as_exact_as_e3nn():
    edges = Edges.random(200, 20, 20)
    single, double = Pair(MESSAGE, edges, torch.float32), Pair(MESSAGE, edges)
    inputs = single.inputs()
    exact = derivatives(double.e3nns, [t.detach().double().requires_grad_() for t in inputs], 1)
    ours = derivatives(single.ours, inputs, 1)
    assert all(v.dtype == torch.float32 for v in ours)
    assert_close([v.double() for v in ours], exact, 2e-6)


def test_sorted_and_unsorted_edges_agree():
    pair = Pair(MESSAGE, Edges.random(50))
    x, y, w = pair.inputs()
    order = torch.argsort(pair.edges.receiver, stable=True)
    unsorted = pair.ours(x, y, w)
    pair.edges = pair.edges._replace(receiver=pair.edges.receiver[order], sender=pair.edges.sender[order])
    assert_close([pair.ours(x, y[order], w[order])], [unsorted])


@pytest.mark.parametrize("edges, nodes", ((0, 3), (0, 0), (1, 1)))
def test_empty_graphs(edges, nodes):
    pair = Pair(MESSAGE, Edges(torch.zeros(edges, dtype=torch.int64), torch.zeros(edges, dtype=torch.int64), nodes, nodes))
    inputs = pair.inputs()
    assert_close(derivatives(pair.ours, inputs, 2), derivatives(pair.e3nns, inputs, 2))


def test_inputs_that_are_not_contiguous():
    pair = Pair(MESSAGE, Edges.random())
    inputs = pair.inputs()
    strided = [t.detach().T.contiguous().T.requires_grad_() for t in inputs]
    assert not any(t.is_contiguous() for t in strided)
    assert_close(derivatives(pair.ours, strided, 2), derivatives(pair.ours, inputs, 2))
    both = torch.stack((pair.edges.sender, pair.edges.receiver), dim=1)
    pair.edges = pair.edges._replace(sender=both[:, 0], receiver=both[:, 1])
    assert_close([pair.ours(*strided)], [pair.e3nns(*inputs)])


def test_expanded_gradients():
    """sum() hands down a gradient with strides 0."""
    pair = Pair(MESSAGE, Edges.random())
    x, y, w = pair.inputs()
    ours, theirs = (torch.autograd.grad(f(x, y, w).sum(), (x, y, w)) for f in (pair.ours, pair.e3nns))
    assert_close(ours, theirs)


def test_layouts():
    """ir_mul has the component slowest inside each segment."""
    pair = Pair(MESSAGE, Edges.random())
    transposed = Pair(MESSAGE, pair.edges, layout=("ir_mul", "mul_ir", "ir_mul"))
    x, y, w = pair.inputs()

    def to_ir_mul(t, irreps):
        parts = [t[:, s].reshape(len(t), mul, -1).transpose(1, 2).reshape(len(t), -1) for s, (mul, _) in zip(irreps.slices(), irreps)]
        return torch.cat(parts, dim=1)

    z = transposed.ours(to_ir_mul(x, pair.tp.irreps_in1), y, w)
    assert_close([z], [to_ir_mul(pair.ours(x, y, w), pair.tp.irreps_out)])


def test_irreps_of_e3nn_and_pairs_are_taken():
    from e3nn import o3

    irreps = [o3.Irreps(i) for i in MESSAGE[:3]]
    pairs = [[(mul, (ir.l, ir.p)) for mul, ir in i] for i in irreps]
    problems = {flashtp.TensorProductConv(*i, MESSAGE.instructions).problem for i in (MESSAGE[:3], irreps, pairs)}
    assert len(problems) == 1


@pytest.mark.parametrize("deterministic", (False, True))
def test_any_number_of_threads(deterministic):
    pair = Pair(MESSAGE, Edges.random(400, 30, 30), deterministic=deterministic)
    x, y, w = pair.inputs()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(torch.autograd.grad(pair.ours(x, y, w).square().sum(), (x, y, w)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert_close(results[0], other)
        assert not deterministic or all(map(torch.equal, results[0], other))


@pytest.mark.parametrize("shared", (False, True))
def test_deterministic_sums_do_not_depend_on_the_order_of_edges(shared):
    """To the last bit, where no two edges have both receiver and sender in common."""
    nodes, count = 30, 400
    pairs = torch.randperm(nodes * nodes)[:count]
    pair = Pair(MESSAGE, Edges(pairs // nodes, pairs % nodes, nodes, nodes), torch.float32, shared, deterministic=True)
    x, y, w = (t.detach() for t in pair.inputs())

    def results(order):
        pair.edges = Edges(pairs[order] // nodes, pairs[order] % nodes, nodes, nodes)
        leaves = [t.clone().requires_grad_() for t in (x, y[order], w if shared else w[order])]
        z = pair.ours(*leaves)
        gx, gy, gw = torch.autograd.grad(z.square().sum(), leaves)
        back = torch.argsort(order)
        return z, gx, gy[back], gw if shared else gw[back]

    assert all(map(torch.equal, results(torch.arange(count)), results(torch.randperm(count))))


@ONLY_CPP
def test_derivatives_in_python_are_the_same():
    """Where there is no C++ build for a torch, Python registers the derivatives."""
    chosen = "three_derivatives or some_inputs or which_derivatives or order_of_edges or test_num_edges"
    files = [__file__, Path(__file__).with_name("test_num_edges.py")]
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", *files, "-k", chosen], capture_output=True, text=True,
                         env={**os.environ, "FLASHTP_PYTHON_AUTOGRAD": "1"})
    assert run.returncode == 0, run.stdout + run.stderr


def test_which_derivatives_are_loaded():
    assert flashtp._library.HAS_CPP_AUTOGRAD == (os.environ.get("FLASHTP_PYTHON_AUTOGRAD") != "1")
