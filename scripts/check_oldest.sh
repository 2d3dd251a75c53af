#!/usr/bin/env bash
# Once per release: the tests with the oldest torch, and the oldest of every other package, that pyproject.toml allows.
#
#     scripts/check_oldest.sh [FOLDER]
#
# Makes an environment in FOLDER (default .oldest; made anew when it is not there) with `python3`, or the PYTHON named,
# where each "package>=X" of pyproject.toml is exactly X; a package without a lower bound is the newest that fits.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.oldest}
python=$folder/bin/python

test -x "$python" || "${PYTHON:-python3}" -m venv "$folder"
"$python" -m pip install --quiet --upgrade pip
"$python" - > "$folder/oldest.txt" <<'PY'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))
wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]
print("\n".join(line.replace(">=", "==") for line in wanted))
PY
"$python" -m pip install --quiet --prefer-binary --requirement "$folder/oldest.txt"
"$python" -m pip install --quiet --no-deps --editable .
"$python" -m pip list | grep --ignore-case --extended-regexp \
    "^($(sed 's/[^A-Za-z0-9_-].*//' "$folder/oldest.txt" | paste --serial --delimiters='|')) "
exec make pytest "TESTED=$python"
