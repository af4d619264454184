"""bench/scaling.py: batches are shared evenly, and the simulation is the sum that it says it is."""
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import batches  # noqa: E402
import scaling  # noqa: E402

EDGES = [int(n) for n in np.random.default_rng(0).lognormal(7, 0.6, 64)]


def test_batches_are_epochs_in_random_orders():
    steps = batches.batches(64, 24, 4, seed=3)
    assert all(len(set(a + b)) == 48 for a, b in (steps[:2], steps[2:]))  # the third batch would be incomplete
    assert steps[0] != steps[2]
    assert steps == batches.batches(64, 24, 4, seed=3)
    with pytest.raises(ValueError, match="64"):
        batches.batches(64, 65, 1, seed=0)


@pytest.mark.parametrize("ranks", (1, 2, 8))
def test_shares_are_parts_about_equal_in_edges(ranks):
    numbers = list(range(64))
    parts = batches.shares(numbers, EDGES, ranks)
    assert sorted(sum(parts, [])) == numbers
    loads = batches.loads(numbers, EDGES, ranks)
    assert max(loads) - min(loads) <= max(EDGES)
    assert max(loads) < 1.05 * sum(EDGES) / ranks


def row(ranks, batch, seconds, losses=(2.0, 1.0), **more):
    return {"backend": "flashtp", "ranks": ranks, "batch": batch, "reversed": False, "step_seconds": seconds, "peak_bytes": 10**9,
            "losses": list(losses), "edges_a_step": {"all": 1000 * batch}, "samples_per_second": batch / seconds,
            "epoch_seconds": 64 * seconds / batch, **more}


def document(*rows):
    """Rings of 1 us a message and 100 GB/s; a step of one process takes 10 ms and 2 us an edge."""
    inside = scaling.Ring(1e-6, 100e9)
    return {"device": "none", "torch": "0", "options": {"batch": 4, "seed": 0, "steps": 2}, "strong_batch": 8,
            "edges": [1000] * 64, "atoms": [30] * 64, "parameters": 10**6, "processes": [],
            "all_reduces": [{"ranks": 2, "bytes": size, "seconds": inside.seconds(2, size)} for size in (4096, 4 << 20, 32 << 20)],
            "rows": [row(1, 4, 0.01 + 4000 * 2e-6), row(1, 8, 0.01 + 8000 * 2e-6), *rows]}


def test_the_simulation_finds_what_made_the_numbers():
    steps = scaling.simulate(document(), "flashtp")
    assert list(steps) == list(scaling.SIMULATED)
    assert steps[1] == pytest.approx(0.018)
    assert steps[2] == pytest.approx(0.018 + 2 * (1e-6 + 2e6 / 100e9))
    assert steps[8] == pytest.approx(0.018 + 14 * (1e-6 + 5e5 / 100e9))
    across = 6 * (scaling.NETWORK_SECONDS + 5e5 / 4 / scaling.NETWORK_BYTES_A_SECOND)
    assert steps[32] == pytest.approx(steps[8] + across)
    assert not scaling.simulate({**document(), "all_reduces": []}, "flashtp")


def test_tables():
    two = row(2, 8, 0.02, (2.0, 1.001), compute_seconds=[0.018, 0.019])
    peer = {**row(2, 8, 0.05), "backend": "e3nn", "peak_bytes": 2 * 10**9}
    failed = {"backend": "e3nn", "ranks": 1, "batch": 8, "reversed": False, "error": "out of memory"}
    full = document(two, peer, failed)
    assert scaling.efficiency(full, two) == pytest.approx(0.018 / 0.02)
    assert scaling.speed_up(full, two) == pytest.approx(0.026 / 0.02)
    assert scaling.communication(two) == pytest.approx(0.05)
    text = scaling.table(full)
    for words in ("| flashtp | 2 | 8 | 20 | 400 |", "90.0 %", "| 2 | 8 | e3nn | 2.50 | 0.50 |", "out of memory", "1.0e-03"):
        assert words in text, f"{words} not in:\n{text}"


def test_the_picture(tmp_path):
    scaling.write(document(row(2, 8, 0.02)), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "table.md", "scaling.svg"}
