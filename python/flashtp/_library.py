"""Loads the operators: libflashtp_torch.so, and the build of C++ derivatives that fits this torch, where there is one."""
import os
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import torch

OLDEST_TORCH = (2, 10)


def _release() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])


def _directory() -> Path:
    """Beside libflashtp.so: in this package, or where FLASHTP_LIBRARY says."""
    named = os.environ.get("FLASHTP_LIBRARY")
    return Path(named).resolve().parent if named else Path(__file__).resolve().parent / "lib"


def _why_python(directory: Path, release: tuple[int, ...]) -> str:
    """Why derivatives are registered in Python and not in C++; "" where they are in C++, which this loads."""
    if os.environ.get("FLASHTP_PYTHON_AUTOGRAD") == "1":
        return "FLASHTP_PYTHON_AUTOGRAD is 1"
    stem = "libflashtp_torch_autograd_"
    autograd = directory / f"{stem}{release[0]}_{release[1]}.so"
    if not autograd.exists():
        built = sorted(path.stem.removeprefix(stem).replace("_", ".") for path in directory.glob(f"{stem}*.so"))
        return f"the C++ ones are built for torch {', '.join(built) or '(none)'}"
    torch.ops.load_library(str(autograd))
    return ""


def _load() -> str:
    """Loads the operators and the derivatives; returns why the latter are not in C++."""
    release = _release()
    if release < OLDEST_TORCH:
        raise ImportError(f"flashtp needs torch {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later; this is torch {torch.__version__}")
    operators = DIRECTORY / "libflashtp_torch.so"
    if not operators.exists():
        raise ImportError(f"flashtp: there is no {operators.name} in {DIRECTORY}. Install the package (pip install .), or set "
                          "FLASHTP_LIBRARY to the libflashtp.so of a build directory")
    torch.ops.load_library(str(operators))
    return _why_python(DIRECTORY, release)


def _fast_call():
    """The module whose ``call`` is flashtp::eager_product without torch's operators; None where it was not built for this torch, or
    this Python has not the stable ABI."""
    path = DIRECTORY / f"flashtp_call_{'_'.join(map(str, _release()))}.abi3.so"
    if not path.exists() or ".abi3.so" not in EXTENSION_SUFFIXES:
        return None
    loader = ExtensionFileLoader("flashtp_call", str(path))
    return module_from_spec(spec_from_loader("flashtp_call", loader))


DIRECTORY = _directory()
WHY_PYTHON_AUTOGRAD = _load()
HAS_CPP_AUTOGRAD = not WHY_PYTHON_AUTOGRAD
FAST_CALL = _fast_call() if HAS_CPP_AUTOGRAD else None
