"""From results to figures, tables, a policy brief in two languages and a paper."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
