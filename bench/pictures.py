"""Pictures of the results: roofline, time against edges, memory. Each is drawn from results.json alone:

    build/venv/bin/python bench/pictures.py build/bench/results.json [MORE.json ...] --out docs/pictures
"""
import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

import report  # noqa: E402
from cases import ORDERS  # noqa: E402

# One colour a library, in all pictures; told apart by people who see colours differently.
COLOURS = {"flashtp": "#d55e00", "e3nn": "#999999", "e3nn compiled": "#555555", "FlashTP": "#0072b2",
           "OpenEquivariance": "#009e73", "OpenEquivariance det": "#56b4e9", "cuEquivariance": "#cc79a7"}
MARKERS = {"forward": "o", "backward": "s", "double backward": "^"}
plt.rcParams.update({"svg.hashsalt": "flashtp", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "grid.alpha": 0.25})


def draw(document, folder, form="svg"):
    for name, picture in (("roofline", roofline), ("edges", edges), ("memory", memory)):
        figure = picture(document)
        if figure is not None:
            # Without a date equal results make equal files.
            figure.savefig(folder / f"{name}.{form}", bbox_inches="tight", metadata={"Date": None} if form == "svg" else None)
            plt.close(figure)


def rows_of(document, **wanted):
    return [row for row in document["rows"] if "us" in row and not report.is_wrong(row) and
            all(row[key] == value for key, value in wanted.items())]


def roofline(document):
    """Achieved FLOPs against FLOPs a byte. All libraries are credited with the operations and bytes of this library's program."""
    peaks = document["peaks"]
    rows = rows_of(document, edges=largest(document)) if peaks else []
    if not rows:
        return None
    own = {(row["layer"], row["edge_order"], row["order"]): row for row in rows if not row["peer"]}
    figure, axes = plt.subplots(figsize=(6, 4))
    intensities = []
    for row in rows:
        ours = own.get((row["layer"], row["edge_order"], row["order"]))
        if ours is None:
            continue
        flops = 2 * ours["multiply_adds"]
        intensities.append(flops / row["least_bytes"])
        axes.plot(intensities[-1], 1e6 * flops / (row.get("kernels_us") or row["us"]), MARKERS[row["order"]],
                  color=COLOURS[row["library"]], markersize=6)
    if not intensities:
        return None
    ends = [min(intensities) / 2, max(max(intensities) * 2, 2 * peaks["flops_per_second"] / peaks["bytes_per_second"])]
    knee = peaks["flops_per_second"] / peaks["bytes_per_second"]
    x = sorted([*ends, min(max(knee, ends[0]), ends[1])])
    axes.loglog(x, [min(peaks["flops_per_second"], i * peaks["bytes_per_second"]) for i in x], "k-", linewidth=1)
    axes.set(xlabel="FLOPs a byte", ylabel="FLOP/s", title=f"{document['device']}, {largest(document):,} edges")
    handles = [plt.Line2D([], [], color="k", marker=marker, linestyle="", label=order) for order, marker in MARKERS.items()]
    axes.legend(handles=library_handles(rows) + handles, fontsize=7)
    return figure


def library_handles(rows):
    return [plt.Line2D([], [], color=COLOURS[name], label=name) for name in dict.fromkeys(row["library"] for row in rows)]


def largest(document):
    """The largest graph that any peer ran too; the largest at all where there was none."""
    timed = rows_of(document)
    peers = [row["edges"] for row in timed if row["peer"]]
    return max(peers or [row["edges"] for row in timed], default=0)


def grid(document, title, draw_one):
    """A picture a layer and order."""
    timed = rows_of(document, edge_order=document["rows"][0]["edge_order"]) if document["rows"] else []
    layers = list(dict.fromkeys(row["layer"] for row in timed))
    if not layers:
        return None
    figure, axes = plt.subplots(len(layers), 3, figsize=(9, 2.6 * len(layers)), squeeze=False, sharex=True)
    for i, layer in enumerate(layers):
        for j, order in enumerate(ORDERS):
            rows = [row for row in timed if (row["layer"], row["order"]) == (layer, order)]
            draw_one(axes[i][j], rows)
            axes[i][j].set_title(f"{layer}, {order}", fontsize=8)
    figure.suptitle(title)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.legend(handles=library_handles(timed), loc="lower center", ncols=4, fontsize=8)
    return figure


def lines(axes, rows, value):
    for library in dict.fromkeys(row["library"] for row in rows):
        points = sorted((row["edges"], value(row)) for row in rows if row["library"] == library and value(row))
        if points:
            axes.loglog(*zip(*points), "-o", markersize=3, color=COLOURS[library])


def edges(document):
    return grid(document, f"{document['device']}: microseconds against edges",
                lambda axes, rows: lines(axes, rows, lambda row: row["us"]))


def memory(document):
    if not any(row.get("extra_bytes") for row in document["rows"]):
        return None
    extra = lambda row: (row["extra_bytes"] - row["output_bytes"]) / 2**20
    return grid(document, f"{document['device']}: MB beyond inputs and outputs, against edges",
                lambda axes, rows: lines(axes, rows, lambda row: max(0, extra(row))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path, help="rows of all files in one picture; the rest is the first one's")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--form", choices=("svg", "png"), default="svg")
    options = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in options.results]
    document = {**documents[0], "rows": [row for d in documents for row in d["rows"]]}
    options.out.mkdir(parents=True, exist_ok=True)
    draw(document, options.out, options.form)
    (options.out / "table.md").write_text(report.table(document))


if __name__ == "__main__":
    main()
