#!/bin/sh
#SBATCH --nodes=8
#SBATCH --gpus-per-node=4
# A job whose kernels were compiled on the login node:
#   flashtp-compile build model.json --target sm_90a --orders 0,1,2 --pack "$HOME/model.pack"
# The pack is read once a process; nothing is written to the shared file system, and nothing is compiled on the job's time.
set -eu
export FLASHTP_CACHE=on
export FLASHTP_CACHE_DIR="${SLURM_TMPDIR:-/tmp}/flashtp-$SLURM_JOB_ID" # on the node's own disk
export FLASHTP_CACHE_PATH="$HOME/model.pack"
export FLASHTP_REQUIRE_CACHED=1
srun "$@"
