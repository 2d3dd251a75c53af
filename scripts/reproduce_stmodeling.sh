#!/usr/bin/env bash
# The eight temporal blocks of Winter et al. 2020 on Jester or Something-Something V2, with 8 and 16 segments, on the
# features of a frozen image network.
#
#     WEIGHTS=squeezenet1_1-b8a52dc0.pth LISTS=FOLDER FRAMES=20bn-jester-v1 OUT=jester scripts/reproduce_stmodeling.sh
#     BACKBONE=resnet18 WEIGHTS=resnet18-f37072fd.pth LISTS=... FRAMES=... OUT=... scripts/reproduce_stmodeling.sh
#
# LISTS holds category.txt, train_videofolder.txt and val_videofolder.txt; FRAMES a folder of numbered pictures for each
# video, of all of them or of some. Stopped at any moment and started again, it goes on. What videos are missing or
# broken is said and left out. At the end: OUT/table.md.
#
# The defaults are those of the program where it has them: 30 epochs, 128 videos a step, learning rate 0.001 and a tenth
# of it after half and after five sixths of the epochs, weight decay 0.0005, 256 channels. Its second network,
# BNInception, is not among torchvision's; resnet18 is the nearest of those in size and cost. Only means over the
# picture are kept, so that the features of all of Jester take some 5 GB.
set -euo pipefail

for name in WEIGHTS LISTS FRAMES OUT; do
    if [ -z "${!name:-}" ]; then
        echo "usage: WEIGHTS=FILE LISTS=FOLDER FRAMES=FOLDER OUT=FOLDER $0 ($name is not given)" >&2
        exit 2
    fi
done
BACKBONE=${BACKBONE:-squeezenet1_1} IMAGE_SIZE=${IMAGE_SIZE:-224} DEVICE=${DEVICE:-cpu} RATE=${RATE:-12}
EPOCHS=${EPOCHS:-30} BATCH_SIZE=${BATCH_SIZE:-128} LR=${LR:-0.001} OPTIMIZER=${OPTIMIZER:-sgd} SEED=${SEED:-0}
BLOCKS=${BLOCKS:-mlp trn_multiscale rnn_tanh rnn_relu lstm gru blstm fcn} SEGMENTS=${SEGMENTS:-8 16} WIDTH=${WIDTH:-256}
read -ra stvr <<< "${STVR:-stvr}"
read -ra python <<< "${PYTHON:-python}"
scripts=$(cd "$(dirname "$0")" && pwd)
store=$OUT/features.zarr
case $BACKBONE in
    squeezenet1_1) endpoint=features.12.mean ;;
    resnet*) endpoint=layer4.mean ;;
    *) endpoint=${ENDPOINT:?where $BACKBONE is cut, with .mean behind it} ;;
esac

mostly() {  # goes on when some videos failed (status 1), which the command has said
    "$@" || { status=$?; test "$status" -eq 1 || exit "$status"; }
}

mkdir -p "$OUT"
test -e "$OUT/labels.csv" || "${stvr[@]}" prepare labels --train "$LISTS/train_videofolder.txt" \
    --val "$LISTS/val_videofolder.txt" --classes "$LISTS/category.txt" --out "$OUT/labels.csv"
videos=$(grep --count . "$LISTS/train_videofolder.txt")
steps=$((EPOCHS * videos / BATCH_SIZE))
steps=$((steps > 0 ? steps : 1))
echo "$(grep --count . "$LISTS/category.txt") classes, $videos training videos, $EPOCHS epochs in $steps steps"
mostly "${stvr[@]}" join "$FRAMES" --rate "$RATE" --out "$OUT/videos"
mostly "${stvr[@]}" extract "$OUT/videos" --store "$store" --backbone "$BACKBONE" --weights "$WEIGHTS" \
    --endpoint "$endpoint" --image-size "$IMAGE_SIZE" --device "$DEVICE"

table=()
for segments in $SEGMENTS; do
    for block in $BLOCKS; do
        run=$OUT/${block}_$segments
        cat > "$run.toml" <<TOML
steps = $steps
batch_size = $BATCH_SIZE
optimizer = "$OPTIMIZER"
lr = $LR
weight_decay = 0.0005
milestones = [$((steps / 2)), $((steps * 5 / 6))]
clip_norm = 20.0
seed = $SEED
[head]
segments = $segments
width = $WIDTH
TOML
        "${stvr[@]}" train --store "$store" --pairs "$OUT/labels.csv" --head classifier --block "$block" \
            --config "$run.toml" --out "$run" --resume --device "$DEVICE"
        test -e "$run/figures/eval.json" || "${stvr[@]}" eval --checkpoint "$run" --store "$store" \
            --pairs "$OUT/labels.csv" --split val --out "$run/figures" --device "$DEVICE"
        table+=("$BACKBONE, $block, $segments segments" "$run")
    done
done
"${python[@]}" "$scripts/class_table.py" "${table[@]}" | tee "$OUT/table.md"
