"""Allegro: the modifier enable_FlashTPContracter, found through NequIP's entry point."""
import pytest
from comparison import assert_equal, assert_same_model, assert_same_state, require

require("nequip", "allegro", "ase")
from nequip_data import copper_oxide, evaluate, modified  # noqa: E402


@pytest.fixture(scope="module", params=[(2, True, True), (2, False, False)], ids=["weights a channel", "a weight a path"])
def model(request, device):
    from allegro.model import AllegroModel
    from nequip.utils.global_state import set_global_state
    set_global_state()
    l_max, parity, coupled = request.param
    embedding = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 4}
    return AllegroModel(seed=1, model_dtype="float64", r_max=4.0, type_names=["Cu", "O"], l_max=l_max, parity=parity, num_layers=2,
                        num_scalar_features=8, num_tensor_features=6, tp_path_channel_coupling=coupled,
                        radial_chemical_embed=embedding, avg_num_neighbors=20.0).to(device)


@pytest.fixture(scope="module")
def data(device):
    return copper_oxide(device)


def replaced(model):
    return modified(model, "enable_FlashTPContracter")


def test_energy_forces_stress_and_gradients(model, data):
    assert assert_same_model(replaced(model), model, lambda m: evaluate(m, data)) == 2 * 2  # layers, forward and backward


def test_state_dicts_are_the_same(model):
    assert_same_state(replaced(model), model)


def test_replacing_twice_is_replacing_once(model, data):
    assert_equal(evaluate(replaced(replaced(model)), data), evaluate(model, data), 1e-10)
