"""Prints where torch is, its version, and the version as part of a file name, separated by semicolons."""
import re
import sys
import sysconfig
from pathlib import Path

OLDEST = (2, 10)

for site in dict.fromkeys([sysconfig.get_path("platlib"), sysconfig.get_path("purelib"), *sys.path]):
    version_file = Path(site, "torch", "version.py")
    if version_file.exists() and (Path(site) / "torch" / "include" / "torch" / "csrc" / "stable").exists():
        break
else:
    sys.exit("torch is not installed for " + sys.executable + "; install it first (pip install torch)")

version = re.search(r"^__version__ = '([^']*)'", version_file.read_text(), re.MULTILINE).group(1)
release = tuple(int(number) for number in version.split("+")[0].split(".")[:2])
if release < OLDEST:
    sys.exit(f"torch {version} is installed; version {OLDEST[0]}.{OLDEST[1]} or later is needed")
print(version_file.parent, version, f"{release[0]}_{release[1]}", sep=";")
