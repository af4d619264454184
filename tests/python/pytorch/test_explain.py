"""flashtp.explain(): where derivatives are computed, and what the kernel cache did."""
import os
import shutil
import subprocess
import sys

import flashtp

FIRST_CALL = """
import torch, flashtp
tp = flashtp.TensorProduct("2x0e", "0e", "2x0e", [(0, 0, 0, "uvu", True)], shared_weights=False)
tp(torch.ones(3, 2), torch.ones(3, 1), torch.ones(3, 2))
print(flashtp.explain())
print(*flashtp.cache_counts().values())
"""


def first_call(**environment):
    run = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, env={**os.environ, **environment})
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_cache_counts_who_compiled(tmp_path):
    outputs = [first_call(FLASHTP_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    hits, misses, stored, timeouts = zip(*(map(int, text.splitlines()[-1].split()) for text in outputs))
    assert (hits, misses, stored, timeouts) == ((0, 1), (1, 0), (1, 0), (0, 0))
    assert "calls that ran kernels: 1" in outputs[0]
    assert "1 stored" in outputs[0] and "0 stored" in outputs[1]


def test_a_fallback_is_named():
    assert f"derivatives in {'C++' if flashtp._library.HAS_CPP_AUTOGRAD else 'Python: '}" in flashtp.explain()
    assert "derivatives in Python: FLASHTP_PYTHON_AUTOGRAD is 1" in first_call(FLASHTP_PYTHON_AUTOGRAD="1")


def test_an_unknown_torch_is_named(tmp_path):
    """Libraries without a build for this torch: operators load, and derivatives fall back."""
    source = flashtp._library.DIRECTORY
    for library in [*source.glob("libflashtp.so*"), *source.glob("libflashtp_torch*.so")]:
        shutil.copy(library, tmp_path / library.name.replace("autograd_", "autograd_9_"))
    text = first_call(FLASHTP_PYTHON_AUTOGRAD="0", FLASHTP_LIBRARY=str(tmp_path / "libflashtp.so"), FLASHTP_LLVM_PLUGIN=str(source / "libflashtp_llvm.so"))
    assert "derivatives in Python: the C++ ones are built for torch 9." in text


def test_direct_calls_are_named():
    direct = flashtp._library.FAST_CALL is not None
    assert f"modules call {'kernels directly' if direct else 'torch.ops'}" in flashtp.explain()
    assert direct == (os.environ.get("FLASHTP_PYTHON_AUTOGRAD") != "1")
    assert "modules call torch.ops" in first_call(FLASHTP_PYTHON_AUTOGRAD="1")
