#!/usr/bin/env python3
"""Whole models: a released SevenNet checkpoint, energy + forces + stress (or a training step) of rattled fcc copper.

    build/venv-frameworks/bin/python bench/sevennet.py --device cpu --cells 1

Prints a JSON line for each back end and size, and a table at the end. Back ends that are not installed are left out; results are
compared with those of the first.
"""
import sevenn._keys as KEY
from sevenn.atom_graph_data import AtomGraphData
from sevenn.train.dataload import unlabeled_atoms_to_graph

import sevennet_model
import whole_models


def build(backend, device):
    model = sevennet_model.build(backend, device)
    model.set_is_batch_data(False)
    return model


def graph(model, cells, device):
    rows = unlabeled_atoms_to_graph(whole_models.copper(cells), model.cutoff, with_shift=False)
    return AtomGraphData.from_numpy_dict(rows).to(device)


def step(model, data, train):
    out = model(data.clone())
    if train:
        model.zero_grad()
        whole_models.loss(out[KEY.PRED_TOTAL_ENERGY], out[KEY.PRED_FORCE]).backward()
    return out[KEY.PRED_TOTAL_ENERGY].detach(), out[KEY.PRED_FORCE].detach()


def main():
    options = whole_models.parser(__doc__, sevennet_model.BACKENDS, [3, 6, 10, 15]).parse_args()
    device = options.device
    whole_models.run(options, sevennet_model.available(options.backends, device), lambda backend: build(backend, device),
                     lambda model, cells: graph(model, cells, device), step)


if __name__ == "__main__":
    main()
