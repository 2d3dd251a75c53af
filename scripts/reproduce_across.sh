#!/usr/bin/env bash
# One-shot across data sets: every class of UCF101-24 or JHMDB is asked with one example, and none of it is trained on.
# No publication has this setting: it is ours.
#
#     scripts/reproduce_across.sh ANNOTATIONS VIDEOS WORK
#
# ANNOTATIONS holds the published files of one of the two: pyannot.pkl and testlist01.txt, or puppet_mask and splits.
# The example of each class is drawn from the training list with five seeds, and asked of every video of the test list.
# CHECKPOINT is a run that was trained on another data set, with ENDPOINT, IMAGE_SIZE and CONTEXT as it was trained;
# without it the head answers that needs no training, with its own windows and with a detector's boxes. All that is made
# lies in WORK; called again after a stop, it goes on. At the end: WORK/table.md. More to name in the environment:
#
#     DEVICE=cuda WORKERS= SEEDS="0 1 2 3 4" PROPOSALS="map boxes" (without CHECKPOINT) STATISTICS= (of other weights)
#     DETECTOR=fasterrcnn_resnet50_fpn DETECTOR_WEIGHTS= WEIGHTS=i3d-kinetics-400 COMPRESS=lossless
set -euo pipefail
if [ $# -ne 3 ]; then
    echo "usage: $0 ANNOTATIONS VIDEOS WORK" >&2
    exit 2
fi
annotations=$1 videos=$2 work=$3 store=$3/features.zarr
device=${DEVICE:-cuda} weights=${WEIGHTS:-i3d-kinetics-400} detector=${DETECTOR:-fasterrcnn_resnet50_fpn}
seeds=${SEEDS:-0 1 2 3 4} endpoint=${ENDPOINT:-Mixed_4c,Mixed_4f,Mixed_5c} context=${CONTEXT:-video}
proposals=${PROPOSALS:-map boxes}
if [ -n "${CHECKPOINT:-}" ]; then proposals=trained; fi
read -r -a stvr <<< "${STVR:-stvr}"

if [ -e "$annotations/pyannot.pkl" ]; then
    source=(ucf101-24 "$annotations/pyannot.pkl" --test-list "$annotations/testlist01.txt") classes=24
elif [ -d "$annotations/puppet_mask" ]; then
    source=(jhmdb "$annotations/puppet_mask" --splits "$annotations/splits")
    classes=$(find "$annotations/puppet_mask" -mindepth 1 -maxdepth 1 -type d | wc -l)
else
    echo "$0: $annotations holds neither pyannot.pkl nor puppet_mask. Give the folder of UCF101-24's or JHMDB's files." >&2
    exit 2
fi
mkdir -p "$work"

for seed in $seeds; do
    pairs=$work/seed$seed.json
    test -e "$pairs" || "${stvr[@]}" prepare "${source[@]}" --videos "$videos" --held-out "$(seq -s ';' 1 "$classes")" \
        --protocol one_shot --seed "$seed" --accept-missing --out "$pairs"
done

test "$weights" = analytic || test -f "$weights" || "${stvr[@]}" weights fetch "$weights"
boxes=()
case " $proposals " in *" boxes "*)
    test -n "${DETECTOR_WEIGHTS:-}" || "${stvr[@]}" weights fetch "$detector"
    boxes=(--boxes "$detector" ${DETECTOR_WEIGHTS:+--boxes-weights "$DETECTOR_WEIGHTS"}) ;;
esac
for seed in $seeds; do  # another seed asks with other videos
    "${stvr[@]}" extract "$videos" --pairs "$work/seed$seed.json" --store "$store" --weights "$weights" \
        --endpoint "$endpoint" --context "$context" --image-size "${IMAGE_SIZE:-320}" \
        --compress "${COMPRESS:-lossless}" --device "$device" ${WORKERS:+--workers "$WORKERS"} --accept-doubtful \
        "${boxes[@]}"
done

columns=()
for name in $proposals; do
    own=(--checkpoint nearest --proposals "$name" ${STATISTICS:+--statistics "$STATISTICS"})
    if [ "$name" = trained ]; then own=(--checkpoint "$CHECKPOINT"); fi
    columns+=("$name")
    for seed in $seeds; do
        test -e "$work/$name.seed$seed/eval.json" || "${stvr[@]}" eval "${own[@]}" --store "$store" \
            --pairs "$work/seed$seed.json" --split test --seed "$seed" --device "$device" --out "$work/$name.seed$seed"
        columns+=("all=$work/$name.seed$seed")
    done
done
"${PYTHON:-python3}" "$(dirname "$0")/one_shot_table.py" "${columns[@]}" | tee "$work/table.md"
