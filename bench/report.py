"""Tables of the results, and what follows from them: rooflines, ratios, results that are wrong."""
import json
import math
from itertools import groupby

from cases import ORDERS

# A peer whose result is further off than this computes something else; float32 rounding is a thousand times smaller.
WRONG = 1e-4


def write(document, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1))
    (folder / "table.md").write_text(table(document))
    try:
        import pictures
    except ImportError as error:  # what took minutes to measure is kept, and pictures can be drawn elsewhere
        print(f"no pictures: {error}; bench/pictures.py {folder / 'results.json'} draws them where matplotlib is installed")
        return
    pictures.draw(document, folder)


def error_of(row):
    """The largest relative error of the outputs; None where it was not measured."""
    errors = row.get("errors")
    return None if errors is None else max(math.inf if math.isnan(e) else e for e in errors.values())


def is_wrong(row):
    return (error_of(row) or 0) > WRONG


def beyond(document, tolerance):
    """Rows of this library whose error is above the tolerance, or that failed."""
    ours = [row for row in document["rows"] if row.get("peer") is False]
    return [row for row in ours if "error" in row or (error_of(row) or 0) > tolerance]


def by_cell(document):
    """(layer, edges, edge order, order), and its rows by library, in the order of measurement."""
    key = lambda row: (row["layer"], row["edges"], row["edge_order"], row.get("order", ""))
    for cell, rows in groupby((row for row in document["rows"] if "library" in row), key):
        yield cell, {row["library"]: row for row in rows}


def own(rows):
    return next((row for row in rows.values() if not row["peer"]), None)


def best_peer(rows):
    """The fastest peer with a right result, or None."""
    timed = [row for row in rows.values() if row["peer"] and "us" in row and not is_wrong(row)]
    return min(timed, key=lambda row: row["us"], default=None)


def ratio(rows):
    ours, peer = own(rows), best_peer(rows)
    return peer["us"] / ours["us"] if peer and ours and "us" in ours else None


def fractions(document, row):
    """What part of its time a row's kernels need at the least for memory, and for arithmetic."""
    peaks, time = document["peaks"], row.get("kernels_us") or row.get("us")
    if not peaks or not time or "multiply_adds" not in row:
        return None
    return (1e6 * row["least_bytes"] / peaks["bytes_per_second"] / time,
            2e6 * row["multiply_adds"] / peaks["flops_per_second"] / time)


# ---- Text ---------------------------------------------------------------------------------------------------------------

def markdown(head, rows):
    align = ["---" if i < 3 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, align, *rows]) + "\n"


def microseconds(value):
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def scientific(value):
    return "-" if value is None else f"{value:.0e}"


def percent(value):
    return f"{100 * value:.0f} %"


def where(document, cell):
    layer, edges, edge_order, order = cell
    in_cache = any(r["least_bytes"] < document["cache_bytes"] for r in document["rows"]
                   if "least_bytes" in r and (r["layer"], r["edges"], r["order"]) == (layer, edges, order))
    note = ("*" if in_cache else "") + ("" if edge_order == "receiver" else f", by {edge_order}")
    return [layer, f"{edges:,}{note}", order]


def time_cell(row):
    if row is None:
        return "-"
    if "error" in row:
        return "fails" if "Unsupported" not in row["error"] else "-"
    return microseconds(row["us"]) + (" (wrong)" if is_wrong(row) else "")


def libraries(document):
    return list(dict.fromkeys(row["library"] for row in document["rows"] if "library" in row))


def times_table(document):
    columns = libraries(document)
    rows = []
    for cell, by_library in by_cell(document):
        value = ratio(by_library)
        rows.append(where(document, cell) + [time_cell(by_library.get(name)) for name in columns] +
                    ["-" if value is None else f"{value:.1f}"])
    return markdown(["layer", "edges", "", *columns, "best peer / flashtp"], rows)


def own_table(document):
    rows = []
    for cell, by_library in by_cell(document):
        row = own(by_library)
        if row is None or "us" not in row:
            continue
        parts = fractions(document, row)
        times = [microseconds(row.get(key)) for key in ("kernels_us", "direct_us", "direct_host_us", "host_us", "index_us")]
        rows.append(where(document, cell) + times +
                    (["-"] * 3 if parts is None else [percent(max(parts)), *map(percent, parts)]) + [scientific(error_of(row))])
    head = ["kernels", "C API", "host", "host, autograd", "index", "of roofline", "of copy", "of FMA", "error"]
    return markdown(["layer", "edges", "", *head], rows)


def memory_table(document):
    """Beyond inputs and outputs, with what autograd keeps."""
    columns = libraries(document)
    megabytes = lambda row: "-" if not row or row.get("extra_bytes") is None else \
        f"{max(0, row['extra_bytes'] - row['output_bytes']) / 2**20:,.1f}"
    rows = [where(document, cell) + [megabytes(rows.get(name)) for name in columns] for cell, rows in by_cell(document)]
    return markdown(["layer", "edges", "", *columns], rows)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summary_table(document):
    """Over the layers of a size: geometric mean and least of the fraction of the roofline and of the ratio to the best peer."""
    cells = {}
    for (_, edges, edge_order, order), by_library in by_cell(document):
        row = own(by_library)
        parts = fractions(document, row) if row else None
        cells.setdefault((edges, edge_order, order), []).append((max(parts) if parts else None, ratio(by_library)))
    rows = []
    for edges, edge_order, order in sorted(cells, key=lambda cell: (*cell[:2], ORDERS.index(cell[2]))):
        text = [f"{edges:,}", edge_order, order]
        for values, form in zip(zip(*cells[edges, edge_order, order]), (percent, "{:.2f}".format)):
            known = [v for v in values if v is not None]
            text += [form(geometric_mean(known)), form(min(known))] if known else ["-", "-"]
        rows.append(text)
    return markdown(["edges", "sorted by", "", "of roofline", "least", "best peer / flashtp", "least"], rows)


def notes(document):
    peaks = document["peaks"]
    lines = [f"{document['device']}, PyTorch {document['torch']}, {document['dtype']}, {document['statistic']} runs; "
             f"times in microseconds, memory in MB."]
    if peaks:
        lines.append(f"Measured here: copy {peaks['bytes_per_second'] / 1e12:.3g} TB/s, "
                     f"FMA {peaks['flops_per_second'] / 1e12:.3g} TFLOP/s.")
    lines += [f"{name}: {why}." for name, why in document["absent"].items()]
    failures = dict.fromkeys(f"{row.get('library', 'all')}, {row['layer']}, {row['edges']:,} edges, "
                             f"{row.get('order', 'any order')}: {row['error']}." for row in document["rows"] if "error" in row)
    return "\n".join([*lines, "`*`: inputs and outputs fit in the last-level cache.", *failures]) + "\n"


def table(document):
    parts = [("Times through autograd", times_table), ("This library", own_table), ("Over all layers", summary_table)]
    if any(row.get("extra_bytes") for row in document["rows"]):
        parts.append(("Memory beyond inputs and outputs", memory_table))
    return "\n".join([notes(document), *(f"## {title}\n\n{make(document)}" for title, make in parts)])
