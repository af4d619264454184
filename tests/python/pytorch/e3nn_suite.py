"""Runs e3nn's own tests with this package's tensor products in the place of e3nn's.

    python tests/python/pytorch/e3nn_suite.py E3NN [PYTEST ARGUMENTS]

E3NN is a checkout of https://github.com/e3nn/e3nn at the version that is installed. All test files run in which tensor products take
part, on their own or inside other modules, without the tests named below, which are about e3nn's code generator.
"""
import sys
from pathlib import Path

import pytest

CLASSES = ("TensorProduct", "FullyConnectedTensorProduct", "ElementwiseTensorProduct", "FullTensorProduct", "TensorSquare")
FILES = ("tests/o3/tensor_product_test.py", "tests/o3/tensor_product_sub_test.py", "tests/o3/linear_test.py", "tests/o3/norm_test.py",
         "tests/o3/reduce_tensor_test.py", "tests/o3/experimental", "tests/nn/gate_test.py", "tests/nn/normact_test.py",
         "tests/nn/models")
# Test name: why it cannot apply.
LEFT_OUT = {
    "test_specialized_code": "compares two code generators of e3nn by a private attribute",
    "test_optimizations": "switches optimisations of e3nn's code generator on and off",
}


class OurProducts:
    """A pytest plug-in."""

    def pytest_configure(self, config):
        import e3nn.nn
        import e3nn.o3

        import flashtp

        ours = {getattr(e3nn.o3, name): getattr(flashtp, name) for name in CLASSES}
        for module in [m for name, m in list(sys.modules.items()) if name.startswith("e3nn")]:
            for name, value in list(vars(module).items()):
                if isinstance(value, type) and value in ours:
                    setattr(module, name, ours[value])

    def pytest_collection_modifyitems(self, items):
        for item in items:
            why = LEFT_OUT.get(item.originalname)
            if why:
                item.add_marker(pytest.mark.skip(reason=f"SKIPPED: {why}"))

    def pytest_terminal_summary(self, terminalreporter):
        import torch

        terminalreporter.write_line(f"{torch.ops.flashtp.launch_count()} runs of compiled kernels")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not Path(sys.argv[1], "tests/o3").is_dir():
        sys.exit(__doc__)
    root = Path(sys.argv[1]).resolve()
    files = [str(root / file) for file in FILES if (root / file).exists()]
    sys.exit(pytest.main([f"--rootdir={root}", "-p", "no:cacheprovider", *files, *sys.argv[2:]], plugins=[OurProducts()]))
