"""Checks of a comparison: pre-trends, baseline balance, attrition, reliability of the outcome."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
