#!/usr/bin/env bash
# From AVA's own files to the row of STEP's table: features, pre-training, training, frame-mAP after every step.
#
#     scripts/reproduce_step.sh AVA_FOLDER VIDEOS WORK
#
# AVA_FOLDER holds the published ava_{train,val}_v2.1.csv, their excluded timestamps and the map of the 60 classes;
# VIDEOS the films. All that is made lies in WORK; called again after a stop, it goes on. The defaults are the published
# settings as far as a frozen backbone has them. Features of AVA's 299 quarter hours take 3.4 TB with them, both views
# together; COMPRESS=int8 halves that. To try it on less, name any of these in the environment:
#
#     DEVICE=cuda WORKERS=4 VERSION=v2.1 OFFSET=0 (900 for films cut to the annotated part) AT=0
#     WEIGHTS=i3d-kinetics-400 ENDPOINT=Mixed_4f IMAGE_SIZE=400 CONTEXT=video COMPRESS=lossless FLIP=1
#     PRETRAIN=pretrain PRESET=paper PRETRAIN_STEPS= STEPS= CONFIG= (options of both trainings, TOML) SEED=0
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "usage: $0 AVA_FOLDER VIDEOS WORK" >&2
    exit 2
fi
ava=$1 videos=$2 work=$3
version=${VERSION:-v2.1} device=${DEVICE:-cuda} weights=${WEIGHTS:-i3d-kinetics-400} seed=${SEED:-0}
read -r -a stvr <<< "${STVR:-stvr}"
mkdir -p "$work"

one_of() {  # the first file of these names in AVA_FOLDER
    for name in "$@"; do
        for file in "$ava"/$name; do
            if [ -f "$file" ]; then echo "$file"; return; fi
        done
    done
    echo "$0: there is no $1 in $ava. Download AVA's files into it." >&2
    exit 2
}
train=$(one_of "ava_train_$version.csv")
val=$(one_of "ava_val_$version.csv")
classes=$(one_of "ava_action_list_${version}_for_activitynet_*.pbtxt*")
train_excluded=$(one_of "ava_train_excluded_timestamps_$version.csv")
val_excluded=$(one_of "ava_val_excluded_timestamps_$version.csv")

store=$work/features.zarr people=$work/people.csv
if [ ! -e "$people" ]; then
    "${stvr[@]}" prepare people --train "$train" --test "$val" --labels "$classes" --excluded "$train_excluded" \
        --excluded "$val_excluded" --offset-seconds "${OFFSET:-0}" --at "${AT:-0}" --out "$people"
fi

start=()  # I3D's own last layers are where the heads begin, unless its weights were never trained
if [ "$weights" != analytic ]; then
    start=(--start "$weights")
    "${stvr[@]}" weights fetch "$weights"
fi
flip=() workers=()
if [ "${FLIP:-1}" = 1 ]; then flip=(--flip); fi
if [ -n "${WORKERS:-}" ]; then workers=(--workers "$WORKERS"); fi
"${stvr[@]}" extract "$videos" --store "$store" --weights "$weights" --endpoint "${ENDPOINT:-Mixed_4f}" \
    --image-size "${IMAGE_SIZE:-400}" --context "${CONTEXT:-video}" --compress "${COMPRESS:-lossless}" \
    --device "$device" "${flip[@]}" "${workers[@]}"

config=()
if [ -n "${CONFIG:-}" ]; then config=(--config "$CONFIG"); fi
train_head() {  # preset, folder, steps, where it begins
    local preset=$1 run=$2 steps=$3
    shift 3
    if [ -e "$run.trained" ]; then return; fi
    "${stvr[@]}" train --frozen-backbone --store "$store" --pairs "$people" --head step --preset "$preset" --seed "$seed" \
        --device "$device" --out "$run" --resume "${config[@]}" ${steps:+--steps "$steps"} "$@"
    touch "$run.trained"
}
train_head "${PRETRAIN:-pretrain}" "$work/pretrained" "${PRETRAIN_STEPS:-}" "${start[@]}"
train_head "${PRESET:-paper}" "$work/run" "${STEPS:-}" --start "$work/pretrained"

for run in pretrained run; do
    if [ ! -e "$work/$run.eval/eval.json" ]; then
        "${stvr[@]}" eval --checkpoint "$work/$run" --store "$store" --pairs "$people" --device "$device" \
            --out "$work/$run.eval"
    fi
done
last=$(ls "$work"/run.eval/step*.csv | tail -n 1)
if [ ! -e "${last%.csv}.json" ]; then  # once more, by AVA's own file
    "${stvr[@]}" score ava --ground-truth "$val" --detections "$last" --labels "$classes" --exclude "$val_excluded" \
        > "$work/score.partial"
    mv "$work/score.partial" "${last%.csv}.json"
fi

"${PYTHON:-python3}" - "$work" <<'PY' | tee "$work/row.md"
import json
import sys
from pathlib import Path

work = Path(sys.argv[1])
whole, before = (json.loads((work / f"{run}.eval/eval.json").read_text()) for run in ("run", "pretrained"))
percent = lambda value: "-" if value is None else f"{100 * value:.1f}"
given = next(iter(before["probes"].values()))
*first, last = whole["steps"]
steps = [*(whole["steps"][step] for step in first), json.loads((work / f"run.eval/step{last}.json").read_text())["mAP"]]
names = " | ".join(f"step {step}" for step in whole["steps"])
print(f"| AVA frame-mAP at IoU 0.5, percent | true boxes, pre-trained | {names} | keyframes |")
print("|---" * (3 + len(steps)) + "|")
print(f"| STEP as published, 34 boxes (its paper) |{' |' * len(steps)} 18.6 | |")
print("| STEP's released program (its README) | 26.4 |" + " |" * (len(steps) - 1) + " 20.2 | |")
print(f"| this run, backbone frozen | {percent(given)} | {' | '.join(map(percent, steps))} | {whole['evaluated']} |")
PY
