#!/usr/bin/env bash
# From UCF101-24's own files to the paper's Table 1: every propagation, in the published setting and de-biased.
#
#     scripts/reproduce_ucf101_24.sh PYANNOT VIDEOS WORK
#
# PYANNOT is the published pyannot.pkl (read as plain data); VIDEOS the folder of UCF-101's videos. Which 14 / 5 / 5
# classes the authors train, validate and test is not published: they are drawn by SEED, or named in HELD_OUT. All that
# is made lies in WORK; called again after a stop, it goes on. At the end: WORK/table.md. To try it on less, name any
# of these in the environment:
#
#     DEVICE=cuda WORKERS= HELD_OUT= (drawn) PROTOCOLS="released debiased"
#     ROWS="none conv_lstm flow traj_lstm warp_lstm" FLOW=tvl1 FLOW_WEIGHTS= (of raft)
#     WEIGHTS=i3d-kinetics-400 ENDPOINT=Mixed_4c IMAGE_SIZE=320 COMPRESS=lossless PRESET=paper STEPS= CONFIG= SEED=0
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "usage: $0 PYANNOT VIDEOS WORK" >&2
    exit 2
fi
annotations=$1 videos=$2 work=$3
if [ ! -f "$annotations" ] || [ ! -d "$videos" ]; then
    echo "$0: there is no file $annotations or no folder $videos. Give pyannot.pkl and the folder of the videos." >&2
    exit 2
fi
source "$(dirname "$0")/paper_rows.sh"

mkdir -p "$work"
for protocol in $protocols; do
    pairs=$work/$protocol.json
    test -e "$pairs" || "${stvr[@]}" prepare ucf101-24 "$annotations" --videos "$videos" --accept-missing \
        ${HELD_OUT:+--held-out "$HELD_OUT"} --protocol "$protocol" --seed "$seed" --out "$pairs"
    extract_videos "$work/features.zarr" "$videos" "$pairs"
    train_and_ask "$work/features.zarr" "$pairs" "$work/$protocol"
done
"${PYTHON:-python3}" "$(dirname "$0")/paper_table.py" UCF101-24 "$work" $protocols -- $rows | tee "$work/table.md"
