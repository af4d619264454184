"""NequIP: the modifier enable_FlashTP, found through NequIP's entry point."""
import copy
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from comparison import Launches, assert_equal, parameter_gradients, require

require("nequip", "ase")
import ase.build  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def entry_point(tmp_path_factory):
    """The one of pyproject.toml, as an installed package has it. NequIP looks for it when it is imported."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["nequip.extension"]
    folder = tmp_path_factory.mktemp("site")
    info = folder / "flashtp-0.dist-info"
    info.mkdir()
    lines = [f"{name} = {module}" for name, module in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[nequip.extension]", *lines, ""]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flashtp\nVersion: 0\n")
    assert "nequip" not in sys.modules
    sys.path.append(str(folder))
    import nequip  # noqa: F401
    assert "flashtp.integrations.nequip" in sys.modules


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
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
    atoms = ase.build.bulk("CuO", "rocksalt", 4.2, cubic=True)
    atoms.rattle(0.1, seed=3)
    data = ChemicalSpeciesToAtomTypeMapper(["Cu", "O"])(from_ase(atoms))
    return AtomicDataDict.to_(compute_neighborlist_(data, r_max=4.0), "cpu")


def replaced(model):
    from nequip.model.modify_utils import modify
    return modify(copy.deepcopy(model), [{"modifier": "enable_FlashTP"}])


def evaluate(model, data):
    out = model(dict(data))
    return {name: out[name] for name in ("total_energy", "forces", "stress")}


def test_energy_forces_stress_and_gradients(model, data):
    ours = replaced(model)
    expected = evaluate(model, data)
    with Launches() as ran:
        values = evaluate(ours, data)
    assert ran.count == 2 * 2  # layers, forward and backward
    assert_equal(values, expected, 1e-10)
    gradients = [parameter_gradients(m, (out["total_energy"], out["forces"])) for m, out in ((ours, values), (model, expected))]
    assert len(gradients[0]) > 10
    assert_equal(*gradients, 1e-10)


def test_state_dicts_are_the_same(model):
    ours = replaced(model)
    assert list(ours.state_dict()) == list(model.state_dict())
    ours.load_state_dict(model.state_dict(), strict=True)
    copy.deepcopy(model).load_state_dict(ours.state_dict(), strict=True)


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
