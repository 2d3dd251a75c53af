#!/usr/bin/env bash
# From AVA's own files to the paper's Table 1: every propagation, in the published setting and de-biased.
#
#     scripts/reproduce_ava.sh AVA_FOLDER VIDEOS WORK
#
# AVA_FOLDER holds the published ava_{train,val}_v2.1.csv, their excluded timestamps and the map of the 80 or 60
# classes; VIDEOS the films. Labels held out are the authors' 27 + 27. All that is made lies in WORK; called again
# after a stop, it goes on. At the end: WORK/table.md. The features of all films take about 0.7 TB before compression.
# To try it on less, name any of these in the environment:
#
#     DEVICE=cuda WORKERS= VERSION=v2.1 OFFSET=0 (900 for films cut to the annotated part) HELD_OUT= (the authors')
#     PROTOCOLS="released debiased" ROWS="none conv_lstm flow traj_lstm warp_lstm" FLOW=tvl1 FLOW_WEIGHTS= (of raft)
#     WEIGHTS=i3d-kinetics-400 ENDPOINT=Mixed_4c IMAGE_SIZE=320 COMPRESS=lossless PRESET=paper STEPS= CONFIG= SEED=0
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "usage: $0 AVA_FOLDER VIDEOS WORK" >&2
    exit 2
fi
ava=$1 videos=$2 work=$3 version=${VERSION:-v2.1}
source "$(dirname "$0")/paper_rows.sh"

one_of() {  # the first file of this name in AVA_FOLDER
    for file in "$ava"/$1; do
        if [ -f "$file" ]; then echo "$file"; return; fi
    done
    echo "$0: there is no $1 in $ava. Download AVA's files into it." >&2
    exit 2
}
train=$(one_of "ava_train_$version.csv")
val=$(one_of "ava_val_$version.csv")
classes=$(one_of "ava_action_list_${version}*.pbtxt*")
train_excluded=$(one_of "ava_train_excluded_timestamps_$version.csv")
val_excluded=$(one_of "ava_val_excluded_timestamps_$version.csv")

mkdir -p "$work"
cat "$train_excluded" "$val_excluded" > "$work/excluded.csv"
for protocol in $protocols; do
    pairs=$work/$protocol.json
    test -e "$pairs" || mostly "${stvr[@]}" prepare ava "$val" --train "$train" --labels "$classes" \
        --excluded "$work/excluded.csv" --offset-seconds "${OFFSET:-0}" ${HELD_OUT:+--held-out "$HELD_OUT"} \
        --protocol "$protocol" --seed "$seed" --out "$pairs"
    extract_videos "$work/features.zarr" "$videos" "$pairs"
    train_and_ask "$work/features.zarr" "$pairs" "$work/$protocol"
done
"${PYTHON:-python3}" "$(dirname "$0")/paper_table.py" AVA "$work" $protocols -- $rows | tee "$work/table.md"
