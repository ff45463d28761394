"""One group against a constructed twin: synthetic difference-in-differences and synthetic control.

python analyses/04_one_group_and_its_twin.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("synthetic", *(sys.argv[1:] or ["analyses/config/main.toml"]))
