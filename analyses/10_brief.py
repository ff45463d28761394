"""Write the brief in every language of the study.

python analyses/10_brief.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("brief", *(sys.argv[1:] or ["analyses/config/main.toml"]))
