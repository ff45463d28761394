"""For whom: doubly robust scores, what effects vary with, quarters by predicted effect.

python analyses/05_for_whom.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("heterogeneity", *(sys.argv[1:] or ["analyses/config/main.toml"]))
