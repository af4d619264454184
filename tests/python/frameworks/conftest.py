"""Real models of the frameworks, with and without this package. Each framework's tests run where it is installed, and are skipped
elsewhere: `./tools/test --nightly` installs them into environments of their own."""
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))
sys.path.insert(0, str(ROOT / "python"))


@pytest.fixture(scope="module")
def float64():
    """Makes it torch's default dtype."""
    import torch
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def seeded():
    import torch
    torch.manual_seed(0)
