"""Collect every number of the report in one object.

python analyses/08_results.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("content", *(sys.argv[1:] or ["analyses/config/main.toml"]))
