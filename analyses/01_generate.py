"""Generate the synthetic reform: the files a bureau would export, and the truth apart from them.

python analyses/01_generate.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("data", *(sys.argv[1:] or ["analyses/config/main.toml"]))
