"""Validate the files: every fault at once, and a picture of what is observed.

python analyses/02_validate.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("validation", *(sys.argv[1:] or ["analyses/config/main.toml"]))
