#!/usr/bin/env python3
"""A whole MACE model with seeded weights: energy + forces + stress (or a training step) of rattled fcc copper.

    build/venv-mace/bin/python bench/mace_models.py --device cpu --cells 1

Output as bench/sevennet.py's. cuEquivariance replaces linear layers and symmetric contractions too, the other two convolutions only.
"""
from functools import partial

import mace  # noqa: F401  before e3nn, whose constants torch loads only as MACE asks it to
import numpy as np
import torch
from mace import data as mace_data
from mace import modules, tools
from mace.tools import torch_geometric

import whole_models
from cases import o3

CUTOFF = 6.0
BACKENDS = {"e3nn": "e3nn", "OpenEquivariance": "openequivariance", "cuEquivariance": "cuequivariance_torch", "flashtp": "flashtp"}
ON_CPUS = ("e3nn", "flashtp")


def e3nns():
    """The size of MACE-MP-0 medium."""
    torch.manual_seed(1)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        r_max=CUTOFF, num_bessel=10, num_polynomial_cutoff=5, max_ell=3, interaction_cls=block, interaction_cls_first=block,
        num_interactions=2, num_elements=1, hidden_irreps=o3.Irreps("128x0e+128x1o"), MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(1), avg_num_neighbors=78.0, atomic_numbers=[29], correlation=3, gate=torch.nn.functional.silu,
        radial_MLP=[64, 64, 64], atomic_inter_scale=1.0, atomic_inter_shift=0.0)


def build(backend, device):
    model = e3nns().to(device)
    if backend == "flashtp":
        from flashtp.integrations import mace
        return mace.convert(model)
    if backend == "OpenEquivariance":
        from mace.cli.convert_e3nn_oeq import run
        return run(model, device=device)
    if backend == "cuEquivariance":
        from mace.cli.convert_e3nn_cueq import run
        return run(model, device=device)
    return model


def graph(device, _, cells):
    config = mace_data.config_from_atoms(whole_models.copper(cells))
    atoms = mace_data.AtomicData.from_config(config, z_table=tools.AtomicNumberTable([29]), cutoff=CUTOFF)
    return next(iter(torch_geometric.dataloader.DataLoader([atoms], batch_size=1))).to(device).to_dict()


def step(model, data, train):
    out = model(dict(data), training=train, compute_force=True, compute_stress=True)
    if train:
        model.zero_grad()
        whole_models.loss(out["energy"], out["forces"]).backward()
    return out["energy"].detach(), out["forces"].detach()


def main():
    options = whole_models.parser(__doc__, BACKENDS, [3, 6, 10]).parse_args()
    backends = whole_models.available(options.backends, BACKENDS, ON_CPUS, options.device)
    whole_models.run(options, backends, lambda backend: build(backend, options.device), partial(graph, options.device), step)


if __name__ == "__main__":
    main()
