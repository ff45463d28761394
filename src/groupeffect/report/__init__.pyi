from . import brief, content, figures, findings, frames, numbers, paper, tables

__all__ = ["brief", "content", "figures", "findings", "frames", "numbers", "paper", "tables"]
