#!/usr/bin/env bash
# Every localiser on the synthetic action world, from nothing to the table: some seeds each, asked about unseen actions.
#
#     scripts/reproduce_action_world.sh WORK            two cores: the world of `stvr demo`, some hours
#     scripts/reproduce_action_world.sh --full WORK     a GPU: videos of 320 px, the paper's input size
#
# All that is made lies in WORK; called again after a stop, it goes on. The table, WORK/table.md, is written anew after
# each training. To name in the environment:
#
#     SIZE=tiny (small, full: of `stvr demo`; --full is SIZE=paper) ROWS= (all of them; warp_lstm,progressive) SEEDS=3
#     OPTIONS= (more of benchmarks/bench_world_table.py's, which --help lists; --full: --device cuda --processes 12)
set -euo pipefail
size=${SIZE:-tiny}
if [ "${1:-}" = --full ]; then
    size=paper
    OPTIONS=${OPTIONS:---device cuda --processes 12}
    shift
fi
if [ $# -ne 1 ] || [[ $1 == -* ]]; then
    echo "usage: $0 [--full] WORK" >&2
    exit 2
fi
read -r -a python <<< "${PYTHON:-python3}"
read -r -a options <<< "${OPTIONS:-}"
mkdir -p "$1"
"${python[@]}" "$(dirname "$0")/../benchmarks/bench_world_table.py" "$1" --size "$size" --seeds "${SEEDS:-3}" \
    ${ROWS:+--rows "$ROWS"} --out "$1/table.md" "${options[@]}"
