"""Nequix: convolutions of a small torch model replaced."""
import copy
import importlib.util
import sys
import types

import pytest
import torch
from comparison import assert_same_model, assert_same_state, require

require("nequix", "scipy")
# The package's own __init__ sets up JAX, which its torch models do not use.
package = types.ModuleType("nequix")
package.__path__ = importlib.util.find_spec("nequix").submodule_search_locations
sys.modules["nequix"] = package
from nequix.torch_impl.model import NequixTorch  # noqa: E402

import flashtp.integrations.nequix as integration  # noqa: E402


pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def model(float64, device):
    torch.manual_seed(1)
    return NequixTorch(3, lmax=2, cutoff=3.0, hidden_irreps="8x0e+4x1o+4x2e", n_layers=3, radial_mlp_size=16, radial_mlp_layers=2,
                       avg_n_neighbors=5.0, layer_norm=True).to(device).train()


@pytest.fixture(scope="module")
def cluster(float64, device):
    positions = 1.5 * torch.cartesian_prod(*[torch.arange(2.0)] * 3) + 0.2 * torch.rand(8, 3)
    near = (torch.cdist(positions, positions) < 3.0) & ~torch.eye(8, dtype=torch.bool)
    return tuple(t.to(device) for t in (torch.randint(3, (8,)), positions, near.nonzero().T.flip(0)))


def evaluate(model, cluster):
    species, positions, edges = cluster
    energies, forces, _ = model(species, positions.clone(), None, edges, None, None, None, None)
    return {"energies": energies, "forces": forces}


def test_energies_forces_and_gradients(model, cluster):
    ours = integration.convert(copy.deepcopy(model))
    assert assert_same_model(ours, model, lambda m: evaluate(m, cluster)) == 3 * 2  # layers, forward and backward


def test_state_dicts_are_the_same(model):
    assert_same_state(integration.convert(copy.deepcopy(model)), model)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="Linear"):
        integration.convert(torch.nn.Linear(1, 1))
