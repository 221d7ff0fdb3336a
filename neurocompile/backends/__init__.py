"""Engines that run compiled graphs."""
