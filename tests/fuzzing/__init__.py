"""Seeds, mutations and targets of the fuzz job (``tests/fuzz.py``); all follows from a seed and a case's number."""
