# The rows of the paper's Table 1 on one store and its pairs; read in by reproduce_ava.sh and reproduce_ucf101_24.sh.
#
# Wants the array stvr, and in the environment what those two name. What is done already is left alone.

device=${DEVICE:-cuda} weights=${WEIGHTS:-i3d-kinetics-400} seed=${SEED:-0}
rows=${ROWS:-none conv_lstm flow traj_lstm warp_lstm} protocols=${PROTOCOLS:-released debiased}
read -r -a stvr <<< "${STVR:-stvr}"

mostly() {  # goes on when some videos failed (status 1), which the command has said
    "$@" || { status=$?; test "$status" -eq 1 || exit "$status"; }
}

extract_videos() {  # store, videos, pairs
    local more=()
    case " $rows " in *" flow "*)
        more=(--flow "${FLOW:-tvl1}" ${FLOW_WEIGHTS:+--flow-weights "$FLOW_WEIGHTS"}) ;;
    esac
    test "$weights" = analytic || test -f "$weights" || "${stvr[@]}" weights fetch "$weights"
    mostly "${stvr[@]}" extract "$2" --pairs "$3" --store "$1" --weights "$weights" \
        --endpoint "${ENDPOINT:-Mixed_4c}" --image-size "${IMAGE_SIZE:-320}" --compress "${COMPRESS:-lossless}" \
        --device "$device" ${WORKERS:+--workers "$WORKERS"} "${more[@]}"
}

train_and_ask() {  # store, pairs, folder
    for row in $rows; do
        local run=$3/$row
        test -e "$run.trained" || "${stvr[@]}" train --frozen-backbone --store "$1" --pairs "$2" --propagation "$row" \
            --preset "${PRESET:-paper}" ${STEPS:+--steps "$STEPS"} ${CONFIG:+--config "$CONFIG"} --seed "$seed" \
            --device "$device" --out "$run" --resume
        touch "$run.trained"
        test -e "$run.eval/eval.json" || "${stvr[@]}" eval --checkpoint "$run" --store "$1" --pairs "$2" --split test \
            --audit --seed "$seed" --device "$device" --out "$run.eval"
    done
}
