"""dmlib: the library behind the book "Diffusion models, step by step"."""

__version__ = "0.1.0"
