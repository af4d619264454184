"""What the tests of NequIP and Allegro share: the entry point as an installed package has it, and a crystal."""
import atexit
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def install_entry_point():
    """That of pyproject.toml. NequIP looks for it when it is imported."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["nequip.extension"]
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    info = folder / "flashtp-0.dist-info"
    info.mkdir()
    lines = [f"{name} = {module}" for name, module in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[nequip.extension]", *lines, ""]))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flashtp\nVersion: 0\n")
    assert "nequip" not in sys.modules
    sys.path.append(str(folder))
    import nequip  # noqa: F401


if "nequip" not in sys.modules:
    install_entry_point()


def copper_oxide():
    """Eight atoms off their places, with neighbours, as NequIP's models take them."""
    import ase.build
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
    atoms = ase.build.bulk("CuO", "rocksalt", 4.2, cubic=True)
    atoms.rattle(0.1, seed=3)
    data = ChemicalSpeciesToAtomTypeMapper(["Cu", "O"])(from_ase(atoms))
    return AtomicDataDict.to_(compute_neighborlist_(data, r_max=4.0), "cpu")


def evaluate(model, data):
    out = model(dict(data))
    return {name: out[name] for name in ("total_energy", "forces", "stress")}


def modified(model, modifier, **options):
    """A copy of a model."""
    import copy

    from nequip.model.modify_utils import modify
    return modify(copy.deepcopy(model), [{"modifier": modifier, **options}])
