"""Molecular dynamics in ASE with the released SevenNet-l3i5, and how well it keeps its energy.

    pip install sevenn matplotlib
    python examples/python/md_sevennet.py --cells 2 --steps 200 --plot drift.png

Copper at constant energy. The total energy of exact forces stays constant but for the time step's error, so its drift tells whether
forces are the gradient of the energy. Prints the drift per atom, the time of a step and how many kernels ran.
"""
import argparse
import time

import ase.build
import numpy
import torch
from ase import units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from sevenn.calculator import SevenNetCalculator

import flashtp.integrations.sevennet


def run(options):
    """Times in fs and total energies in eV an atom, one a step, and seconds a step."""
    flashtp.integrations.sevennet.enable()
    atoms = ase.build.bulk("Cu", cubic=True).repeat(options.cells)
    atoms.calc = SevenNetCalculator("7net-l3i5", device=options.device, enable_flash=True)
    MaxwellBoltzmannDistribution(atoms, temperature_K=options.temperature, rng=numpy.random.default_rng(0))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, timestep=options.femtoseconds * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy() / len(atoms)))
    dynamics.run(1)  # kernels are compiled in the first step
    start = time.perf_counter()
    dynamics.run(options.steps - 1)
    seconds = (time.perf_counter() - start) / max(1, options.steps - 1)
    times = [options.femtoseconds * step for step in range(len(energies))]
    print(f"{len(atoms)} atoms, {1e3 * seconds:.1f} ms a step, {torch.ops.flashtp.launch_count()} kernel calls")
    return times, energies


def plot(times, energies, file):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    pyplot.figure(figsize=(6, 3))
    pyplot.plot(times, [1e3 * (energy - energies[0]) for energy in energies])
    pyplot.xlabel("time / fs")
    pyplot.ylabel("energy drift / meV an atom")
    pyplot.tight_layout()
    pyplot.savefig(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2, help="cubic cells of four atoms along each axis")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--femtoseconds", type=float, default=2.0, help="time step")
    parser.add_argument("--temperature", type=float, default=600.0, help="in K")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--plot", help="file for a plot of the drift")
    options = parser.parse_args()
    times, energies = run(options)
    drift = max(abs(energy - energies[0]) for energy in energies)
    print(f"largest drift {1e3 * drift:.3f} meV an atom in {times[-1]:.0f} fs")
    if options.plot:
        plot(times, energies, options.plot)


if __name__ == "__main__":
    main()
