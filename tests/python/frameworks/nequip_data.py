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


def atoms():
    """Eight, off their places."""
    import ase.build
    atoms = ase.build.bulk("CuO", "rocksalt", 4.2, cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def copper_oxide(device, given=None):
    """With neighbours, as NequIP's models take them."""
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
    data = ChemicalSpeciesToAtomTypeMapper(["Cu", "O"])(from_ase(given or atoms()))
    return AtomicDataDict.to_(compute_neighborlist_(data, r_max=4.0), device)


def evaluate(model, data):
    out = model(dict(data))
    return {name: out[name] for name in ("total_energy", "forces", "stress")}


def modified(model, modifier, **options):
    """A copy of a model."""
    import copy

    from nequip.model.modify_utils import modify
    return modify(copy.deepcopy(model), [{"modifier": modifier, **options}])


def save_checkpoint(folder, model):
    """Of a model with these options, as NequIP's training leaves it. Returns the path and the model."""
    import ase.io
    import lightning
    import torch
    from nequip.train import NequIPLightningModule
    ase.io.write(folder / "data.xyz", atoms())
    species = {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": model["type_names"]}
    neighbours = {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": model["r_max"]}
    data = {"_target_": "nequip.data.datamodule.ASEDataModule", "seed": 1, "transforms": [species, neighbours],
            **dict.fromkeys(("train_file_path", "val_file_path"), str(folder / "data.xyz"))}
    info = {"versions": {}, "data": data, "training_module": {"_target_": "nequip.train.NequIPLightningModule"}}
    module = NequIPLightningModule(model=model, num_datasets={"train": 1, "val": 0, "test": 0, "predict": 0}, info_dict=info)
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams),
                "pytorch-lightning_version": lightning.__version__}, folder / "model.ckpt")
    return folder / "model.ckpt", module.model["sole_model"]
