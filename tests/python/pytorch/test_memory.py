"""Memory of new arrays on CPUs."""
from pathlib import Path

import pytest
import torch

import flashtp

LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def flags_at(address):
    """Of the mapping that an address is in, as the system tells."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        word, *rest = line.split()
        if "-" in word and not word.endswith(":"):
            first, end = (int(part, 16) for part in word.split("-"))
            inside = first <= address < end
        elif inside and word == "VmFlags:":
            return rest
    raise AssertionError(f"{address:#x} is in no mapping")


@pytest.mark.skipif(not LARGE_PAGES.exists(), reason="SKIPPED: this system has no large pages")
@pytest.mark.parametrize("megabytes, asks", ((64, True), (1, False)))
def test_large_arrays_ask_for_large_pages(megabytes, asks):
    product = flashtp.TensorProduct("16x0e", "0e", "16x0e", [(0, 0, 0, "uvu", False)])
    rows = megabytes * 2**20 // 64
    z = product(torch.ones(rows, 16), torch.ones(rows, 1))
    assert ("hg" in flags_at(z.data_ptr() + 2**18)) == asks
    assert (z == 1).all()
