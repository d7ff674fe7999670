"""lrlab, a laboratory for the learning rate. The table of contents is in `__init__.pyi`; each name loads when first used."""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
