"""`python -m stvr`, for launchers that want a module: torchrun --nproc-per-node 2 -m stvr train ..."""

from stvr.cli import main

if __name__ == "__main__":
    main()
