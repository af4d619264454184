"""Agreement with e3nn: values, gradients, double gradients, and with them the orders of weights and outputs.

FLASHTP_SEED=N draws other random specifications; a failure prints the seed and the specification.
"""
import itertools
import json
import os

import e3nn
import numpy as np
import pytest
import torch

from e3nn_reference import ORDER_INPUTS, SHAPE_OF, Reference, from_layout, to_layout
from flashtp_ctypes import ROOT, Engine, Graph
from random_specs import MODES, random_spec

SEED = int(os.environ.get("FLASHTP_SEED", "20260801"))
IRREPS_OF = {"x": "in1", "y": "in2", "z": "out"}


@pytest.fixture(scope="module")
def engine():
    torch.set_num_threads(1)  # the tensors are small
    return Engine()


def random_graph(spec, rng, edges=6, nodes=4):
    """Edges in any order or sorted by receiver; some nodes have none, and some edges repeat."""
    if not spec.get("convolution", True):
        return Graph(edges)
    senders, receivers = nodes, nodes + int(rng.integers(0, 2))
    index = np.int32 if rng.random() < 0.5 else np.int64
    sender, receiver = rng.integers(0, senders, edges, index), rng.integers(0, receivers, edges, index)
    return Graph(edges, senders, receivers, sender, np.sort(receiver) if rng.random() < 0.3 else receiver)


def random_values(order, reference, dtype, rng):
    rows, widths = reference.rows(), reference.widths()
    return {name: rng.standard_normal((rows[of], widths[of])).astype(dtype)
            for name in ORDER_INPUTS[order] for of in [SHAPE_OF[name]]}


def run(program, spec, values, graph, threads):
    """What the library computes, given and returned in e3nn's order of components."""
    def convert(function, name, array):
        operand = IRREPS_OF.get(name.split("_")[-1])
        return function(array, spec[f"irreps_{operand}"], spec.get(f"layout_{operand}")) if operand else array

    inputs = {name: convert(to_layout, name, array) for name, array in values.items()}
    outputs = program.run(inputs, graph, threads)
    return {name: convert(from_layout, name, array) for name, array in outputs.items()}


def check(engine, spec, seed, orders=(0, 1, 2), edges=6):
    rng = np.random.default_rng(seed)
    reference = Reference(spec, random_graph(spec, rng, edges))
    for order in orders:
        values = random_values(order, reference, np.dtype(spec.get("dtype", "float32")), rng)
        program = engine.compile(spec, order)
        results = run(program, spec, values, reference.graph, threads=int(rng.integers(1, 4)))
        ratios = reference.compare(order, values, results)
        assert max(ratios.values(), default=0) <= 1, \
            f"order {order}: error over bound {ratios}\nFLASHTP_SEED={SEED} {json.dumps(spec)}"


def test_version():
    assert e3nn.__version__.startswith("0.6.")


@pytest.mark.parametrize("index", range(300))
def test_random(engine, index):
    seed = SEED + index
    check(engine, random_spec(seed, "float64"), seed)


@pytest.mark.parametrize("index", range(300, 350))
def test_random_float32(engine, index):
    seed = SEED + index
    check(engine, random_spec(seed, "float32"), seed)


@pytest.mark.parametrize("index", range(350, 380))
def test_random_order_3(engine, index):
    seed = SEED + index
    check(engine, random_spec(seed, "float64"), seed, orders=(3,))


def test_random_specs_are_diverse():
    """The generator draws what the file promises, whatever the seed."""
    specs = [random_spec(SEED + i, "float64") for i in range(300)]
    instructions = [i for spec in specs for i in spec["instructions"]]
    seen = {(i[3], i[4]) for i in instructions}
    assert seen == {(m, True) for m in MODES} | {(m, False) for m in MODES if m not in ("uvw", "u<vw")}
    mixed = [s for s in specs if len({i[3] for i in s["instructions"]}) > 1]
    repeated = [s for s in specs if len({i[2] for i in s["instructions"]}) < len(s["instructions"])]
    assert len(mixed) > 100 and len(repeated) > 50
    assert any("0x" in s["irreps_in1"] + s["irreps_in2"] + s["irreps_out"] for s in specs)
    for key, values in {"irrep_normalization": 3, "path_normalization": 3, "shared_weights": 2, "convolution": 2}.items():
        assert len({s[key] for s in specs}) == values
    for key in ("in1_var", "in2_var", "out_var", "layout_in1", "layout_in2", "layout_out"):
        assert sum(key in s for s in specs) > 10


def test_small_mistakes_are_noticed(engine):
    """The bound is tight enough: exchanged weights, a lost path and a relative error of 1e-13 are beyond it."""
    spec = {"irreps_in1": "4x0e+4x1o", "irreps_in2": "1o+1o", "irreps_out": "4x1o+4x0e", "dtype": "float64",
            "instructions": [[0, 0, 0, "uvu", True], [0, 1, 0, "uvu", True], [1, 0, 1, "uvu", True]]}
    rng = np.random.default_rng(SEED)
    reference = Reference(spec, random_graph(spec, rng))
    values = random_values(0, reference, np.float64, rng)

    def worst(**changed):
        z = engine.compile({**spec, **changed}).run(values, reference.graph)
        return reference.compare(0, values, z)["z"], z["z"]

    ratio, z = worst()
    assert ratio <= 1
    assert reference.compare(0, values, {"z": z * (1 + 1e-13)})["z"] > 1
    first, second, third = spec["instructions"]
    assert worst(instructions=[second, first, third])[0] > 1e6
    assert worst(instructions=[first, [*second, 0.999999], third])[0] > 1e6


# ---- Real models --------------------------------------------------------------------------------------------------------

GOLDEN = ("sevennet-l3i5", "mace-large", "nequip-l1", "nequip-l2", "nequip-l3", "diffdock-uvw", "allegro-uuu")


def golden_layers():
    """(name, specification) of all distinct layers: models repeat theirs."""
    for name in GOLDEN:
        text = (ROOT / "examples/specs" / f"{name}.json").read_text()
        whole = text.lstrip().startswith("{\n")
        layers = [text] if whole else list(dict.fromkeys(filter(str.strip, text.splitlines())))
        for number, layer in enumerate(map(json.loads, layers), 1):
            yield name if whole else f"{name}-{number}", long_form(layer)


def long_form(layer):
    if "tp" not in layer:
        return layer
    return dict(zip(("irreps_in1", "irreps_in2", "irreps_out", "instructions"), layer["tp"]))


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("name, spec", [pytest.param(*layer, id=layer[0]) for layer in golden_layers()])
def test_golden_layers(engine, name, spec, dtype):
    check(engine, {**spec, "dtype": dtype}, SEED, edges=5)


# ---- 3j symbols ---------------------------------------------------------------------------------------------------------

def triples(count=24):
    """Small ones all, of the others every so many, and the largest."""
    possible = [t for t in itertools.product(range(9), repeat=3) if abs(t[0] - t[1]) <= t[2] <= t[0] + t[1]]
    return sorted({*possible[::len(possible) // count], (1, 1, 1), (2, 2, 2), (8, 8, 8), (8, 7, 8), (7, 8, 6)})


@pytest.mark.parametrize("l1, l2, l3", triples())
def test_wigner_3j(engine, l1, l2, l3):
    """One path, read out entry by entry with unit vectors: zeros are exact, the others right to the last few bits."""
    size = (2 * l1 + 1, 2 * l2 + 1)
    spec = {"irreps_in1": f"1x{l1}e", "irreps_in2": f"1x{l2}e", "irreps_out": f"1x{l3}e", "instructions": [[0, 0, 0, "uuu", False]],
            "irrep_normalization": "none", "path_normalization": "none", "convolution": False, "dtype": "float64"}
    i, j = (a.ravel() for a in np.indices(size))
    values = {"x": np.eye(size[0])[i], "y": np.eye(size[1])[j]}
    symbols = engine.compile(spec).run(values, Graph(len(i)))["z"].reshape(*size, 2 * l3 + 1)
    expected = e3nn.o3.wigner_3j(l1, l2, l3, dtype=torch.float64).numpy()
    assert np.abs(symbols - expected).max() < 1e-14
    assert (symbols[np.abs(expected) < 1e-14] == 0).all()
