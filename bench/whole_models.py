"""What the commands for whole models share: options, a crystal, times and memory of a step, the table."""
import argparse
import importlib.util
import json
import os
import sys
from functools import partial

import ase.build
import torch

import measure
from cases import ROOT

sys.path.insert(0, str(ROOT / "python"))
os.environ.setdefault("FLASHTP_LIBRARY", str(ROOT / "build/release/lib/libflashtp.so"))


def parser(description, backends, cells):
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--device", choices=measure.DEVICES, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backends", type=lambda text: text.split(","), default=list(backends),
                        help=f"of {','.join(backends)} (default: all that are installed)")
    parser.add_argument("--cells", type=lambda text: [int(part) for part in text.split(",")], default=cells,
                        help=f"repeats of a 4-atom cell in each direction (default: {','.join(map(str, cells))})")
    parser.add_argument("--train", action="store_true", help="a step of training on forces instead of energy, forces and stress")
    parser.add_argument("--repeats", type=int, default=15)
    return parser


def available(chosen, packages, on_cpus, device):
    """Those of the chosen back ends that are installed and run on this kind of device. `packages`: what each needs to be imported, in
    the order in which they can be measured."""
    unknown = set(chosen) - set(packages)
    if unknown:
        sys.exit(f"no back end is called {', '.join(sorted(unknown))}; there are {', '.join(packages)}")
    return [name for name, package in packages.items() if name in chosen and (device == "cuda" or name in on_cpus) and
            importlib.util.find_spec(package) is not None]


def copper(cells):
    """fcc, off its places: 4 atoms a cell."""
    atoms = ase.build.bulk("Cu", cubic=True) * (cells, cells, cells)
    atoms.rattle(0.05, seed=1)
    return atoms


def loss(energy, forces):
    return forces.square().mean() + 1e-6 * energy.square().mean()


def row_of(device, step, options, expected):
    """`step` returns the energy and the forces; `expected` keeps those of the first back end, by the number of atoms."""
    energy, forces = step()
    atoms = len(forces)
    row = {"atoms": atoms, "mode": "train" if options.train else "evaluate", "extra_bytes": device.extra_bytes(step)}
    row["ms"] = measure.times(device, {"step": step}, options.repeats)["step"] / 1e3
    row["host_ms"], row["kernels_ms"] = (None if us is None else us / 1e3
                                         for us in (device.host_time(step, 3), device.kernel_time(step, 2)))
    if atoms in expected:
        row["energy_difference_an_atom"] = float((energy - expected[atoms][0]).abs()) / atoms
        row["largest_force_difference"] = float((forces - expected[atoms][1]).abs().max())
    else:
        expected[atoms] = energy, forces
    return row


def table(rows):
    """Milliseconds a step, and most MB of memory where a device tells; a row a size."""
    measured = [row for row in rows if "ms" in row]
    backends = list(dict.fromkeys(row["backend"] for row in measured))
    lines = [f"| atoms | {' | '.join(backends)} | best peer / flashtp |", "|---:" * (len(backends) + 2) + "|"]
    for atoms in dict.fromkeys(row["atoms"] for row in measured):
        of = {row["backend"]: row for row in measured if row["atoms"] == atoms}
        memory = {name: f" / {row['extra_bytes'] / 1e6:,.0f} MB" if row["extra_bytes"] else "" for name, row in of.items()}
        cells = [f"{of[name]['ms']:.1f} ms{memory[name]}" if name in of else "" for name in backends]
        peers = [row["ms"] for name, row in of.items() if "flashtp" not in name]
        ratio = f"{min(peers) / of['flashtp']['ms']:.2f}" if peers and "flashtp" in of else ""
        lines.append(f"| {atoms:,} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def run(options, backends, build, graph, step):
    """``build(backend)`` makes a model; ``graph(model, cells)`` what it takes; ``step(model, graph, train)`` gives energy and forces,
    and accumulates gradients of their loss if it is to train. Prints a JSON line for each back end and size, and the table."""
    device, expected, rows = measure.DEVICES[options.device], {}, []
    for backend in backends:
        model = build(backend).train(options.train)
        for cells in options.cells:
            row = {"backend": backend}
            try:
                row.update(row_of(device, partial(step, model, graph(model, cells), options.train), options, expected))
            except Exception as error:  # memory, or whatever a peer does: the others are still to be measured
                row.update(cells=cells, error=f"{type(error).__name__}: {error}".splitlines()[0][:200])
            device.empty_cache()
            print(json.dumps(row), flush=True)
            rows.append(row)
        del model
    print(table(rows))
