"""The version of Slalom."""

__version__ = "0.2.0"
