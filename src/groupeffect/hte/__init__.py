"""Heterogeneous effects: for whom the reform works, and what the causal graph of the reform says."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
