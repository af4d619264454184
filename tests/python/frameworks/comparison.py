"""Outputs of one model before and after its products are replaced."""
import copy
import importlib.util
import os
from pathlib import Path

import pytest
import torch


def require(*packages):
    """Skips the module where a framework is not installed."""
    absent = [p for p in packages if importlib.util.find_spec(p) is None]
    if absent:
        pytest.skip(f"SKIPPED: {', '.join(absent)} not installed; ./tools/test --nightly installs the frameworks",
                    allow_module_level=True)
    if not Path(os.environ["FLASHTP_LIBRARY"]).with_name("libflashtp_torch.so").exists():
        pytest.skip("SKIPPED: libflashtp_torch.so was not built; configure again with torch installed", allow_module_level=True)


def launches():
    return torch.ops.flashtp.launch_count()


class Launches:
    """How many kernels of this package ran in a with block."""

    def __enter__(self):
        self.before = launches()
        return self

    def __exit__(self, *unused):
        self.count = launches() - self.before


def parameter_gradients(model, outputs):
    """Of a loss of energy and forces, which takes derivatives of derivatives."""
    model.zero_grad()
    sum(value.square().sum() for value in outputs).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def relative_error(values, expected):
    values, expected = values.detach(), expected.detach()
    return float((values.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-300))


def assert_equal(values, expected, tolerance):
    assert set(values) == set(expected)
    values, expected = ({name: v.detach() for name, v in given.items()} for given in (values, expected))
    for name in expected:
        assert torch.isfinite(values[name]).all(), name
        scale = max(float(e.abs().max()) for e in expected.values())
        if float(expected[name].abs().max()) > 1e-9 * scale:
            assert relative_error(values[name], expected[name]) < tolerance, name
        else:  # a gradient that is zero but for rounding
            assert float((values[name] - expected[name]).abs().max()) < tolerance * scale, name


def assert_same_model(ours, model, evaluate, tolerance=1e-10):
    """Equal outputs, and gradients of a loss of the energy (the first output) and the forces (the second), in all parameters.
    ``evaluate`` gives named outputs of a model. Returns how many kernels ran for the outputs."""
    expected = evaluate(model)
    with Launches() as ran:
        values = evaluate(ours)
    assert_equal(values, expected, tolerance)
    gradients = [parameter_gradients(m, list(out.values())[:2]) for m, out in ((ours, values), (model, expected))]
    assert len(gradients[0]) > 10
    assert_equal(*gradients, tolerance)
    return ran.count


def assert_same_state(ours, model):
    """Equal keys, and strict loading both ways."""
    assert list(ours.state_dict()) == list(model.state_dict())
    ours.load_state_dict(model.state_dict(), strict=True)
    copy.deepcopy(model).load_state_dict(ours.state_dict(), strict=True)
