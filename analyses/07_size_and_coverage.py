"""How often each analysis is wrong, by simulation with known truth.

python analyses/07_size_and_coverage.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("size", *(sys.argv[1:] or ["analyses/config/main.toml"]))
