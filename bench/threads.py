#!/usr/bin/env python3
"""Speed-up over threads on a CPU: runs `flashtp-compile bench` and draws it.

    build/venv/bin/python bench/threads.py --threads 1,2 --thread-time --out docs/pictures/cpu_scaling.svg
"""
import argparse
import json
import subprocess
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("sevennet-l3i5:2", "mace-large:2", "nequip-l3:4")
ORDERS = ("forward", "backward", "double backward")
plt.rcParams.update({"svg.hashsalt": "flashtp", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25})


def spec(layer):
    name, _, line = layer.partition(":")
    return ROOT / f"examples/specs/{name}.json:{line}"


def measure(options):
    command = [options.program, "bench", *map(spec, options.layers), "--target", "cpu", "--edges", str(options.edges),
               "--threads", options.threads, "--json", *(["--thread-time"] if options.thread_time else [])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["results"]


def draw(results, edges):
    figure, axes = plt.subplots(1, len(ORDERS), figsize=(9, 3), sharey=True)
    threads = sorted({row["threads"] for row in results})
    for order, (name, place) in enumerate(zip(ORDERS, axes)):
        place.plot(threads, threads, "k-", linewidth=0.8)
        for layer in dict.fromkeys(row["layer"] for row in results):
            points = [(row["threads"], row["speed_up"]) for row in results if (row["layer"], row["order"]) == (layer, order)]
            place.plot(*zip(*points), "-o", markersize=4, label=layer)
        place.set(xlabel="threads", xticks=threads, title=name)
    axes[0].set_ylabel("speed-up")
    axes[0].legend(fontsize=7)
    figure.suptitle(f"{edges:,} edges, float32")
    figure.tight_layout()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("layers", nargs="*", default=LAYERS, help="NAME:LINE of examples/specs (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="separated by commas, 1 first (default: 1,2)")
    parser.add_argument("--edges", type=int, default=16384)
    parser.add_argument("--thread-time", action="store_true", help="count the time that threads ran, where others use the same cores")
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/bin/flashtp-compile")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    results = measure(options)
    for row in results:
        print(f"{row['layer']:18} {ORDERS[row['order']]:16} {row['threads']:3} threads  {1e3 * row['seconds']:8.2f} ms  {row['speed_up']:5.2f}")
    draw(results, options.edges).savefig(options.out, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
