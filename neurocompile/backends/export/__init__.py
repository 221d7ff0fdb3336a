"""Compiled programs in the formats of other tools."""
