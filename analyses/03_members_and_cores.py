"""Members, core schools, net effect: who learned more, and did core schools pay.

python analyses/03_members_and_cores.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("reform", *(sys.argv[1:] or ["analyses/config/main.toml"]))
