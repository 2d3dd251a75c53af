#!/usr/bin/env bash
# One example asked of your own real clips with nothing trained: which video, where in it and when, as tables and plots.
#
#     scripts/reproduce_real.sh CLIPS WORK
#
# CLIPS holds manifest.csv (file, set, class, group, boxes) and, beside it, the videos and a JSON of boxes for each. A
# query is never asked of its own group. All that is made lies in WORK; called again after a stop, it goes on. At the
# end: WORK/real.md. To name in the environment:
#
#     WEIGHTS=i3d-kinetics-400 STATISTICS= (a store of yours, for other weights) CHECKPOINT= (a trained head, asked too)
#     IMAGE_SIZE=320 THREADS=1
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: $0 CLIPS WORK" >&2
    exit 2
fi
clips=$1 work=$2 weights=${WEIGHTS:-i3d-kinetics-400}
read -r -a stvr <<< "${STVR:-stvr}"
if [ ! -f "$clips/manifest.csv" ]; then
    echo "$0: there is no manifest.csv in $clips. Give the folder of the clips, with file,set,class,group,boxes in it." >&2
    exit 2
fi
mkdir -p "$work"
test "$weights" = analytic || test -f "$weights" || "${stvr[@]}" weights fetch "$weights"
"${PYTHON:-python3}" "$(dirname "$0")/../benchmarks/bench_real.py" "$clips/manifest.csv" --work "$work" \
    --weights "$weights" --image-size "${IMAGE_SIZE:-320}" --threads "${THREADS:-1}" \
    ${STATISTICS:+--statistics "$STATISTICS"} ${CHECKPOINT:+--checkpoint "$CHECKPOINT"} --out "$work/real.md"
