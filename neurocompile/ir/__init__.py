"""The graph between frontends and chips, and the interpreter that defines what it means."""
