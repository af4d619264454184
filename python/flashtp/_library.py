"""Loads the operators: libflashtp_torch.so, and the build of C++ derivatives that fits this torch, where there is one."""
import os
from pathlib import Path

import torch

OLDEST_TORCH = (2, 10)


def _release() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])


def _directory() -> Path:
    """Beside libflashtp.so: in this package, or where FLASHTP_LIBRARY says."""
    named = os.environ.get("FLASHTP_LIBRARY")
    return Path(named).resolve().parent if named else Path(__file__).resolve().parent / "lib"


def _load() -> bool:
    """Returns whether derivatives are registered in C++."""
    release = _release()
    if release < OLDEST_TORCH:
        raise ImportError(f"flashtp needs torch {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later; this is torch {torch.__version__}")
    directory = _directory()
    operators = directory / "libflashtp_torch.so"
    if not operators.exists():
        raise ImportError(f"flashtp: there is no {operators.name} in {directory}. Install the package (pip install .), or set "
                          "FLASHTP_LIBRARY to the libflashtp.so of a build directory")
    torch.ops.load_library(str(operators))
    autograd = directory / f"libflashtp_torch_autograd_{release[0]}_{release[1]}.so"
    if os.environ.get("FLASHTP_PYTHON_AUTOGRAD") == "1" or not autograd.exists():
        return False
    torch.ops.load_library(str(autograd))
    return True


HAS_CPP_AUTOGRAD = _load()
