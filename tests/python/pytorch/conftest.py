"""The package is tested from the source tree, on the libraries of the release build."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))
sys.path.insert(0, str(ROOT / "python"))
# Tests start Python programs of their own.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])])

if not Path(os.environ["FLASHTP_LIBRARY"]).with_name("libflashtp_torch.so").exists():
    collect_ignore_glob = ["test_*.py"]

    @pytest.fixture(autouse=True)
    def _nothing_to_test():
        pytest.skip("SKIPPED: libflashtp_torch.so was not built; configure again with torch installed")


def pytest_configure(config):
    config.addinivalue_line("markers", "nightly: takes minutes; tools/test --nightly runs it")


@pytest.fixture(autouse=True)
def float64_and_a_seed():
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)
