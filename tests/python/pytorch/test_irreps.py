"""Irreps read and do what e3nn's do."""
import pytest
import torch
from e3nn import o3

from flashtp import Irrep, Irreps

TEXTS = ("", "1o", "3x0e", "2x1y + 1x2e+ 0x3o", "4x0e+2x0e+1x1o+2x1e+1x1o")


@pytest.mark.parametrize("text", TEXTS)
def test_text(text):
    ours, theirs = Irreps(text), o3.Irreps(text)
    assert str(ours) == str(theirs) and Irreps(theirs) == ours
    assert (ours.dim, ours.num_irreps, ours.ls) == (theirs.dim, theirs.num_irreps, theirs.ls)
    assert ours.slices() == theirs.slices()
    assert str(ours.simplify()) == str(theirs.simplify())
    assert str(ours.remove_zero_multiplicities()) == str(theirs.remove_zero_multiplicities())
    assert [str(ours.sort().irreps), ours.sort().p, ours.sort().inv] == [str(theirs.sort().irreps), theirs.sort().p, theirs.sort().inv]
    assert all(ours.count(ir) == theirs.count(ir) for ir in ("0e", "1o", "5e"))


def test_other_forms():
    assert Irreps([(2, (1, -1)), (1, "0e"), "3x2e"]) == Irreps("2x1o+0e+3x2e")
    assert Irreps(o3.Irrep("1o")) == Irreps(Irrep(1, -1)) == Irreps("1o")
    assert Irreps(o3.Irreps("2x1o")[0]) == Irreps("2x1o")
    assert [str(ir) for ir in Irrep(1, -1) * Irrep(2, 1)] == [str(ir) for ir in o3.Irrep("1o") * o3.Irrep("2e")]


@pytest.mark.parametrize("wrong", ("1x", "2x1q", "x1o", [(2, (1, 3))], [(-1, "0e")]))
def test_wrong_irreps_are_refused(wrong):
    with pytest.raises(ValueError):
        Irreps(wrong)


def test_random_numbers():
    irreps = Irreps("2x0e+3x1o")
    assert irreps.randn(4, -1, 2).shape == (4, irreps.dim, 2)
    vectors = irreps.randn(5, -1, normalization="norm")[:, 2:].reshape(5, 3, 3)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(5, 3))
