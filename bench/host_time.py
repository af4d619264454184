"""Host time of one call of the PyTorch package: a convolution of two edges on one thread, where arithmetic takes about 1 us.

    python bench/host_time.py [--device cuda]
    FLASHTP_PYTHON_AUTOGRAD=1 python bench/host_time.py

torch.mm of 4 by 4 matrices tells how fast the machine is just now. Times are the calling thread's processor time, which other work on
the machine changes little.
"""
import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import flashtp  # noqa: E402
from flashtp.specification import number_of  # noqa: E402


def microseconds(function, calls=2000, repeats=7):
    function()
    times = []
    for _ in range(repeats):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.thread_time()
        for _ in range(calls):
            function()
        times.append((time.thread_time() - start) / calls * 1e6)
    return f"{statistics.median(times):6.1f} us, at best {min(times):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    conv = flashtp.TensorProductConv("4x0e+4x1o", "0e+1o", "4x0e+4x1o",
                                     [(0, 0, 0, "uvu", True), (1, 1, 0, "uvu", True), (1, 0, 1, "uvu", True)])
    values = [torch.randn(2, width, device=device) for width in (16, 4, conv.weight_numel)]
    leaves = [v.clone().requires_grad_() for v in values]
    receiver, sender = torch.tensor([0, 1], device=device), torch.tensor([1, 0], device=device)
    index, name = list(torch.ops.flashtp.receiver_index(receiver, sender, 2, 2)[:3]), f"@{number_of(conv.problem)}"
    z = conv(*leaves, receiver, sender)
    ones, square = torch.ones_like(z), torch.randn(4, 4, device=device)
    print("derivatives in", "C++" if flashtp._library.HAS_CPP_AUTOGRAD else "Python")
    for label, function in {
            "torch.mm": lambda: torch.mm(square, square),
            "operator alone": lambda: torch.ops.flashtp.tensor_product.default(values, index, name, 0, 1, 0),
            "call without gradients": lambda: conv(*values, receiver, sender),
            "call with gradients": lambda: conv(*leaves, receiver, sender),
            "backward": lambda: torch.autograd.grad(z, leaves, ones, retain_graph=True)}.items():
        print(f"{label:24} {microseconds(function)}")


if __name__ == "__main__":
    main()
