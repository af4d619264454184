"""The steps of docs/deploy/github-actions.yml, run one after the other as a runner does, in a directory that looks like its own."""
import json
import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILT = ROOT / "build/release/bin/flashtp-compile"
WORKFLOW = ROOT / "docs/deploy/github-actions.yml"
LAYER = {"irreps_in1": "4x0e+4x1o", "irreps_in2": "0e+1o", "irreps_out": "4x0e+4x1o",
         "instructions": [[0, 0, 0, "uvu", True], [1, 1, 0, "uvu", True]], "convolution": True}  # fmt: skip


class Runner:
    """What a job's steps hand on: lines that they add to the files GITHUB_ENV and GITHUB_PATH."""

    def __init__(self, directory):
        self.directory = directory
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("FLASHTP_", "VIRTUAL_ENV"))}
        for name in ("GITHUB_ENV", "GITHUB_PATH"):
            (directory / name).touch()
            self.env[name] = str(directory / name)
        self.env["XDG_CACHE_HOME"] = str(directory / "cache")

    def run(self, script):
        # This checkout stands for the one that the workflow makes.
        script = script.replace("cd flashtp\n", f"cd {ROOT}\n").replace("flashtp/docs", f"{ROOT}/docs")
        done = subprocess.run(["bash", "-e", "-c", script], cwd=self.directory, env=self.env, capture_output=True, text=True)
        for line in (self.directory / "GITHUB_ENV").read_text().splitlines():
            name, _, value = line.partition("=")
            self.env[name] = value
        added = (self.directory / "GITHUB_PATH").read_text().split()
        self.env["PATH"] = os.pathsep.join([*added, os.environ["PATH"]])
        return done


@pytest.mark.skipif(not BUILT.exists(), reason="build/release is not built")
def test_steps_of_the_workflow(tmp_path):
    (tmp_path / "model/models").mkdir(parents=True)
    (tmp_path / "model/models/model.json").write_text(json.dumps(LAYER))
    runner = Runner(tmp_path)
    steps = yaml.safe_load(WORKFLOW.read_text())["jobs"]["pack"]["steps"]
    for step in steps:
        if "run" not in step:
            continue
        done = runner.run(step["run"])
        if step["name"] == "NVRTC" and done.returncode != 0:
            pytest.skip("pip could not install nvidia-cuda-nvrtc")
        assert done.returncode == 0, f"{step['name']}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    uploaded = next(step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert (tmp_path / uploaded).read_bytes().startswith(b"FLASHTPK")

    # A job that may not compile finds them all, without NVRTC.
    (tmp_path / uploaded).chmod(0o644)
    runner.env |= dict(FLASHTP_CACHE_PATH=str(tmp_path / uploaded), FLASHTP_REQUIRE_CACHED="1", FLASHTP_NVRTC="/nonexistent")
    done = runner.run("flashtp-compile build model/models/model.json --target sm_80,sm_90a,sm_100")
    assert "kernel cache: 9 hits, 0 misses, 0 rejected" in done.stdout, done.stdout + done.stderr
