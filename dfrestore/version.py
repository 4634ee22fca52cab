"""The version, where every room can have it without importing the package's own exports."""

__version__ = "0.1.0"
