#!/usr/bin/env python3
"""Tables and pictures of bench/ddp.py's results, and what they foretell for up to 64 GPUs. From results.json alone:

    build/venv/bin/python bench/scaling.py build/ddp/results.json [MORE.json ...] --out docs/pictures

The simulation takes the time of one process as a line in the number of edges, the largest share of each batch from the crystals
themselves, and all-reduces as rings: measured within a node, assumed between nodes. Nothing overlaps, so steps are foretold too slow.
"""
import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import batches

GPUS_A_NODE = 8
# Assumed: one 400 Gbit/s adapter a GPU, as machines with eight H200s have, and a message between nodes in 10 us.
NETWORK_BYTES_A_SECOND, NETWORK_SECONDS = 50e9, 10e-6
SIMULATED = (1, 2, 4, 8, 16, 32, 64)


def good(document, **wanted):
    """Rows that were measured, with these values."""
    return [row for row in document["rows"] if "error" not in row and all(row[key] == value for key, value in wanted.items())]


def one(document, **wanted):
    return next(iter(good(document, **wanted)), None)


def backends(document):
    return list(dict.fromkeys(row["backend"] for row in document["rows"]))


def weak(document, backend):
    """Rows of weak scaling by the number of processes."""
    batch = document["options"]["batch"]
    return {row["ranks"]: row for row in good(document, backend=backend, reversed=False) if row["batch"] == batch * row["ranks"]}


def efficiency(document, row):
    """Crystals a second a process, of those of one process with the same batch."""
    alone = weak(document, row["backend"]).get(1)
    return row["samples_per_second"] / row["ranks"] / alone["samples_per_second"] if alone else None


def speed_up(document, row):
    """Against one process with the whole batch."""
    alone = one(document, backend=row["backend"], reversed=False, ranks=1, batch=row["batch"])
    return alone["step_seconds"] / row["step_seconds"] if alone else None


def communication(row):
    """The part of a step that is not the slowest process's own work: the all-reduce, as far as nothing hides it."""
    return 1 - max(row["compute_seconds"]) / row["step_seconds"] if "compute_seconds" in row else None


def difference(losses, expected):
    """The largest relative difference of two loss curves."""
    return max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True))


# ---- Simulation ---------------------------------------------------------------------------------------------------------

@dataclass
class Ring:
    """All-reduces of one node: seconds a message from neighbour to neighbour, bytes a second."""
    message: float
    bandwidth: float

    def seconds(self, ranks, size):
        messages = 2 * (ranks - 1)
        return messages * (self.message + size / ranks / self.bandwidth)


def ring(document):
    """As measured with the most processes: the smallest all-reduce gives the time of a message, the largest the bandwidth."""
    if not document["all_reduces"]:
        return None
    ranks = max(measured["ranks"] for measured in document["all_reduces"])
    known = sorted((m["bytes"], m["seconds"]) for m in document["all_reduces"] if m["ranks"] == ranks)
    (small, fast), (large, slow) = known[0], known[-1]
    messages = 2 * (ranks - 1)
    bandwidth = messages * (large - small) / ranks / max(slow - fast, 1e-12)
    return Ring(max(fast / messages - small / ranks / bandwidth, 0.0), bandwidth)


def all_reduce(inside, ranks, size):
    """Within nodes, then between GPUs of equal place on all nodes, each with its part of the numbers."""
    nodes = -(-ranks // GPUS_A_NODE)
    across = Ring(NETWORK_SECONDS, NETWORK_BYTES_A_SECOND)
    local = min(ranks, GPUS_A_NODE)
    return inside.seconds(local, size) + across.seconds(nodes, size / local)


def line(document, backend):
    """Seconds of a step of one process: a constant, and so much an edge."""
    points = [(row["edges_a_step"]["all"], row["step_seconds"]) for row in good(document, backend=backend, reversed=False, ranks=1)]
    if len({edges for edges, _ in points}) < 2:
        return None
    edge, constant = np.polyfit(*zip(*points), 1)
    return constant, edge


def largest_share(document, ranks, batch):
    """Edges of the process that has most, mean over batches of crystals like those that were measured."""
    edges = document["edges"] * -(-batch // len(document["edges"]))
    steps = batches.batches(len(edges), batch, 16, document["options"]["seed"])
    return np.mean([max(batches.loads(numbers, edges, ranks)) for numbers in steps])


def simulate(document, backend):
    """Steps of weak scaling by number of GPUs, in seconds; empty where too little was measured."""
    alone, inside = line(document, backend), ring(document)
    if alone is None or inside is None:
        return {}
    constant, edge = alone
    batch = document["options"]["batch"]
    return {ranks: constant + edge * largest_share(document, ranks, batch * ranks) +
            all_reduce(inside, ranks, 4 * document["parameters"]) for ranks in SIMULATED}


# ---- Text ---------------------------------------------------------------------------------------------------------------

def markdown(head, rows):
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]) + "\n"


def number(value, form="{:.3g}"):
    return "-" if value is None else form.format(value)


def percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def times_table(document):
    rows = []
    for row in document["rows"]:
        if row["reversed"]:
            continue
        head = [row["backend"], str(row["ranks"]), str(row["batch"])]
        if "error" in row:
            rows.append(head + [row["error"], *["-"] * 6])
            continue
        gigabytes = None if row["peak_bytes"] is None else row["peak_bytes"] / 1e9
        in_weak = row["batch"] == document["options"]["batch"] * row["ranks"]
        rows.append(head + [number(1e3 * row["step_seconds"]), number(row["samples_per_second"]), number(row["epoch_seconds"]),
                            percent(efficiency(document, row)) if in_weak else "-", number(speed_up(document, row), "{:.2f}"),
                            percent(communication(row)), number(gigabytes, "{:.2f}")])
    return markdown(["", "GPUs", "crystals a batch", "ms a step", "crystals/s", "s an epoch", "weak efficiency", "strong speed-up",
                     "communication", "peak GB"], rows)


def peers_table(document):
    """Crystals a second over those of the fastest peer at the same count and batch."""
    rows = []
    for ours in good(document, backend="flashtp", reversed=False):
        same = [row for row in good(document, reversed=False, ranks=ours["ranks"], batch=ours["batch"]) if row is not ours]
        best = max(same, key=lambda row: row["samples_per_second"], default=None)
        if best:
            memory = [row["peak_bytes"] for row in same if row["peak_bytes"] is not None]
            rows.append([str(ours["ranks"]), str(ours["batch"]), best["backend"],
                         number(ours["samples_per_second"] / best["samples_per_second"], "{:.2f}"),
                         number(ours["peak_bytes"] / min(memory), "{:.2f}") if memory else "-"])
    return markdown(["GPUs", "crystals a batch", "fastest peer", "flashtp / fastest peer", "memory / least of a peer's"], rows)


def losses_table(document):
    rows = []
    for backend in backends(document):
        expected = one(document, backend=backend, reversed=False, ranks=1, batch=document["strong_batch"])
        if expected is None:
            continue
        for row in good(document, backend=backend, batch=document["strong_batch"]):
            if row is not expected:
                what = "1, batches reversed" if row["reversed"] else str(row["ranks"])
                ends = [number(row["losses"][end], "{:.6f}") for end in (0, -1)]
                first = difference(row["losses"][:1], expected["losses"][:1])
                rows.append([backend, what, *ends, number(first, "{:.1e}"),
                             number(difference(row["losses"], expected["losses"]), "{:.1e}")])
    return markdown(["", "GPUs", "first loss", "last loss", "first loss, off that of one", "worst of all steps"], rows)


def compiled_table(document):
    rows = []
    for entry in document["processes"]:
        hosts = list(dict.fromkeys(place["host"] for place in entry["places"]))
        for host in hosts:
            here = [(place, cache) for place, cache in zip(entry["places"], entry["caches"]) if place["host"] == host]
            caches = [cache for _, cache in here if cache]
            devices = ", ".join(f"{place['device']} (contexts on {place['contexts']})" for place, _ in here)
            rows.append([entry["backend"], str(hosts.index(host)), devices,
                         " + ".join(str(cache["stored"]) for cache in caches) or "-",
                         " + ".join(str(cache["hits"]) for cache in caches) or "-",
                         " + ".join(str(cache["launches"]) for cache in caches) or "-"])
    return markdown(["", "node", "devices", "kernels compiled", "kernels found", "calls"], rows)


def simulation_table(document):
    rows = []
    for backend in backends(document):
        steps = simulate(document, backend)
        measured = weak(document, backend)
        for ranks, seconds in steps.items():
            crystals = document["options"]["batch"] * ranks
            rows.append([backend, str(ranks), number(1e3 * seconds),
                         number(1e3 * measured[ranks]["step_seconds"]) if ranks in measured else "-",
                         number(crystals / seconds), percent(steps[1] / seconds)])
    return markdown(["", "GPUs", "ms a step", "measured", "crystals/s", "efficiency"], rows)


def table(document):
    options = document["options"]
    head = (f"{document['device']}, PyTorch {document['torch']}; {len(document['edges'])} crystals of "
            f"{min(document['atoms'])} to {max(document['atoms'])} atoms (mean {np.mean(document['atoms']):.0f}), "
            f"{np.mean(document['edges']):.0f} edges each; {options['steps']} timed steps.\n")
    inside = ring(document)
    if inside:
        head += (f"\nAll-reduce: {1e6 * inside.message:.1f} us a message, {inside.bandwidth / 1e9:.1f} GB/s; "
                 f"{4 * document['parameters'] / 1e6:.1f} MB of gradients.\n")
    parts = (("Measured", times_table), ("Against peers", peers_table), ("Loss curves", losses_table),
             ("Devices and compilers", compiled_table), ("Simulated, weak scaling", simulation_table))
    return "\n".join([head, *(f"## {title}\n\n{make(document)}" for title, make in parts)])


def draw(document, path):
    import pictures
    plt = pictures.plt
    figure, axes = plt.subplots(figsize=(6, 4))
    batch = document["options"]["batch"]
    for backend in backends(document):
        colour = pictures.COLOURS[backend]
        measured = weak(document, backend)
        axes.loglog(list(measured), [row["samples_per_second"] for row in measured.values()], "o", color=colour, label=backend)
        steps = simulate(document, backend)
        axes.loglog(list(steps), [batch * ranks / seconds for ranks, seconds in steps.items()], "--", color=colour, linewidth=1)
    axes.set(xlabel="GPUs", ylabel="crystals a second", title=f"{document['device']}, {batch} crystals a GPU; dashed: simulated",
             xticks=SIMULATED, xticklabels=map(str, SIMULATED))
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def write(document, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1))
    (folder / "table.md").write_text(table(document))
    draw(document, folder / "scaling.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path, help="of runs with equal options; all but rows is the first one's")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in options.results]
    together = {key: [entry for document in documents for entry in document[key]] for key in ("rows", "processes")}
    document = {**documents[0], **together}
    options.out.mkdir(parents=True, exist_ok=True)
    draw(document, options.out / "scaling.svg")
    print(table(document))


if __name__ == "__main__":
    main()
