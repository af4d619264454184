"""Bad input and missing compilers or drivers: a status and a message that names what is wrong, never a crash."""
import ctypes
import ctypes.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import flashtp_ctypes as ft

DOT = {"irreps_in1": "2x1o", "irreps_in2": "1o", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", True]]}
# Status, words of the message, and what differs from DOT.
BAD_PROBLEMS = {
    "unknown key": (ft.INVALID_PROBLEM, ("irreps_in", "irreps_in1"), {"irreps_in": "1o"}),
    "parity missing": (ft.INVALID_PROBLEM, ("irreps_in1", "2x1", "parity"), {"irreps_in1": "2x1"}),
    "not a number": (ft.INVALID_PROBLEM, ("irreps_in2", "ax1o"), {"irreps_in2": "ax1o"}),
    "wrong mode": (ft.INVALID_PROBLEM, ("instruction 0", "uvx", "uvu"), {"instructions": [[0, 0, 0, "uvx", True]]}),
    "no such segment": (ft.INVALID_PROBLEM, ("instruction 0", "5"), {"instructions": [[0, 5, 0, "uvu", True]]}),
    "too short": (ft.INVALID_PROBLEM, ("instruction 0",), {"instructions": [[0, 0, 0]]}),
    "flag": (ft.INVALID_PROBLEM, ("instruction 0",), {"instructions": [[0, 0, 0, "uvu", 1]]}),
    "parity": (ft.INVALID_PROBLEM, ("instruction 0", "parit"), {"irreps_out": "2x0o"}),
    "triangle": (ft.INVALID_PROBLEM, ("instruction 0", "l"), {"irreps_out": "2x3e"}),
    "multiplicity": (ft.INVALID_PROBLEM, ("instruction 0", "uvu", "mul(out) = mul(in1)", "3"), {"irreps_out": "3x0e"}),
    "zero multiplicity": (ft.INVALID_PROBLEM, ("instruction 0", "uvu", "mul(out) = mul(in1)", "0"), {"irreps_out": "0x0e"}),
    "must be weighted": (ft.INVALID_PROBLEM, ("instruction 0", "uvw", "weight"), {"instructions": [[0, 0, 0, "uvw", False]]}),
    "negative path weight": (ft.INVALID_PROBLEM, ("instruction 0", "path"), {"instructions": [[0, 0, 0, "uvu", True, -1.0]]}),
    "variances": (ft.INVALID_PROBLEM, ("in1_var",), {"in1_var": [1.0, 2.0]}),
    "normalisation": (ft.INVALID_PROBLEM, ("irrep_normalization", "component"), {"irrep_normalization": "componnent"}),
    "dtype": (ft.INVALID_PROBLEM, ("dtype", "float64"), {"dtype": "float46"}),
    "degree": (ft.LIMIT_EXCEEDED, ("max_l",), {"irreps_in1": "2x1000o"}),
    "multiplicity limit": (ft.LIMIT_EXCEEDED, ("max_multiplicity",), {"irreps_in1": "1000000000x1o", "irreps_out": "1000000000x0e"}),
    "instructions": (ft.LIMIT_EXCEEDED, ("max_instructions",), {"instructions": [[0, 0, 0, "uvu", True]] * 5000}),
}
BAD_REQUESTS = {
    "not JSON": (ft.INVALID_PROBLEM, ("JSON",), dict(problem="{")),
    "key twice": (ft.INVALID_PROBLEM, ("dtype",), dict(problem=json.dumps(DOT)[:-1] + ', "dtype": "float32", "dtype": "float64"}')),
    "bytes": (ft.LIMIT_EXCEEDED, ("max_json_bytes",), dict(problem=" " * 2_000_000)),
    "order": (ft.INVALID_PROBLEM, ("order",), dict(problem=DOT, order=4)),
    "output": (ft.INVALID_PROBLEM, ("d_q",), dict(problem=DOT, order=1, outputs="d_x,d_q")),
    "absent": (ft.INVALID_PROBLEM, ("d_z",), dict(problem=DOT, order=2, absent="d_z")),
    "target": (ft.INVALID_ARGUMENT, ("sm_91",), dict(problem=DOT, target="sm_91")),
}


@pytest.fixture(scope="module")
def engine():
    return ft.Engine()


def expect(status, words, function, *arguments, **named):
    with pytest.raises(ft.FlashtpError) as caught:
        function(*arguments, **named)
    message = caught.value.message
    assert caught.value.status == status, message
    missing = [w for w in words if w not in message]
    assert not missing, f"{missing} not in: {message}"


@pytest.mark.parametrize("case", BAD_PROBLEMS)
def test_bad_problem(engine, case):
    status, words, changed = BAD_PROBLEMS[case]
    expect(status, words, engine.compile, {**DOT, **changed})


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request(engine, case):
    status, words, request = BAD_REQUESTS[case]
    expect(status, words, engine.compile, **request)


def test_bad_engine_options():
    expect(ft.INVALID_ARGUMENT, ("threads", "-3"), ft.Engine, threads=-3)
    expect(ft.INVALID_ARGUMENT, ("cache directory", "absolute"), ft.Engine, cache="relative/path")


def test_edge_out_of_range():
    ints = lambda *values: np.array(values, np.int64)
    expect(ft.INVALID_ARGUMENT, ("edge 2", "7"), ft.Graph, 3, 5, 5, ints(0, 1, 7), ints(0, 1, 2))
    expect(ft.INVALID_ARGUMENT, ("edge 1", "-1"), ft.Graph, 3, 5, 5, ints(0, 1, 2), ints(0, -1, 2))


def test_the_engine_works_after_errors(engine):
    expect(ft.INVALID_PROBLEM, (), engine.compile, {})
    graph = ft.Graph(1, 1, 1, *np.zeros((2, 1), np.int32))
    inputs = {"x": np.ones((1, 6), np.float32), "y": np.ones((1, 3), np.float32), "w": np.ones((1, 2), np.float32)}
    assert np.allclose(engine.compile(DOT).run(inputs, graph)["z"], np.sqrt(3))


@pytest.mark.parametrize("edges", (0, 1))
def test_empty_graphs(engine, edges):
    """Zero edges and zero nodes are legal: outputs are zero or empty."""
    for nodes in (edges, 3):
        index = np.zeros(edges, np.int32)
        graph = ft.Graph(edges, nodes, nodes, index, index)
        for order in (0, 1, 2):
            program = engine.compile(DOT, order)
            inputs = {o.name.decode(): np.zeros((graph.rows(o.row), o.width), np.float32)
                      for o in program.operands if o.role == ft.INPUT}
            for name, output in program.run(inputs, graph).items():
                assert (output == 0).all(), name


# ---- Without a GPU, without compilers -----------------------------------------------------------------------------------


def have_driver():
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


@pytest.mark.skipif(have_driver(), reason="there is a CUDA device")
def test_gpu_calls_without_driver(engine):
    expect(ft.DEVICE_ERROR, ("driver",), engine.compile, DOT, target="cuda")


@pytest.mark.parametrize("variable, target, word", [("FLASHTP_NVRTC", "sm_90a", "NVRTC"), ("FLASHTP_LLVM_PLUGIN", "cpu", "LLVM")])
def test_missing_compiler(variable, target, word):
    """In a process of its own: compilers stay loaded, and the environment is read when they are."""
    code = ("import json, sys, flashtp_ctypes as ft\n"
            "try: ft.Engine().compile(json.loads(sys.argv[1]), target=sys.argv[2])\n"
            "except ft.FlashtpError as error: print(error.status, error.message)")
    environment = {**os.environ, variable: "/nowhere/lib.so", "PYTHONPATH": os.path.dirname(__file__)}
    run = subprocess.run([sys.executable, "-c", code, json.dumps(DOT), target], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(ft.COMPILE_FAILED)), run.stdout
    assert word in run.stdout and "/nowhere/lib.so" in run.stdout, run.stdout


def test_a_spec_compiles_for_a_gpu_without_one(engine):
    program = engine.compile(DOT, target="sm_90a")
    kernel = program.kernels()[0]
    assert kernel.code_bytes > 0 and kernel.registers > 0 and kernel.threads_per_block > 0
    graph = ft.Graph(0, 0, 0, *np.zeros((2, 0), np.int32))
    empty = {name: np.zeros((0, width), np.float32) for name, width in (("x", 6), ("y", 3), ("w", 2))}
    expect(ft.INVALID_ARGUMENT, (), program.run, empty, graph)
