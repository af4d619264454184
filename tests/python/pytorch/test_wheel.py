"""The package as users install it: built by pip, found without help, alone in its environment."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FIRST_CALL = """
import torch, flashtp
assert "FLASHTP_LIBRARY" not in __import__("os").environ
conv = flashtp.TensorProductConv("2x0e+2x1o", "0e+1o", "2x0e+2x1o", [(0, 0, 0, "uvu", True), (1, 1, 0, "uvu", True), (1, 0, 1, "uvu", True)])
x, y, w = torch.randn(3, 8, requires_grad=True), torch.randn(4, 4), torch.randn(4, conv.weight_numel)
conv(x, y, w, torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 0, 1])).sum().backward()
assert x.grad.isfinite().all() and flashtp._library.HAS_CPP_AUTOGRAD
print(flashtp.__file__)
"""


@pytest.mark.nightly
def test_pip_install(tmp_path):
    """Minutes: it compiles everything, with third-party libraries linked statically."""
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), str(ROOT)]
    run = subprocess.run(install, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(target)}
    run = subprocess.run([sys.executable, "-c", FIRST_CALL], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(str(target))
    for library in (target / "flashtp/lib").glob("*.so"):
        needed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        outside = [name for name in ("libfmt", "libcrypto", "libLLVM", "libzstd", "libz.") if f"[{name}" in needed]
        assert not outside, f"{library.name} needs {outside}"
