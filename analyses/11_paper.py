"""Typeset the working paper.

python analyses/11_paper.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("paper", *(sys.argv[1:] or ["analyses/config/main.toml"]))
