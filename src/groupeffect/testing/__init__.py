"""The contract suite: public, so that authors of plug-ins can run it on their own estimators and strategies."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
