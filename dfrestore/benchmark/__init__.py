"""Measuring speed and memory of restoring and of training; the self-test of every device.

What is measured is the engine's, the Restorer's and the trainer's own work: nothing is computed here.
"""
