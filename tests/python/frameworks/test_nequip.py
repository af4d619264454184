"""NequIP: the modifier enable_FlashTP, found through NequIP's entry point."""
import os
import subprocess
import sys

import pytest
from comparison import Launches, assert_equal, assert_same_model, assert_same_state, require

require("nequip", "ase")
from nequip_data import ROOT, atoms, copper_oxide, evaluate, modified, save_checkpoint  # noqa: E402

from flashtp.integrations.radial import LastLayer  # noqa: E402


@pytest.fixture(scope="module", params=[(2, True), (3, False)], ids=["l=2 with parity", "l=3"])
def model(request, device):
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state
    set_global_state()
    l_max, parity = request.param
    return NequIPGNNModel(seed=1, model_dtype="float64", r_max=4.0, type_names=["Cu", "O"], num_layers=2, l_max=l_max,
                          parity=parity, num_features=8, radial_mlp_width=16, avg_num_neighbors=20.0).to(device)


@pytest.fixture(scope="module")
def data(device):
    return copper_oxide(device)


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


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from nequip.utils.global_state import set_global_state
    set_global_state()
    return save_checkpoint(tmp_path_factory.mktemp("nequip"), dict(
        _target_="nequip.model.NequIPGNNModel", seed=1, model_dtype="float64", r_max=4.0, type_names=["Cu", "O"], num_layers=2,
        l_max=2, parity=True, num_features=8, radial_mlp_width=16, avg_num_neighbors=20.0))


@pytest.fixture(scope="module")
def package(checkpoint):
    """A packaged model has the sources of NequIP in it, and classes of its own."""
    from nequip.scripts.package import main
    path = checkpoint[0].with_suffix(".nequip.zip")
    main(["build", str(checkpoint[0]), str(path)])
    return path


def test_packaged_models(checkpoint, package, data, device):
    from nequip.model.saved_models import ModelFromPackage
    packaged = ModelFromPackage(str(package))["sole_model"].to(device)
    with Launches() as ran:
        values = evaluate(modified(packaged, "enable_FlashTP"), data)
    assert_equal(values, evaluate(checkpoint[1].to(device), data), 1e-10)
    assert ran.count == 2 * 2


@pytest.mark.parametrize("source", ("checkpoint", "package"))
def test_nequip_compile(source, checkpoint, package, device, tmp_path):
    """For ASE, by AOTInductor; then energies and forces of more atoms than it was compiled with."""
    from nequip.integrations.ase import NequIPCalculator
    from nequip.scripts.compile import main
    compiled = tmp_path / "model.nequip.pt2"
    main([str({"checkpoint": checkpoint[0], "package": package}[source]), str(compiled), "--mode", "aotinductor", "--device", device,
          "--target", "ase", "--modifiers", "enable_FlashTP"])
    many = atoms() * (2, 1, 1)
    many.calc = NequIPCalculator.from_compiled_model(compiled, device=device)
    with Launches() as ran:
        energy, forces = many.get_potential_energy(), many.get_forces()
    expected = evaluate(checkpoint[1].to(device), copper_oxide(device, many))
    assert ran.count == 2 * 2
    assert energy == pytest.approx(float(expected["total_energy"]), rel=1e-10)
    assert forces == pytest.approx(expected["forces"].detach().cpu().numpy(), rel=1e-8, abs=1e-10)


def test_nequip_does_without_a_package_that_cannot_be_loaded():
    """It imports the entry point always."""
    run = subprocess.run([sys.executable, "-W", "error::ImportWarning", "-c", "import flashtp_nequip, nequip"], capture_output=True,
                         text=True, env={**os.environ, "FLASHTP_LIBRARY": "/nonexistent/libflashtp.so",
                                         "PYTHONPATH": str(ROOT / "python")})
    assert run.returncode == 0, run.stderr
    assert "there is no libflashtp_torch.so" in run.stderr
