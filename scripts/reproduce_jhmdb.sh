#!/usr/bin/env bash
# One-shot on JHMDB, from its own files to a table: six classes that training never shows, on the four public label
# splits; one example of each, drawn from the training list with five seeds, is asked of the test list's videos.
#
#     scripts/reproduce_jhmdb.sh JHMDB VIDEOS WORK
#
# JHMDB holds the published folders puppet_mask and splits; VIDEOS is ReCompress_Videos. Boxes come from the head's own
# proposal network, and once more from a detector's. Frame-mAP at IoU 0.5 over the six classes, a frame standing for
# each third of a second. Each label split trains once for each source of boxes, with pairs of its first seed. All that
# is made lies in WORK; called again after a stop, it goes on. At the end: WORK/table.md. To try it on less, name any
# of these in the environment:
#
#     DEVICE=cuda WORKERS= LABEL_SPLITS="1 2 3 4" SEEDS="0 1 2 3 4" SPLIT=1 (of the videos) PROPOSALS="rpn boxes"
#     DETECTOR=fasterrcnn_resnet50_fpn DETECTOR_WEIGHTS= WEIGHTS=i3d-kinetics-400 ENDPOINT=Mixed_4c IMAGE_SIZE=320
#     COMPRESS=lossless PRESET=paper STEPS= CONFIG=
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "usage: $0 JHMDB VIDEOS WORK" >&2
    exit 2
fi
jhmdb=$1 videos=$2 work=$3
device=${DEVICE:-cuda} weights=${WEIGHTS:-i3d-kinetics-400} detector=${DETECTOR:-fasterrcnn_resnet50_fpn}
splits=${LABEL_SPLITS:-1 2 3 4} seeds=${SEEDS:-0 1 2 3 4} proposals=${PROPOSALS:-rpn boxes}
read -r -a stvr <<< "${STVR:-stvr}"
unseen=(
    "clap;sit;wave;throw;pullup;catch"
    "kick_ball;run;climb_stairs;stand;shoot_gun;pick"
    "brush_hair;push;pour;shoot_bow;jump;shoot_ball"
    "golf;swing_baseball;walk;clap;sit;wave"
)
for folder in "$jhmdb/puppet_mask" "$jhmdb/splits" "$videos"; do
    if [ ! -d "$folder" ]; then
        echo "$0: there is no folder $folder. Give the published folders, as told at the head of this script." >&2
        exit 2
    fi
done
mkdir -p "$work"

test "$weights" = analytic || test -f "$weights" || "${stvr[@]}" weights fetch "$weights"
boxes=()
case " $proposals " in *" boxes "*)
    test -n "${DETECTOR_WEIGHTS:-}" || "${stvr[@]}" weights fetch "$detector"
    boxes=(--boxes "$detector" ${DETECTOR_WEIGHTS:+--boxes-weights "$DETECTOR_WEIGHTS"}) ;;
esac
store=$work/features.zarr
"${stvr[@]}" extract "$videos" --store "$store" --weights "$weights" --endpoint "${ENDPOINT:-Mixed_4c}" \
    --image-size "${IMAGE_SIZE:-320}" --compress "${COMPRESS:-lossless}" --device "$device" \
    ${WORKERS:+--workers "$WORKERS"} --accept-doubtful "${boxes[@]}"

for split in $splits; do
    for seed in $seeds; do
        pairs=$work/split$split.seed$seed.json
        test -e "$pairs" || "${stvr[@]}" prepare jhmdb "$jhmdb/puppet_mask" --videos "$videos" \
            --splits "$jhmdb/splits" --split "${SPLIT:-1}" --held-out "${unseen[split - 1]}" --protocol one_shot \
            --seed "$seed" --accept-missing --out "$pairs"
    done
    for source in $proposals; do
        run=$work/split$split.$source
        if [ ! -e "$run.trained" ]; then
            { test -z "${CONFIG:-}" || cat "$CONFIG"; } > "$run.toml"
            grep -q '^\[head\]' "$run.toml" || echo '[head]' >> "$run.toml"
            sed -i "s/^\[head\].*/&\nproposals = \"$source\"/" "$run.toml"
            "${stvr[@]}" train --frozen-backbone --store "$store" --pairs "$work/split$split.seed${seeds%% *}.json" \
                --preset "${PRESET:-paper}" ${STEPS:+--steps "$STEPS"} --config "$run.toml" --device "$device" \
                --out "$run" --resume
            touch "$run.trained"
        fi
        for seed in $seeds; do
            test -e "$run.seed$seed/eval.json" || "${stvr[@]}" eval --checkpoint "$run" --store "$store" \
                --pairs "$work/split$split.seed$seed.json" --split test --seed "$seed" --device "$device" \
                --out "$run.seed$seed"
        done
    done
done

columns=()
for source in $proposals; do
    columns+=("$source")
    for split in $splits; do
        for seed in $seeds; do columns+=("$split=$work/split$split.$source.seed$seed"); done
    done
done
"${PYTHON:-python3}" "$(dirname "$0")/one_shot_table.py" "${columns[@]}" | tee "$work/table.md"
