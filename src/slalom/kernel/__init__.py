"""The compiler: trace a rule, plan a step, lower it to machine code, or run it eagerly."""
