"""bench/ddp.py: SevenNet-l3i5 trained by two processes on CPUs."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
from comparison import require

require("sevenn", "ase", "matplotlib")
from ase.calculators.morse import MorsePotential  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "bench"))
import crystals  # noqa: E402
import scaling  # noqa: E402
import sevenn._keys as KEY  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", ROOT / "bench/ddp.py",
               "--device", "cpu", "--backends", "flashtp", "--crystals", "8", "--batch", "1", "--sizes", "20,24", "--warm-up", "1",
               "--steps", "2", "--out", folder]
    run = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert run.returncode == 0, run.stderr
    return json.loads((folder / "results.json").read_text())


def test_loss_curves_do_not_depend_on_the_number_of_processes(trained):
    alone, together = (scaling.one(trained, ranks=ranks, batch=2, reversed=False)["losses"] for ranks in (1, 2))
    assert len(alone) == 3
    assert scaling.difference(together[:1], alone[:1]) < 1e-6
    assert scaling.difference(together, alone) < 1e-5
    assert abs(alone[1] - alone[0]) > 1e-3 * alone[0]


def test_one_process_of_a_node_compiles(trained):
    (entry,) = trained["processes"]
    stored, found = ([cache[key] for cache in entry["caches"]] for key in ("stored", "hits"))
    assert sum(stored) > 0
    assert [s + f for s, f in zip(stored, found)] == [sum(stored)] * 2  # each process has all of them
    assert all(cache["launches"] > 0 and cache["lock_timeouts"] == 0 for cache in entry["caches"])


def test_generated_labels_are_those_of_a_morse_potential():
    cutoff, number = 5.0, 3
    atoms, minimum = crystals.crystal(number, 0)
    graph = crystals.labelled(number, 0, cutoff, crystals.SIZES)
    atoms.calc = MorsePotential(epsilon=0.3, r0=minimum, rho0=1.6 * minimum, rcut1=cutoff / minimum, rcut2=cutoff / minimum + 1e-9)
    assert float(graph[KEY.ENERGY]) == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
    assert abs(graph[KEY.FORCE].numpy() - atoms.get_forces()).max() < 1e-6
    assert abs(graph[KEY.STRESS].numpy() + atoms.get_stress()[[0, 1, 2, 5, 3, 4]]).max() < 1e-6


def test_sizes_are_spread_over_the_range():
    sizes = [len(crystals.crystal(number, 0)[0]) for number in range(100)]
    assert 20 <= min(sizes) < 30 and 100 < max(sizes) <= 200
