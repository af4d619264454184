#!/usr/bin/env python3
"""Whole models of NequIP or Allegro with seeded weights: energy + forces + stress (or a training step) of rattled fcc copper.

    build/venv-frameworks/bin/python bench/nequip_models.py --device cpu --cells 1
    build/venv-frameworks/bin/python bench/nequip_models.py --model allegro --device cpu --cells 1

Output as bench/sevennet.py's. Back ends are the frameworks' own modifiers; models run without torch.compile.
"""
from functools import partial

import torch

import whole_models

import flashtp.integrations.nequip  # noqa: F401  as NequIP itself does where flashtp is installed
from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
from nequip.model import NequIPGNNModel
from nequip.model.modify_utils import modify
from nequip.utils.global_state import set_global_state

CUTOFF = 6.0
COMMON = {"seed": 1, "model_dtype": "float32", "r_max": CUTOFF, "type_names": ["Cu"], "avg_num_neighbors": 78.0}
# By model and back end: the modifier, and the package that it needs.
BACKENDS = {
    "nequip": {"e3nn": (None, "e3nn"), "OpenEquivariance": ("enable_OpenEquivariance", "openequivariance"),
               "cuEquivariance": ("enable_CuEquivariance", "cuequivariance_torch"), "flashtp": ("enable_FlashTP", "flashtp")},
    "allegro": {"e3nn": (None, "allegro"), "Triton": ("enable_TritonContracter", "triton"),
                "cuEquivariance": ("enable_CuEquivarianceContracter", "cuequivariance_torch"),
                "flashtp": ("enable_FlashTPContracter", "flashtp")}}
ON_CPUS = ("e3nn", "flashtp")


def nequip():
    """Four layers, l=3, 64 channels: the size of published foundation models."""
    return NequIPGNNModel(num_layers=4, l_max=3, parity=False, num_features=64, radial_mlp_width=64, **COMMON)


def allegro():
    from allegro.model import AllegroModel
    embedding = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8}
    return AllegroModel(num_layers=2, l_max=3, num_scalar_features=64, num_tensor_features=32, radial_chemical_embed=embedding, **COMMON)


def build(name, backend, device):
    modifier, _ = BACKENDS[name][backend]
    model = {"nequip": nequip, "allegro": allegro}[name]()
    return (modify(model, [{"modifier": modifier}]) if modifier else model).to(device)


def graph(device, _, cells):
    data = ChemicalSpeciesToAtomTypeMapper(["Cu"])(from_ase(whole_models.copper(cells)))
    return AtomicDataDict.to_(compute_neighborlist_(data, r_max=CUTOFF), device)


def step(model, data, train):
    out = model(dict(data))
    energy, forces = out["total_energy"], out["forces"]
    if train:
        model.zero_grad()
        whole_models.loss(energy, forces).backward()
    return energy.detach(), forces.detach()


def main():
    parser = whole_models.parser(__doc__, dict.fromkeys(name for backends in BACKENDS.values() for name in backends), [3, 6, 10])
    parser.add_argument("--model", choices=BACKENDS, default="nequip")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)  # what NequIP wants of data
    set_global_state()
    packages = {name: package for name, (_, package) in BACKENDS[options.model].items()}
    backends = whole_models.available([b for b in options.backends if b in packages], packages, ON_CPUS, options.device)
    whole_models.run(options, backends, lambda backend: build(options.model, backend, options.device), partial(graph, options.device),
                     step)


if __name__ == "__main__":
    main()
