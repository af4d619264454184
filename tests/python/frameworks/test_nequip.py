"""NequIP: the modifier enable_FlashTP, found through NequIP's entry point."""
import os
import subprocess
import sys

import pytest
from comparison import assert_equal, assert_same_model, assert_same_state, require

require("nequip", "ase")
from nequip_data import ROOT, copper_oxide, evaluate, modified  # noqa: E402

from flashtp.integrations.radial import LastLayer  # noqa: E402


@pytest.fixture(scope="module", params=[(2, True), (3, False)], ids=["l=2 with parity", "l=3"])
def model(request):
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state
    set_global_state()
    l_max, parity = request.param
    return NequIPGNNModel(seed=1, model_dtype="float64", r_max=4.0, type_names=["Cu", "O"], num_layers=2, l_max=l_max,
                          parity=parity, num_features=8, radial_mlp_width=16, avg_num_neighbors=20.0)


@pytest.fixture(scope="module")
def data():
    return copper_oxide()


def replaced(model, **options):
    return modified(model, "enable_FlashTP", **options)


def test_the_entry_point_was_loaded():
    assert "flashtp.integrations.nequip" in sys.modules


def test_energy_forces_stress_and_gradients(model, data):
    assert assert_same_model(replaced(model), model, lambda m: evaluate(m, data)) == 2 * 2  # layers, forward and backward


def test_the_last_radial_layer_is_the_convolutions(model, data):
    ours = replaced(model, radial=True)
    assert sum(isinstance(m, LastLayer) for m in ours.modules()) == 2
    assert assert_same_model(ours, model, lambda m: evaluate(m, data)) == 2 * 2
    assert_same_state(ours, model)
    assert not any(isinstance(m, LastLayer) for m in replaced(model, radial=False).modules())


def test_state_dicts_are_the_same(model):
    assert_same_state(replaced(model), model)


def test_replacing_twice_is_replacing_once(model, data):
    twice = replaced(replaced(model))
    assert_equal(evaluate(twice, data), evaluate(model, data), 1e-10)
    assert list(twice.state_dict()) == list(model.state_dict())


def test_the_modifier_says_what_it_supports(model):
    from nequip.model.modify_utils import get_all_modifiers
    from nequip.nn import model_modifier_utils as utils
    modifier = get_all_modifiers(model)["enable_FlashTP"]
    assert utils.get_model_modifier_unsupported_devices(modifier) == []
    assert not utils.is_persistent_model_modifier(modifier)


def test_nequip_does_without_a_package_that_cannot_be_loaded():
    """It imports the entry point always."""
    run = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", "import flashtp_nequip, nequip"], capture_output=True,
                         text=True, env={**os.environ, "FLASHTP_LIBRARY": "/nonexistent/libflashtp.so",
                                         "PYTHONPATH": str(ROOT / "python")})
    assert run.returncode == 0, run.stderr
    assert "there is no libflashtp_torch.so" in run.stderr
