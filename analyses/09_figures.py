"""Draw the comparison of designs.

python analyses/09_figures.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("exhibits", *(sys.argv[1:] or ["analyses/config/main.toml"]))
