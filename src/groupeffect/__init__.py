"""groupeffect: causal impact of school-group reforms from panel data.

Everything public is a name of this module and loads when it is first used, so that ``import groupeffect`` is quick.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
