"""Measuring speed and memory of restoring and of training; the self-test.

Nothing that restores or trains needs what is here.
"""
