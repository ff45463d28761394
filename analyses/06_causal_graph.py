"""The causal graph of the reform, what it identifies, and attempts to refute the estimate.

python analyses/06_causal_graph.py [STUDY.toml]
"""

import sys

from groupeffect.pipeline.run import run_one

if __name__ == "__main__":
    run_one("refutation", *(sys.argv[1:] or ["analyses/config/main.toml"]))
