#!/usr/bin/env python3
"""Whole models: a released SevenNet checkpoint, energy + forces + stress (or a training step) of rattled fcc copper.

    build/venv-frameworks/bin/python bench/sevennet.py --device cpu --cells 1

Prints a JSON line for each back end and size, and a table at the end. Back ends that are not installed are left out; results are
compared with those of the first.
"""
import argparse
import json
from functools import partial

import ase.build
import sevenn._keys as KEY
import torch
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph

import measure
import sevennet_model
from sevennet_model import BACKENDS


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=measure.DEVICES, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="default: %(default)s")
    parser.add_argument("--cells", default="3,6,10,15", help="repeats of a 4-atom cell in each direction (default: %(default)s)")
    parser.add_argument("--train", action="store_true", help="a step of training on forces instead of energy, forces and stress")
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


def graph(model, cells, device):
    atoms = ase.build.bulk("Cu", cubic=True) * (cells, cells, cells)
    atoms.rattle(0.05, seed=1)
    return AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, model.cutoff, with_shift=False)).to(device)


def step(model, data, train):
    out = model(data.clone())
    if train:
        model.zero_grad()
        (out[KEY.PRED_FORCE].square().mean() + 1e-6 * out[KEY.PRED_TOTAL_ENERGY].square().mean()).backward()
    return out[KEY.PRED_TOTAL_ENERGY].detach(), out[KEY.PRED_FORCE].detach()


def row_of(device, model, data, options, expected):
    function = partial(step, model, data, options.train)
    energy, forces = function()
    atoms = len(forces)
    row = {"atoms": atoms, "edges": data[KEY.EDGE_IDX].shape[1], "mode": "train" if options.train else "evaluate",
           "extra_bytes": device.extra_bytes(function)}
    row["ms"] = measure.times(device, {"step": function}, options.repeats)["step"] / 1e3
    row["host_ms"], row["kernels_ms"] = (None if us is None else us / 1e3
                                         for us in (device.host_time(function, 3), device.kernel_time(function, 2)))
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
        peers = [row["ms"] for name, row in of.items() if not name.startswith("flashtp")]
        ratio = f"{min(peers) / of['flashtp']['ms']:.2f}" if peers and "flashtp" in of else ""
        lines.append(f"| {atoms:,} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def main():
    options = arguments()
    device, expected, rows = measure.DEVICES[options.device], {}, []
    for backend in sevennet_model.available(options.backends.split(","), device.name):
        model = sevennet_model.build(backend, device.name).train(options.train)
        model.set_is_batch_data(False)
        for cells in map(int, options.cells.split(",")):
            row = {"backend": backend}
            try:
                row.update(row_of(device, model, graph(model, cells, device.name), options, expected))
            except Exception as error:  # memory, or whatever a peer does: the others are still to be measured
                row.update(cells=cells, error=f"{type(error).__name__}: {error}".splitlines()[0][:200])
            device.empty_cache()
            print(json.dumps(row), flush=True)
            rows.append(row)
        del model
    print(table(rows))


if __name__ == "__main__":
    main()
