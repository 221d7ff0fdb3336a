"""Our Lava processes. They live alone here, because Lava executes every .py file beside a process that it compiles."""
