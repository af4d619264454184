"""The library looks for NVRTC in the virtual environment, also when the tests' interpreter was started without activating it."""
import os
import sys

os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
