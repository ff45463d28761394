from .callaway_santanna import CallawaySantAnna

__all__ = ["CallawaySantAnna"]
