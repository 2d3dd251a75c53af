#!/usr/bin/env bash
# On a machine with a GPU: the CUDA tests, then every benchmark, within nine minutes. Writes a JSON file and a Markdown
# table to benchmarks/results/. Needs python3 with torch, triton, numpy and pytest; stvr itself need not be installed.
#
#     scripts/gpu_check.sh [--device cpu]      # cpu: reduced sizes, to see that the script itself works
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=cuda
[ "${1:-}" = --device ] && device=${2:?--device wants cuda or cpu}
export PYTHONPATH=$PWD PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
start=$SECONDS

if [ "$device" = cuda ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "gpu_check.sh: $python has no torch with a CUDA device." \
    "Set PYTHON to one that has, or try: scripts/gpu_check.sh --device cpu" >&2
  exit 2
fi
timeout 190 "$python" -m pytest --noconftest -p no:cacheprovider -q -m gpu \
  tests/kernels/test_cuda.py tests/propagation/test_recurrent.py
tests=$?
small=()
[ "$device" = cpu ] && small=(--small) && echo "No CUDA: the CUDA tests were skipped, the sizes are reduced."
left=$((530 - (SECONDS - start)))
timeout "$left" "$python" benchmarks/bench_kernels.py --device "$device" --seconds $((left - 90)) \
  --out benchmarks/results "${small[@]}"
benchmarks=$?
echo "tests: $tests, benchmarks: $benchmarks (0 is good), $((SECONDS - start)) s; see benchmarks/results/kernels_$device*"
[ "$tests" -eq 0 ] && [ "$benchmarks" -eq 0 ]
