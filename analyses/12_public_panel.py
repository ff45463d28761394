"""Analyse a public table: charter entry and finance reform in Michigan districts (config/mathpnl.toml).

python analyses/12_public_panel.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("table", *(sys.argv[1:] or ["analyses/config/mathpnl.toml"]))
