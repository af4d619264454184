"""The package as users install it: one wheel, in clean environments with the oldest torch, the newest, and the one it is built with.

FLASHTP_WHEEL names a wheel that is built already, and FLASHTP_WHEEL_PYTHON another interpreter for the environments.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GLIBC = (2, 34)  # docs/pytorch.md
SECONDS = 5  # from import to the first result on a CPU
# The others are built for GPUs: gigabytes, minutes.
TORCHES = ("2.13.0", pytest.param("2.10.0", marks=pytest.mark.nightly), pytest.param("2.15.0", marks=pytest.mark.nightly))

FIRST_CALL = """
import json, time
import torch
start = time.perf_counter()
import flashtp
conv = flashtp.TensorProductConv("16x0e+16x1o", "0e+1o", "16x0e+16x1o",
                                 [(0, 0, 0, "uvu", True), (1, 1, 0, "uvu", True), (1, 0, 1, "uvu", True)])
x, y, w = torch.randn(3, 64, requires_grad=True), torch.randn(4, 4), torch.randn(4, conv.weight_numel)
z = conv(x, y, w, torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 0, 1]))
seconds = time.perf_counter() - start
first, = torch.autograd.grad(z.pow(2).sum(), x, create_graph=True)
second, = torch.autograd.grad(first.pow(2).sum(), x)
print(json.dumps({"file": flashtp.__file__, "seconds": seconds, "finite": bool(first.isfinite().all() and second.isfinite().all()),
                  "launches": torch.ops.flashtp.launch_count(), "explain": flashtp.explain(), "cuda": torch.version.cuda}))
"""
NVRTC = """
import ctypes, sys

class Request(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("problem", ctypes.c_char_p), ("order", ctypes.c_int32), ("reserved", ctypes.c_int32),
                ("outputs", ctypes.c_char_p), ("absent", ctypes.c_char_p), ("target", ctypes.c_char_p)]

library, engine, program = ctypes.CDLL(sys.argv[1]), ctypes.c_void_p(), ctypes.c_void_p()
library.flashtp_last_message.restype = ctypes.c_char_p
spec = b'{"irreps_in1": "2x0e", "irreps_in2": "0e", "irreps_out": "2x0e", "instructions": [[0, 0, 0, "uvu", true]]}'
request = Request(ctypes.sizeof(Request), spec, 0, 0, None, None, b"sm_90a")
assert library.flashtp_engine_create(None, ctypes.byref(engine)) == 0
if library.flashtp_compile(engine, ctypes.byref(request), ctypes.byref(program)): sys.exit(library.flashtp_last_message().decode())
"""


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if "FLASHTP_WHEEL" in os.environ:
        return Path(os.environ["FLASHTP_WHEEL"])
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("flashtp-*.whl")
    return built


@pytest.fixture(scope="module")
def libraries(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    assert (folder / "flashtp/py.typed").exists()
    return sorted((folder / "flashtp/lib").glob("*.so"))


def torches_of(libraries, name):
    """The torches that a library of this name was built for: 2_13 is 2.13's part of a name."""
    return {found[1] for library in libraries if (found := re.fullmatch(name + r"_(\d+_\d+)\..*", library.name))}


def test_the_wheel_needs_only_the_systems_libraries(libraries):
    derivatives, calls = (torches_of(libraries, name) for name in ("libflashtp_torch_autograd", "flashtp_call"))
    # Calls are built where Python's headers are.
    assert derivatives and calls <= derivatives
    assert {library.name for library in libraries} == {
        "libflashtp.so", "libflashtp_llvm.so", "libflashtp_torch.so",
        *(f"libflashtp_torch_autograd_{torch}.so" for torch in derivatives), *(f"flashtp_call_{torch}.abi3.so" for torch in calls)}
    of_torch = {"libtorch_cpu.so", "libc10.so", "libflashtp.so", "libflashtp_torch.so"}
    allowed = {"libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"}
    for library in libraries:
        needed = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "--dynamic", library)))
        own = of_torch if "torch" in library.name else set()
        if found := re.search(r"flashtp_call_(\w+)", library.name):
            own = of_torch | {"libtorch_python.so", f"libflashtp_torch_autograd_{found[1]}.so"}
        assert needed <= allowed | own, library.name


def test_the_glibc_floor(libraries):
    for library in libraries:
        versions = re.findall(r"\bGLIBC_(\d+)\.(\d+)", run("readelf", "--version-info", library))
        assert max((int(major), int(minor)) for major, minor in versions) <= GLIBC, library.name


@pytest.fixture(scope="module", params=TORCHES)
def environment(request, wheel, tmp_path_factory):
    """(torch's version, the interpreter of an environment with nothing but it and the wheel)"""
    folder = tmp_path_factory.mktemp("environment")
    run(os.environ.get("FLASHTP_WHEEL_PYTHON", sys.executable), "-m", "venv", folder)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--no-cache-dir", f"torch=={request.param}")
    run(python, "-m", "pip", "install", "--quiet", "--no-cache-dir", wheel)
    yield request.param, python
    shutil.rmtree(folder)


def first_call(python, home):
    """Of a process without a cache, a compiler or a GPU."""
    home.mkdir()
    return json.loads(run(python, "-c", FIRST_CALL, env={"HOME": str(home), "CUDA_VISIBLE_DEVICES": ""}, cwd=home))


def expected_words(libraries, version):
    """What a torch gets of what the wheel was built for."""
    name = "_".join(version.split(".")[:2])
    built = torches_of(libraries, "libflashtp_torch_autograd")
    if name not in built:
        others = ", ".join(sorted(built)).replace("_", ".")
        return f"derivatives in Python: the C++ ones are built for torch {others}; modules call torch.ops"
    direct = name in torches_of(libraries, "flashtp_call")
    return f"derivatives in C++; modules call {'kernels directly' if direct else 'torch.ops'}"


def test_first_result(environment, libraries, tmp_path):
    version, python = environment
    calls = [first_call(python, tmp_path / str(number)) for number in range(3)]
    assert Path(calls[0]["file"]).is_relative_to(python.parents[1])
    assert all(call["finite"] and call["launches"] == 4 for call in calls)
    print(f"torch {version}: first result after {min(call['seconds'] for call in calls):.2f} s")
    assert min(call["seconds"] for call in calls) < SECONDS
    assert expected_words(libraries, version) in calls[0]["explain"]


def test_torchs_own_nvrtc_compiles(environment, tmp_path):
    version, python = environment
    if first_call(python, tmp_path / "home")["cuda"] is None:
        pytest.skip(f"SKIPPED: torch {version} is built without CUDA here, so it brings no NVRTC")
    library = next(python.parents[1].glob("lib/python*/site-packages/flashtp/lib/libflashtp.so"))
    run(python, "-c", NVRTC, library, cwd=tmp_path, env={"HOME": str(tmp_path), "VIRTUAL_ENV": str(python.parents[1])})
