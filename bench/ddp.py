#!/usr/bin/env python3
"""Training of the released SevenNet-l3i5 on several GPUs: weak and strong scaling of every back end, loss curves, communication.

    torchrun --standalone --nproc-per-node 2 bench/ddp.py --out build/ddp
    torchrun --standalone --nproc-per-node 2 bench/ddp.py --device cpu --crystals 4 --batch 2 --sizes 20,32 --warm-up 1 --steps 2

Prints a JSON line for each measurement and writes results.json, table.md and scaling.svg. One start measures all back ends, with one
process, two, four and so on up to all: weak scaling with --batch crystals a process, strong scaling with one batch for any number.
Back ends that are not installed are left out. bench/README.md explains what is measured.
"""
import argparse
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

import batches
import crystals
import measure
import scaling
import sevennet_model
from processes import Processes
from training import Trainer, all_reduce_seconds, timed_steps

ALL_REDUCED = (1 << 10, 1 << 15, 1 << 20, 1 << 23)  # numbers of float32, besides as many as the model has parameters


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=measure.DEVICES, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--backends", default=",".join(sevennet_model.BACKENDS), help="default: %(default)s")
    parser.add_argument("--ranks", help="numbers of processes (default: 1, 2, 4, ... and all)")
    parser.add_argument("--batch", type=int, default=16, help="crystals a process in weak scaling (default: %(default)s)")
    parser.add_argument("--strong-batch", type=int, help="crystals in strong scaling (default: --batch times the most processes)")
    parser.add_argument("--crystals", type=int, default=256, help="in the training set (default: %(default)s)")
    parser.add_argument("--sizes", default="20,200", help="fewest and most atoms of a crystal (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm-up", type=int, default=4, help="steps before those that are timed (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=12, help="timed steps (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam, on the released weights (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/ddp"))
    return parser.parse_args()


def integers(text):
    return [int(part) for part in text.split(",")]


def powers_of_two(most):
    return [*(2**power for power in range(most.bit_length()) if 2**power < most), most]


@dataclass(frozen=True)
class Setting:
    """One measurement: how many processes share batches of how many crystals. Crystals of a batch may come in reversed order, which
    changes nothing but rounding: the measure of how far rounding alone drives losses apart."""
    ranks: int
    batch: int
    reversed: bool = False


def settings(ranks, batch, strong):
    found = [Setting(count, size) for count in ranks for size in (batch * count, strong)]
    return list(dict.fromkeys([*found, Setting(1, strong, reversed=True)]))


class Comparison:
    def __init__(self, options, processes):
        self.options, self.processes = options, processes
        self.device = measure.DEVICES[options.device]
        self.data = crystals.graphs(options.crystals, options.seed, sevennet_model.checkpoint().config["cutoff"],
                                    integers(options.sizes))
        self.edges = [crystals.edges_of(graph) for graph in self.data]
        self.ranks = integers(options.ranks) if options.ranks else powers_of_two(processes.count)
        self.strong = options.strong_batch or options.batch * max(self.ranks)
        self.document = {
            "device": self.device.description(), "torch": torch.__version__, "options": {**vars(options), "out": str(options.out)},
            "strong_batch": self.strong, "edges": self.edges, "atoms": [crystals.atoms_of(graph) for graph in self.data],
            "all_reduces": [], "processes": [], "rows": []}

    def run(self):
        self.measure_all_reduces()
        for backend in sevennet_model.available(self.options.backends.split(","), self.options.device):
            model = sevennet_model.build(backend, self.processes.device).train()
            model.set_is_batch_data(True)
            start = {name: value.clone() for name, value in model.state_dict().items()}
            for setting in settings(self.ranks, self.options.batch, self.strong):
                model.load_state_dict(start)
                self.add(backend, setting, self.measure(model, setting))
            self.document["processes"].append({"backend": backend, "places": self.processes.all.gather(self.processes.where()),
                                               "caches": self.processes.all.gather(counters(backend))})
            del model, start
            self.device.empty_cache()
        self.write()

    def measure_all_reduces(self):
        """Their times depend on sizes and processes alone, not on back ends."""
        parameters = sum(p.numel() for p in sevennet_model.build("e3nn", "cpu").parameters() if p.requires_grad)
        self.document["parameters"] = parameters
        for count in self.ranks:
            group = self.processes.group(count)
            if count == 1 or self.processes.rank >= count:
                continue
            seconds = {n: all_reduce_seconds(n, group) for n in (*ALL_REDUCED, parameters)}
            self.document["all_reduces"] += [{"ranks": count, "bytes": 4 * n, "seconds": s} for n, s in seconds.items()]
        self.processes.all.wait()

    def measure(self, model, setting):
        """The row of the first process; all wait for the processes that the setting has."""
        group = self.processes.group(setting.ranks)
        row = None
        if self.processes.rank < setting.ranks:
            trainer = Trainer(model, group, self.options.learning_rate)
            row = self.train(trainer, self.shares(setting), setting)
        self.processes.all.wait()
        self.device.empty_cache()
        return row

    def shares(self, setting):
        """This process's part of every batch, on its device beforehand: reading data is not measured."""
        steps = self.options.warm_up + self.options.steps
        shares = []
        for numbers in batches.batches(len(self.data), setting.batch, steps, self.options.seed):
            part = batches.shares(numbers, self.edges, setting.ranks)[self.processes.rank]
            part = part[::-1] if setting.reversed else part
            shares.append(crystals.share(self.data, numbers, part, self.processes.device))
        return shares

    def train(self, trainer, shares, setting):
        gather = trainer.group.gather
        self.device.reset_peak()
        # Every process runs its largest share first: what fails, for lack of memory for example, does so before others wait for it.
        failures = gather(trainer.failure(max(shares, key=lambda share: share.edges)))
        if any(failures):
            return {"error": next(filter(None, failures))}
        warm_up = self.options.warm_up
        losses = [trainer.step(share) for share in shares[:warm_up]]
        seconds, timed = timed_steps(trainer, shares[warm_up:])
        peaks = gather(self.device.peak_bytes())
        parts = gather(torch.stack(losses + timed).flatten().tolist())
        row = {"step_seconds": max(gather(seconds)) / len(timed), "peak_bytes": None if None in peaks else max(peaks),
               "losses": [sum(part) for part in zip(*parts)], "edges_a_step": self.edges_of_batches(setting)}
        if setting.ranks > 1:
            with trainer.alone():
                compute, _ = timed_steps(trainer, shares[warm_up:])
            row["compute_seconds"] = [value / len(timed) for value in gather(compute)]
        return row

    def edges_of_batches(self, setting):
        """Means over the timed steps: of all edges, and of those of the process that has most."""
        steps = batches.batches(len(self.data), setting.batch, self.options.warm_up + self.options.steps, self.options.seed)
        loads = [batches.loads(numbers, self.edges, setting.ranks) for numbers in steps[self.options.warm_up:]]
        return {"all": sum(map(sum, loads)) / len(loads), "largest": sum(map(max, loads)) / len(loads)}

    def add(self, backend, setting, row):
        if self.processes.rank != 0:
            return
        row = {"backend": backend, **vars(setting), **row}
        if "error" not in row:
            row["samples_per_second"] = setting.batch / row["step_seconds"]
            row["epoch_seconds"] = len(self.data) / row["samples_per_second"]
        self.document["rows"].append(row)
        print(json.dumps(row), flush=True)
        self.write()

    def write(self):
        if self.processes.rank == 0:
            scaling.write(self.document, self.options.out)


def counters(backend):
    """Of this process: what it compiled and what it found. None for back ends without counters."""
    if backend != "flashtp":
        return None
    import flashtp
    return {**flashtp.cache_counts(), "launches": torch.ops.flashtp.launch_count()}


def main():
    options = arguments()
    # An empty kernel cache that the processes of a node share: counters then tell who compiled.
    run = f"{os.environ.get('TORCHELASTIC_RUN_ID', 'alone')}-{os.environ.get('MASTER_PORT', os.getpid())}"
    cache = os.environ["FLASHTP_CACHE_DIR"] = str(Path(tempfile.gettempdir(), f"flashtp-ddp-{run}"))
    processes = Processes(options.device)
    Comparison(options, processes).run()
    processes.all.wait()
    processes.close()
    if processes.local_rank == 0:
        shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
