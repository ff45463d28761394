"""The questions only a reform of school groups asks: members, core schools, the net effect, where knowledge ends."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
