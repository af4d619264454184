"""SevenNet: released checkpoints with this package in the slot of FlashTP."""
import copy
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from comparison import Launches, parameter_gradients, relative_error, require

require("sevenn", "ase")
import ase.build  # noqa: E402
import sevenn  # noqa: E402
import sevenn._keys as KEY  # noqa: E402
from e3nn import o3  # noqa: E402

import flashtp.integrations.sevennet as integration  # noqa: E402
from flashtp.integrations import e3nn_layers, radial  # noqa: E402
from flashtp.integrations.e3nn_harmonics import Harmonics  # noqa: E402

CHECKPOINTS = Path(sevenn.__file__).parent / "pretrained_potentials"
RELEASED = {"SevenNet-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth", "SevenNet-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
            "SevenNet-MF-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth"}
OUTPUTS = {"energy": KEY.PRED_TOTAL_ENERGY, "forces": KEY.PRED_FORCE, "stress": KEY.PRED_STRESS}
MODALITY = {"SevenNet-MF-0": "R2SCAN"}


@pytest.fixture(autouse=True)
def enable():
    """With the usual options before each test, which may choose others."""
    integration.enable()
    return integration.enable


def build(name, flash):
    from sevenn.checkpoint import SevenNetCheckpoint
    model = SevenNetCheckpoint(str(CHECKPOINTS / RELEASED[name])).build_model(enable_flash=flash)
    model.set_is_batch_data(False)
    return model


def salt():
    atoms = ase.build.bulk("NaCl", "rocksalt", 5.6, cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def graph(model, name, atoms=None):
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    atoms = salt() if atoms is None else atoms
    data = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, model.cutoff, with_shift=False))
    if name in MODALITY:
        data[KEY.DATA_MODALITY] = MODALITY[name]
    return data


def evaluate(model, data):
    out = model(copy.deepcopy(data))
    return {name: out[key] for name, key in OUTPUTS.items()}


def widened(_, inputs):
    """Some layers make float32 out of what they get, whatever it is."""
    for data in inputs:
        if not torch.is_tensor(data) and hasattr(data, "keys"):
            for key in list(data.keys()):
                if torch.is_tensor(data[key]) and data[key].dtype == torch.float32:
                    data[key] = data[key].double()
    return tuple(i.double() if torch.is_tensor(i) and i.dtype == torch.float32 else i for i in inputs)


def in_float64(model):
    """e3nn's model in float64; SevenNet itself knows float32 only. 3j symbols are made again: they were rounded."""
    model = copy.deepcopy(model).double()
    for name, buffer in model.named_buffers():
        if "_w3j_" in name:
            buffer.copy_(o3.wigner_3j(*map(int, name.split("_w3j_")[1].split("_")), dtype=torch.float64))
    for module in model.modules():
        module.register_forward_pre_hook(widened)
    return model


@pytest.fixture(scope="module", params=RELEASED)
def models(request):
    integration.enable()
    return request.param, build(request.param, True), build(request.param, False)


def test_errors_are_those_of_e3nn(models):
    """Against float64, in energy, forces, stress and parameter gradients."""
    assert_errors_like_e3nns(*models)


def assert_errors_like_e3nns(name, ours, e3nns):
    """The largest errors of one structure are rounding's own: e3nn's differ by a factor of four between structures. So the means over
    some structures are compared."""
    exact_model, errors = in_float64(e3nns), []
    for seed in range(3):
        atoms = salt()
        atoms.rattle(0.1, seed=seed)
        data = graph(ours, name, atoms)
        found = [results(model, data) for model in (ours, e3nns, exact_model)]
        layers = sum(isinstance(module, integration.Convolution) for module in ours.modules())
        products = layers + sum(len(module.products) for module in ours.modules() if isinstance(module, Harmonics))
        assert products > layers >= 3 and found[0].launches == 2 * products and found[1].launches == 0
        errors.append([[largest_error(r.outputs, found[2].outputs), largest_error(r.gradients, found[2].gradients)]
                       for r in found[:2]])
    mine, theirs = torch.tensor(errors).mean(0)
    assert (mine <= 2 * theirs + 1e-7).all() and mine.max() < 1e-3, (mine, theirs)


class Results(NamedTuple):
    outputs: dict
    gradients: dict
    launches: int


def results(model, data):
    with Launches() as ran:
        out = evaluate(model, data)
    return Results(out, parameter_gradients(model, (out["energy"], out["forces"])), ran.count)


def largest_error(values, exact):
    assert set(values) == set(exact)
    return max(relative_error(values[name], exact[name]) for name in exact)


def test_the_last_radial_layer_is_the_convolutions(enable):
    """The same errors; and no layer's weights are ever there."""
    enable(radial=True)
    ours = build("SevenNet-0", True)
    e3nns = build("SevenNet-0", False)
    layers = [m for m in ours.modules() if isinstance(m, integration.MessagePassing)]
    for layer in layers:
        layer.weight_nn.register_forward_hook(never)
    assert len(layers) == 5
    assert_errors_like_e3nns("SevenNet-0", ours, e3nns)
    enable()
    unfused = build("SevenNet-0", True)
    assert list(ours.state_dict()) == list(unfused.state_dict())


def test_hidden_layers_of_large_systems_are_computed_again(monkeypatch):
    """For forces and stress: the same numbers, and autograd keeps less."""
    integration.enable(radial=True)
    try:
        model = build("SevenNet-0", True).eval()
    finally:
        integration.enable()
    data, found = graph(model, "SevenNet-0"), []
    for least in (radial.LEAST_EDGES_COMPUTED_AGAIN, 1):
        monkeypatch.setattr(radial, "LEAST_EDGES_COMPUTED_AGAIN", least)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
            found.append((evaluate(model, data), sum(kept)))
    assert largest_error(found[1][0], found[0][0]) < 1e-6
    assert found[1][1] < found[0][1]


def never(*_):
    raise AssertionError("the weights of edges were made")


def test_the_layers_around_the_products_are_replaced_too():
    """And each of them gives what e3nn's gives, also where it is used in another way."""
    ours = build("SevenNet-l3i5", True)
    found = [m for m in ours.modules() if isinstance(m, (e3nn_layers.Linear, e3nn_layers.Gate, e3nn_layers.RadialNetwork))]
    counts = {kind: sum(type(m) is kind for m in found) for kind in (e3nn_layers.Linear, e3nn_layers.Gate, e3nn_layers.RadialNetwork)}
    assert counts == {e3nn_layers.Linear: 18, e3nn_layers.Gate: 5, e3nn_layers.RadialNetwork: 5}
    for module in found:
        (base,) = type(module).__bases__
        width = module.hs[0] if isinstance(module, e3nn_layers.RadialNetwork) else module.irreps_in.dim
        x = torch.randn(3, 2, width)
        expected = base.forward(module, x.reshape(6, width))
        torch.testing.assert_close(module(x.reshape(6, width)), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(module(x).reshape(6, -1), expected, rtol=1e-4, atol=1e-4)


def test_only_convolutions_may_be_replaced(enable):
    enable(only_convolutions=True)
    model = build("SevenNet-0", True)
    assert not any(type(m).__module__.endswith("e3nn_layers") for m in model.modules())
    assert any(isinstance(m, integration.Convolution) for m in model.modules())


def test_layers_of_a_call_share_one_index(models):
    name, ours, _ = models
    before = torch.ops.flashtp.index_count()
    evaluate(ours, graph(ours, name))
    assert torch.ops.flashtp.index_count() == before + 1


def test_checkpoints_load_both_ways(models):
    """e3nn's products have tensors that are no parameters (their number of weights, a mask, 3j symbols); all else is the same."""
    _, ours, e3nns = models
    only_e3nn = set(e3nns.state_dict()) - set(ours.state_dict())
    assert set(ours.state_dict()) <= set(e3nns.state_dict())
    assert not only_e3nn & {name for name, _ in e3nns.named_parameters()}
    for target, source in ((ours, e3nns), (e3nns, ours)):
        loaded = copy.deepcopy(target).load_state_dict(source.state_dict(), strict=False)
        assert all(".convolution." in key for key in loaded.missing_keys + loaded.unexpected_keys)


def test_the_calculator_takes_it():
    from sevenn.calculator import SevenNetCalculator
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=2)
    checkpoint = str(CHECKPOINTS / RELEASED["SevenNet-0"])
    atoms.calc = SevenNetCalculator(checkpoint, device="cpu", enable_flash=True)
    with Launches() as ran:
        energy = atoms.get_potential_energy()
    assert ran.count > 0
    atoms.calc = SevenNetCalculator(checkpoint, device="cpu")
    assert abs(energy - atoms.get_potential_energy()) < 1e-5 * len(atoms)


def test_forces_do_no_work_on_a_closed_path():
    """SevenNet-l3i5's forces are the gradient of an energy: atoms moved around a loop, on which edges come and go, return
    all the work. The trapezoidal rule is exact to rounding for a periodic path this smooth."""
    model, atoms, steps = build("SevenNet-l3i5", True), salt(), 16
    start = torch.tensor(atoms.positions)
    across, along = 0.1 * torch.randn(2, *start.shape, dtype=torch.float64)
    work, moved = 0.0, 0.0
    for step in range(steps):
        angle = torch.tensor(2 * torch.pi * step / steps, dtype=torch.float64)
        atoms.positions = (start + across * angle.cos() + along * angle.sin()).numpy()
        forces = evaluate(model, graph(model, "SevenNet-l3i5", atoms))["forces"].detach().double()
        power = float((forces * (along * angle.cos() - across * angle.sin())).sum())
        work, moved = work + power, moved + abs(power)
    assert moved / steps > 0.01
    assert abs(work) < 1e-4 * moved, (work, moved)
