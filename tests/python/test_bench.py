"""bench/: the comparison runs on the CPU, and its tables say when a result is wrong."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
import pictures  # noqa: E402
import report  # noqa: E402


def library_path():
    return Path(os.environ.get("FLASHTP_LIBRARY", ROOT / "build/release/lib/libflashtp.so"))


def compare(folder, *arguments):
    command = [sys.executable, ROOT / "bench/compare.py", "--device", "cpu", "--repeats", "1", "--out", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=900)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    if not library_path().with_name("libflashtp_torch.so").exists():
        pytest.skip("SKIPPED: libflashtp_torch.so was not built; configure again with torch installed")
    folder = tmp_path_factory.mktemp("bench")
    result = compare(folder, "nequip-l1:2", "--edges", "40,90", "--edge-orders", "receiver,sender", "--lock", str(folder / "lock"))
    assert result.returncode == 0, result.stderr
    return folder


def test_all_orders_agree_with_e3nn(measured):
    rows = json.loads((measured / "results.json").read_text())["rows"]
    assert len(rows) == 2 * 2 * 3 * 2  # sizes, edge orders, derivative orders, libraries
    assert not [row for row in rows if "error" in row]
    outputs = {"forward": {"z"}, "backward": {"d_x", "d_y", "d_w"}, "double backward": {"t_z", "t_d_x", "t_d_y", "t_d_w"}}
    for row in rows:
        assert set(row["errors"]) == outputs[row["order"]]
        assert 0 < max(row["errors"].values()) < 3e-7  # 0 would be float64 compared with itself
        assert row["us"] > 0


def test_tables_and_pictures_are_written(measured):
    table = (measured / "table.md").read_text()
    assert table.count("nequip-l1:2") == 2 * 2 * 2 * 3
    assert "FlashTP: does not run on cpu" in table
    assert {path.name for path in measured.glob("*.svg")} == {"edges.svg", "roofline.svg"}


def test_a_slow_peer_costs_its_own_cells(measured, tmp_path):
    result = compare(tmp_path, "nequip-l1:2", "--edges", "40,90", "--orders", "0", "--cell-seconds", "0.001")
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [(row["library"], "us" in row, row.get("error")) for row in rows] == 2 * [
        ("flashtp", True, None), ("e3nn", False, "TimeoutError: took longer than 0.001 s")]


def test_unknown_names_are_refused(tmp_path):
    result = compare(tmp_path, "--libraries", "flashtp,nothing")
    assert result.returncode == 2 and "nothing" in result.stderr


def row(library, us, error, edges=100):
    return {"layer": "a", "edges": edges, "nodes": 2, "edge_order": "receiver", "order": "forward", "library": library,
            "peer": library != "flashtp", "us": us, "kernels_us": us / 2, "errors": {"z": error}, "least_bytes": 1000,
            "extra_bytes": 2 << 20, "output_bytes": 1 << 20, "multiply_adds": 500}


def document(*rows):
    return {"device": "none", "torch": "0", "dtype": "float32", "statistic": "median of 1", "cache_bytes": 10, "absent": {},
            "peaks": {"bytes_per_second": 1e9, "flops_per_second": 1e9}, "rows": list(rows)}


def test_wrong_results_win_nothing():
    fast_and_wrong = document(row("flashtp", 4, 1e-7), row("FlashTP", 1, 0.3), row("e3nn", 12, 1e-7))
    ((_, cell),) = report.by_cell(fast_and_wrong)
    assert report.best_peer(cell)["library"] == "e3nn"
    assert report.ratio(cell) == 3
    assert "1 (wrong)" in report.table(fast_and_wrong)


@pytest.mark.parametrize("error", (4e-7, float("nan")))
def test_own_errors_are_noticed(error):
    assert not report.beyond(document(row("flashtp", 1, 2e-7)), 3e-7)
    assert report.beyond(document(row("flashtp", 1, error)), 3e-7)
    assert report.beyond(document({**row("flashtp", 1, 0), "error": "failed"}), 3e-7)


def test_roofline_is_the_larger_need():
    """1,000 bytes and 1,000 FLOPs at 1e9 a second each need 1 us, of 2 us that the kernels took."""
    assert report.fractions(document(), row("flashtp", 4, 0)) == pytest.approx((0.5, 0.5))


def test_pictures_of_a_device(tmp_path):
    rows = [row(library, us, 1e-7, edges) for library, us in (("flashtp", 1), ("e3nn", 9)) for edges in (10, 1000)]
    pictures.draw(document(*rows), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"edges.svg", "memory.svg", "roofline.svg"}
    pictures.draw(document(*rows), tmp_path, "png")
    assert all(path.stat().st_size > 5000 for path in tmp_path.glob("*.png"))
