"""Runs OpenEquivariance's batch and convolution tests on this package, on a CPU, within tighter bounds.

    python tests/python/pytorch/openequivariance_suite.py OPENEQUIVARIANCE [--part I/N] [PYTEST ARGUMENTS]

The whole takes an hour or two; parts 1/40 to 40/40 are all of it. OPENEQUIVARIANCE is a checkout of
https://github.com/PASSIONLab/OpenEquivariance, which need not be built. Its test files run as they are, with this package in the place of its classes; what they put on a GPU stays on the CPU, and the graph that they download is a
random one. Errors are relative to the largest number: 1e-12 in float64, 2e-5 in float32 (against e3nn in float32), where the files ask
for absolute errors of 1e-5 to 5e-1.
"""
import os
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import flashtp

BOUNDS = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-5}
FILES = ("tests/batch_test.py", "tests/conv_test.py")


class OnCpu(TorchFunctionMode):
    """"cuda" means the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def here(value):
            is_cuda = isinstance(value, (str, torch.device)) and str(value).startswith("cuda")
            return torch.device("cpu") if is_cuda else value

        return function(*map(here, args), **{name: here(value) for name, value in (kwargs or {}).items()})


def arguments_of(config):
    return {"irrep_normalization": config.irrep_normalization, "path_normalization": config.path_normalization,
            "in1_var": config.in1_var, "in2_var": config.in2_var, "out_var": config.out_var, "layout": config.layout,
            "shared_weights": config.shared_weights}


def irreps_of(config):
    return [str(irreps) for irreps in (config.irreps_in1, config.irreps_in2, config.irreps_out)]


def product_class():
    from openequivariance._torch.E3NNTensorProduct import E3NNTensorProduct

    class TensorProduct(E3NNTensorProduct):
        """As its e3nn reference, with this package's product in it."""

        def __init__(self, config, torch_op=True, **_):
            super().__init__(config, torch_op=torch_op)
            self.product = flashtp.TensorProduct(*irreps_of(config), config.instructions_raw, internal_weights=False,
                                                 **arguments_of(config))
            del self.forward  # the reference's, of this object alone
            self.e3nn_tp = self.forward

        def forward(self, x, y, w):
            return self.product(x, y, w)

        def to(self, dtype):
            self.config.irrep_dtype = self.config.weight_dtype = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
            return self

    return TensorProduct


def convolution_class():
    from openequivariance._torch.E3NNConv import E3NNConv

    class TensorProductConv(E3NNConv):
        def __init__(self, config, *, deterministic=False, kahan=False, **_):
            super().__init__(config)
            self.deterministic = deterministic
            self.conv = flashtp.TensorProductConv(*irreps_of(config), config.instructions_raw, deterministic=deterministic,
                                                  **arguments_of(config))

        def to(self, dtype):
            self.config.irrep_dtype = self.config.weight_dtype = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
            return self

        def forward(self, x, y, w, rows, cols, transpose_perm=None):
            return self.conv(x, y, w, rows, cols, x.shape[0])

        __call__ = forward

        def forward_cpu(self, L1_in, L2_in, weights, L3_out, graph):
            operands = map(torch.tensor, (L1_in, L2_in, weights, graph.rows, graph.cols))
            L3_out[:] = self.forward(*operands).numpy()

        def backward_cpu(self, L1_in, L1_grad, L2_in, L2_grad, L3_grad, weights, weights_grad, graph):
            inputs = [torch.tensor(array, requires_grad=True) for array in (L1_in, L2_in, weights)]
            z = self.forward(*inputs, torch.tensor(graph.rows), torch.tensor(graph.cols))
            gradients = torch.autograd.grad(z, inputs, torch.tensor(L3_grad))
            for target, gradient in zip((L1_grad, L2_grad, weights_grad), gradients):
                target[:] = gradient.numpy()

    return TensorProductConv


def random_graph(_):
    from openequivariance.core.ConvolutionBase import CoordGraph
    generator = np.random.default_rng(0)
    return CoordGraph(generator.random((40, 3)), generator.integers(0, 40, 300), generator.integers(0, 40, 300), "random")


def compare(name, to_check, ground_truth, _):
    """In the place of its check_similiarity."""
    if to_check.shape != ground_truth.shape:
        return {"shape_match": False, "diff_Linf_norm": np.inf, "pass": False}
    error = float(np.abs(to_check - ground_truth).max()) / (1 + float(np.abs(ground_truth).max()))
    return {"shape_match": True, "diff_Linf_norm": error, "pass": error <= BOUNDS[ground_truth.dtype]}


def made_once(make):
    """e3nn generates the code of a reference anew in each test, which takes longer than the test."""
    made = {}

    def find(*args, **options):
        key = repr((args, options, torch.get_default_dtype()))
        if key not in made:
            made[key] = make(*args, **options)
        return made[key]

    return find


def install():
    import openequivariance
    from e3nn import o3
    from openequivariance._torch.utils import transpose_irreps
    from openequivariance.benchmark import ConvBenchmarkSuite, correctness
    o3.TensorProduct = made_once(o3.TensorProduct)
    openequivariance.transpose_irreps = transpose_irreps
    openequivariance.TensorProduct = product_class()
    openequivariance.TensorProductConv = convolution_class()
    correctness.check_similiarity = compare
    ConvBenchmarkSuite.load_graph = random_graph
    urllib.request.urlretrieve = lambda *_: None


class Part:
    """A pytest plug-in that leaves out all cases but those of one part."""

    def pytest_addoption(self, parser):
        parser.addoption("--part", default="1/1", help="I/N: the I-th of N equal parts")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        part, parts = map(int, config.getoption("--part").split("/"))
        kept = items[len(items) * (part - 1) // parts:len(items) * part // parts]
        config.hook.pytest_deselected(items=list(set(items) - set(kept)))
        items[:] = kept


def main():
    if len(sys.argv) < 2 or not Path(sys.argv[1], FILES[0]).exists():
        sys.exit(__doc__)
    root = Path(sys.argv[1]).resolve()
    os.environ["OEQ_NOTORCH"] = "1"  # its own library is not wanted
    sys.path.insert(0, str(root / "openequivariance"))
    with OnCpu():
        install()
        code = pytest.main([f"--rootdir={root}", "-p", "no:cacheprovider", *[str(root / file) for file in FILES], *sys.argv[2:]],
                           plugins=[Part()])
    print(f"{torch.ops.flashtp.launch_count()} runs of compiled kernels")
    sys.exit(code)


if __name__ == "__main__":
    main()
