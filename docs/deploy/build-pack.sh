#!/bin/sh
# Compiles the kernels of a model for several GPUs into one pack; needs NVRTC, no GPU. The steps of the workflow and of the image.
# usage: build-pack.sh MODEL.json PACK TARGETS
set -eu
model=$1 pack=$2 targets=$3
flashtp-compile build "$model" --target "$targets" --orders 0,1,2 --cache "$(mktemp -d)" --pack "$pack"
# The pack is complete: a second build from it alone compiles nothing.
FLASHTP_CACHE_PATH=$(realpath "$pack") FLASHTP_REQUIRE_CACHED=1 \
    flashtp-compile build "$model" --target "$targets" --orders 0,1,2 --cache "$(mktemp -d)"
