"""MACE: message-passing products of small models replaced."""
import copy

import pytest
import torch
from comparison import assert_equal, assert_same_model, assert_same_state, require

require("mace", "ase")
import ase.build  # noqa: E402
import numpy as np  # noqa: E402
from mace import data as mace_data  # noqa: E402
from mace import modules, tools  # noqa: E402
from mace.tools import torch_geometric  # noqa: E402

from e3nn import o3  # noqa: E402

import flashtp.integrations.mace as integration  # noqa: E402
from flashtp.integrations import radial  # noqa: E402
from flashtp.integrations.radial import LastLayer  # noqa: E402

BLOCKS = ("RealAgnosticResidualInteractionBlock", "RealAgnosticDensityInteractionBlock")


pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module", params=BLOCKS)
def model(request, float64, device):
    torch.manual_seed(1)
    return modules.ScaleShiftMACE(
        r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=2, interaction_cls=getattr(modules, request.param),
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"], num_interactions=2, num_elements=2,
        hidden_irreps=o3.Irreps("8x0e+8x1o"), MLP_irreps=o3.Irreps("8x0e"), atomic_energies=np.zeros(2), avg_num_neighbors=12.0,
        atomic_numbers=[8, 29], correlation=2, gate=torch.nn.functional.silu, atomic_inter_scale=1.0, atomic_inter_shift=0.0).to(device)


@pytest.fixture(scope="module")
def batch(float64, device):
    atoms = ase.build.bulk("CuO", "rocksalt", 4.2, cubic=True)
    atoms.rattle(0.1, seed=3)
    config = mace_data.config_from_atoms(atoms)
    graph = mace_data.AtomicData.from_config(config, z_table=tools.AtomicNumberTable([8, 29]), cutoff=4.0)
    receiver = graph.edge_index[1]
    assert (receiver[1:] < receiver[:-1]).any()  # MACE's edges are sorted by sender
    return next(iter(torch_geometric.dataloader.DataLoader([graph], batch_size=1))).to(device)


def evaluate(model, batch):
    out = model(batch.clone().to_dict(), training=True, compute_force=True, compute_stress=True)
    return {name: out[name] for name in ("energy", "forces", "stress")}


def test_energy_forces_stress_and_gradients(model, batch):
    ours = integration.convert(copy.deepcopy(model))
    assert assert_same_model(ours, model, lambda m: evaluate(m, batch)) == 2 * 2  # layers, forward and backward


def test_the_last_radial_layer_is_the_convolutions(model, batch):
    ours = integration.convert(copy.deepcopy(model), radial=True)
    assert sum(isinstance(m, LastLayer) for m in ours.modules()) == 2
    ours = copy.deepcopy(ours)  # the layer and the convolution share it still
    assert assert_same_model(ours, model, lambda m: evaluate(m, batch)) == 2 * 2
    assert_same_state(ours, model)


def test_the_size_decides_unless_told(model, batch, device, monkeypatch):
    ours = integration.convert(copy.deepcopy(model)).eval()  # on GPUs not in training
    last = next(m for m in ours.modules() if isinstance(m, LastLayer))
    rows = torch.zeros(10, last.weight.shape[0], device=device)
    assert last(rows).shape == (10, last.weight.shape[1])
    monkeypatch.setitem(radial.LEAST_WEIGHTS, device, 10 * last.weight.shape[1])
    assert last(rows) is rows and last(rows[:9]) is not rows
    assert_equal(evaluate(ours, batch), evaluate(model, batch), 1e-10)


def test_state_dicts_are_the_same(model):
    assert_same_state(integration.convert(copy.deepcopy(model)), model)


def test_converting_twice_is_converting_once(model, batch):
    twice = integration.convert(integration.convert(copy.deepcopy(model)))
    assert_equal(evaluate(twice, batch), evaluate(model, batch), 1e-10)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="Linear"):
        integration.convert(torch.nn.Linear(1, 1))
