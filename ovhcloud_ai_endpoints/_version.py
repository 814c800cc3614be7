"""The version of the distribution, for its build and for the User-Agent header."""

__version__ = "0.1.0"
