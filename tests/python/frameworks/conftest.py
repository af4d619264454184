"""Real models of the frameworks, with and without this package. Each framework's tests run where it is installed, and are skipped
elsewhere: `./tools/test --nightly` installs them into environments of their own."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))
sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture(scope="module", autouse=True)
def float32():
    """torch's default dtype, whatever another framework's tests left behind."""
    import torch
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def float64(float32):
    """Makes it torch's default dtype."""
    import torch
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="module", params=("cpu", "cuda"))
def device(request):
    import torch
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("SKIPPED: torch sees no CUDA device")
    return request.param


@pytest.fixture(autouse=True)
def seeded():
    import torch
    torch.manual_seed(0)
