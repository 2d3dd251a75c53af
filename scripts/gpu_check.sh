#!/usr/bin/env bash
# On a machine with a GPU: the CUDA tests, then every benchmark, within nine minutes. Writes a JSON file and a Markdown
# table, row by row, to benchmarks/results/ or the folder named. Needs python3 with torch, torchvision, triton, numpy and
# pytest; stvr itself need not be installed. While the tests run, every other core compiles what the benchmarks need.
#
#     scripts/gpu_check.sh [--device cpu] [--out FOLDER]      # cpu: reduced sizes, to see that the script itself works
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
device=cuda
out=benchmarks/results
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=${2:?--device wants cuda or cpu}; shift 2 ;;
    --out) out=${2:?--out wants a folder}; shift 2 ;;
    *) echo "gpu_check.sh: wanted --device cuda|cpu or --out FOLDER, got $1" >&2; exit 2 ;;
  esac
done
case "$device" in cuda|cpu) ;; *) echo "gpu_check.sh: --device wants cuda or cpu, got $device" >&2; exit 2 ;; esac
export PYTHONPATH=$PWD PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
start=$SECONDS

if [ "$device" = cuda ] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "gpu_check.sh: $python has no torch with a CUDA device." \
    "Set PYTHON to one that has, or try: scripts/gpu_check.sh --device cpu" >&2
  exit 2
fi
small=()
[ "$device" = cpu ] && small=(--small) && echo "No CUDA: the CUDA tests are skipped, the sizes are reduced."
timeout -k 5 170 "$python" benchmarks/bench_kernels.py --ahead --device "$device" "${small[@]}" &
ahead=$!
timeout -k 5 270 "$python" -m pytest --noconftest -p no:cacheprovider -q -m gpu \
  tests/kernels/test_cuda.py tests/propagation/test_recurrent.py
tests=$?
wait "$ahead"
compiled=$?
echo "Compiled ahead: $compiled (0 is good), $((SECONDS - start)) s"
left=$((525 - (SECONDS - start)))
timeout -k 5 "$left" "$python" benchmarks/bench_kernels.py --device "$device" --seconds $((left - 40)) \
  --out "$out" "${small[@]}"
benchmarks=$?
echo "tests: $tests, benchmarks: $benchmarks (0 is good), $((SECONDS - start)) s; see $out/kernels_$device*"
[ "$tests" -eq 0 ] && [ "$benchmarks" -eq 0 ]
