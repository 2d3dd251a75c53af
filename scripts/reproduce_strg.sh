#!/usr/bin/env bash
# The rows of "Videos as Space-Time Region Graphs" (Wang and Gupta, ECCV 2018) on Something-Something V1, on the
# features of a frozen ResNet-50: I3D alone, + space-time graph, + similarity graph, + both.
#
#     WEIGHTS=i3d_r50.pth LISTS=FOLDER FRAMES=20bn-something-something-v1 OUT=strg scripts/reproduce_strg.sh
#
# LISTS holds the official something-something-v1-labels.csv, -train.csv and -validation.csv; FRAMES a folder of
# numbered pictures (00001.jpg) for each video, of all of them or of some. Stopped at any moment and started again, it
# goes on. What videos are missing or broken is said and left out. At the end: OUT/table.md.
#
# The defaults are those of the public program's README where it has them: 30 epochs, 32 videos a step, learning rate
# 0.000125, weight decay 0.001, 10 boxes a step of a detector trained on COCO, 16 time steps. BOXES=grid needs no
# detector. The features of all of V1 (98,000 videos of 4 seconds, 224 x 224 pixels) take about 3.7 TB before
# compression: COMPRESS=int8 keeps half as many bytes, and IMAGE_SIZE and FRAMES shrink it further.
set -euo pipefail

for name in WEIGHTS LISTS FRAMES OUT; do
    if [ -z "${!name:-}" ]; then
        echo "usage: WEIGHTS=FILE LISTS=FOLDER FRAMES=FOLDER OUT=FOLDER $0 ($name is not given)" >&2
        exit 2
    fi
done
IMAGE_SIZE=${IMAGE_SIZE:-224} COMPRESS=${COMPRESS:-lossless} DEVICE=${DEVICE:-cpu} RATE=${RATE:-12}
BOXES=${BOXES:-fasterrcnn_resnet50_fpn} BOXES_WEIGHTS=${BOXES_WEIGHTS:-}
EPOCHS=${EPOCHS:-30} BATCH_SIZE=${BATCH_SIZE:-32} LR=${LR:-0.000125} OPTIMIZER=${OPTIMIZER:-sgd} SEED=${SEED:-0}
SEGMENTS=${SEGMENTS:-16} WIDTH=${WIDTH:-512} ROWS=${ROWS:-i3d space_time similarity both}
read -ra stvr <<< "${STVR:-stvr}"
read -ra python <<< "${PYTHON:-python}"
scripts=$(cd "$(dirname "$0")" && pwd)
list=$LISTS/something-something-v1
store=$OUT/features.zarr

mostly() {  # goes on when some videos failed (status 1), which the command has said
    "$@" || { status=$?; test "$status" -eq 1 || exit "$status"; }
}

mkdir -p "$OUT"
wanted=$(sort "$list-labels.csv" | uniq | sed '/^[[:space:]]*$/d' | wc -l)
test -e "$OUT/labels.csv" || "${stvr[@]}" prepare labels --train "$list-train.csv" --val "$list-validation.csv" \
    --out "$OUT/labels.csv"
videos=$(grep --count . "$list-train.csv")
steps=$((EPOCHS * videos / BATCH_SIZE))
echo "$wanted classes, $videos training videos, $EPOCHS epochs in $steps steps of $BATCH_SIZE"
mostly "${stvr[@]}" join "$FRAMES" --rate "$RATE" --out "$OUT/videos"
boxes=()
if test "$BOXES" != grid; then
    boxes=(--boxes "$BOXES" ${BOXES_WEIGHTS:+--boxes-weights "$BOXES_WEIGHTS"})
fi
mostly "${stvr[@]}" extract "$OUT/videos" --store "$store" --backbone i3d_r50 --weights "$WEIGHTS" \
    --image-size "$IMAGE_SIZE" --compress "$COMPRESS" --device "$DEVICE" "${boxes[@]}"

declare -A names=([i3d]="I3D alone" [space_time]="+ space-time graph" [similarity]="+ similarity graph" [both]="+ both")
table=()
for row in $ROWS; do
    run=$OUT/$row
    proposals=boxes
    test "$BOXES" != grid || proposals=grid
    own="graphs = \"$row\""$'\n'"proposals = \"$proposals\""
    head=(--head region_graph_classifier)
    if test "$row" = i3d; then
        own="" head=(--head classifier --block mean)
    fi
    cat > "$OUT/$row.toml" <<TOML
steps = $((steps > 0 ? steps : 1))
batch_size = $BATCH_SIZE
optimizer = "$OPTIMIZER"
lr = $LR
weight_decay = 0.001
milestones = []
seed = $SEED
[head]
segments = $SEGMENTS
width = $WIDTH
$own
TOML
    "${stvr[@]}" train --store "$store" --pairs "$OUT/labels.csv" "${head[@]}" --config "$OUT/$row.toml" --out "$run" \
        --resume --device "$DEVICE"
    test -e "$run/figures/eval.json" || "${stvr[@]}" eval --checkpoint "$run" --store "$store" \
        --pairs "$OUT/labels.csv" --split val --out "$run/figures" --device "$DEVICE"
    table+=("${names[$row]}" "$run")
done
"${python[@]}" "$scripts/class_table.py" "${table[@]}" | tee "$OUT/table.md"
